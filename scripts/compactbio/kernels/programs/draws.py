"""The draw of dropout inside of Triton's programs; `draws` says what its seed is."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def factors(seed_pointer, places, number, threshold, kept):
    """Return what dropout multiplies values (places, number) with: 0, or `kept`.

    Two words of Philox for each row, from (seed; token and head), and a mix of 32 bits for each key (`lowbias32`, with
    the second word between its halves): Philox for each key would take ten times as many instructions.
    """
    first, second, _, _ = tl.randint4x(tl.load(seed_pointer), places)
    bits = first.to(tl.uint32, bitcast=True)[:, None] ^ (number.to(tl.uint32) * 0x9E3779B9)[None, :]
    bits ^= bits >> 16
    bits *= 0x7FEB352D
    bits ^= bits >> 15
    bits += second.to(tl.uint32, bitcast=True)[:, None]
    bits *= 0x846CA68B
    bits ^= bits >> 16
    return tl.where((bits >> 8).to(tl.int32) < threshold, 0.0, kept)
