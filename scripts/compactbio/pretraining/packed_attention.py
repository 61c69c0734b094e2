"""Packed micro-batches: sequences one behind the other in one row, without padding, and the kernels for them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

HEAD_SIZE_MULTIPLE = 8  # of what the variable-length kernel takes
AGREEMENT = 0.02  # largest difference to plain attention in half precision, of values of unit size
_agreed: set[tuple[int, torch.dtype]] = set()


def packed_layout(
    device: torch.device, *, precision: str, attention_dropout: float, reads_attention: bool, over_padding: bool
) -> str | None:
    """Return how attention takes packed sequences here, or None where micro-batches have to be padded.

    Returns:
        `loop`: one after the other (on a CPU, where each is work enough). `kernel`: all at once, by
        torch's variable-length attention, which needs a GPU of compute capability 8.0, half precision and no
        attention dropout. None: a term averages over padding or, on a GPU, no such kernel does the work: maps of
        one sequence at a time would leave it idle.
    """
    if over_padding:
        return None
    if device.type == "cpu":
        return "loop"
    if reads_attention or attention_dropout > 0.0 or precision == "fp32":
        return None
    return "kernel" if torch.cuda.get_device_capability(device) >= (8, 0) else None


def variable_length_attention(
    query: Tensor, key: Tensor, value: Tensor, lengths: tuple[int, ...], boundaries: Tensor, scaling: float
) -> Tensor:
    """Return attention's output (1, tokens, heads, size) of packed sequences, by one kernel.

    Args:
        query, key, value: (1, heads, tokens, size), half precision.
        lengths: of the sequences.
        boundaries: (sequences + 1,) int32, their running sum from 0.

    Raises:
        RuntimeError: at its first use, the kernel gave something else than plain attention.
    """
    from torch.nn.attention.varlen import varlen_attn

    size = query.shape[-1]
    queries, keys, values = (_as_rows(tensor) for tensor in (query, key, value))
    longest = max(lengths)
    output = varlen_attn(queries, keys, values, boundaries, boundaries, longest, longest, scale=scaling)
    assert isinstance(output, Tensor)  # nothing else was asked for
    output = output[..., :size]
    if (size, query.dtype) not in _agreed:
        _require_agreement(query, key, value, output, lengths[0], scaling)
        _agreed.add((size, query.dtype))
    return output[None].contiguous()


def _as_rows(tensor: Tensor) -> Tensor:
    """Return (tokens, heads, size) of (1, heads, tokens, size), size filled up to what the kernel takes.

    Zeros behind change no product; the scale stays that of the true size.
    """
    rows, missing = tensor[0].transpose(0, 1), -tensor.shape[-1] % HEAD_SIZE_MULTIPLE
    return F.pad(rows, (0, missing)) if missing else rows


@torch.no_grad()
def _require_agreement(query: Tensor, key: Tensor, value: Tensor, output: Tensor, length: int, scaling: float) -> None:
    """Compare the first packed sequence with plain attention in fp32."""
    queries, keys, values = (tensor[:, :, :length].float() for tensor in (query, key, value))
    plain = F.scaled_dot_product_attention(queries, keys, values, scale=scaling)[0].transpose(0, 1)
    difference = (output[:length].float() - plain).abs().max() / plain.abs().max().clamp_min(1e-6)
    if not difference <= AGREEMENT:
        raise RuntimeError(
            f"variable-length attention differs from plain attention by {float(difference):.2g} on "
            f"{torch.cuda.get_device_name(query.device)} with torch {torch.__version__}: use precision: fp32"
        )
