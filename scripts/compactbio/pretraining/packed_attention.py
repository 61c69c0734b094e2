"""Packed micro-batches: sequences one behind the other in one row, without padding, and the attention that takes them.

On a GPU all sequences go through one kernel with dropout. Three are known, and which one is taken is tried at the
start of a training: torch's flash attention (half precision, compute capability 8.0), its memory-efficient attention
(any precision and GPU), both called as torch's own nested tensors call them, and nested tensors themselves, whose
names are public. `masked` is plain attention with a mask between sequences: what the kernels are compared with.
Layers that see a window of each sequence only (ModernBERT) are flash attention's alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from compactbio.training.devices import drawing_apart, tensor_type
from compactbio.training.dropout import dropout as drop

LOOP, FLASH, EFFICIENT, NESTED, MASKED = "loop", "flash", "efficient", "nested", "masked"
HEAD_SIZE_MULTIPLE = 8  # of what the kernels take
AGREEMENT = {torch.float32: 2e-3, torch.float16: 0.02, torch.bfloat16: 0.04}  # to plain attention, of unit values
TRIED_LENGTHS, TRIED_ROWS = (37, 64, 5, 22, 0, 0), (6, 9, 1, 1, 0, 0)  # of the trial's sequences; 0: an empty slot

TRIED_WINDOW = 8
WINDOWED = (FLASH, MASKED)  # which know windows

# of (tokens, heads, size): queries, keys, values; boundaries of the queries and of the keys; longest, dropout, scaling;
# and, for those that know windows, how many keys each query sees on each side, None: all
Kernel = Callable[..., Tensor]


def packed_layout(
    device: torch.device,
    *,
    precision: str,
    attention_dropout: float,
    reads_attention: bool,
    over_padding: bool,
    maps_packed: bool = False,
    takes_fill: bool = True,
    windowed: bool = False,
    head_sizes: Collection[int] = (64,),
) -> str | None:
    """Return how attention takes packed sequences here, or None where micro-batches have to be padded.

    Args:
        precision: as `processes.precision_of` gives it.
        attention_dropout: the largest of the models'.
        reads_attention, over_padding: whether a term compares states of attention, or averages over padding.
        maps_packed: states of attention can be compared in packed sequences on a GPU.
        takes_fill: whether all terms can leave out the fill of micro-batches of fixed shape.
        windowed: whether some layers see a window of each sequence only.
        head_sizes: of the models' attention.

    Returns:
        `loop`: one after the other (on a CPU, where each is work enough). The name of a kernel: all at once, in
        micro-batches of one shape. None: a term averages over padding or, on a GPU, no kernel does the work, which
        the log gives the reason for.
    """
    if over_padding:
        return None
    if device.type == "cpu":
        return LOOP
    reasons = {
        "a term compares states of attention": reads_attention and not maps_packed,
        "a term's function does not know of fill": not takes_fill,
    }
    if why := next((reason for reason, holds in reasons.items() if holds), None):
        logging.info("micro-batches are padded: %s", why)
        return None
    names = candidates(device, precision, windowed=windowed)
    kernel, failures = first_usable(names, device, precision, attention_dropout, head_sizes, windowed=windowed)
    refused = "".join(f"; not {name}: {reason}" for name, reason in failures.items())
    seen = ", layers see a window only" if windowed else ""
    logging.info("attention of packed sequences: %s%s%s", kernel or "none, so micro-batches are padded", seen, refused)
    return kernel


def window(length: int, sliding_window: int | None, device: torch.device) -> Tensor | None:
    """Return which keys each query of a sequence sees, (length, length) bool; None: all.

    Args:
        sliding_window: keys less far away are seen, on both sides, as transformers' modules give it; None: all.
    """
    if sliding_window is None or length <= sliding_window:
        return None
    places = torch.arange(length, device=device)
    return (places[:, None] - places).abs() < sliding_window


def candidates(device: torch.device, precision: str, *, windowed: bool = False) -> list[str]:
    """Return the kernels that a GPU may have for a precision, the fastest first."""
    half = tensor_type(precision) != torch.float32
    flash = [FLASH] if half and torch.cuda.get_device_capability(device) >= (8, 0) else []
    return [name for name in (*flash, EFFICIENT, NESTED) if not windowed or name in WINDOWED]


def first_usable(
    names: list[str],
    device: torch.device,
    precision: str,
    dropout: float,
    head_sizes: Collection[int],
    *,
    windowed: bool = False,
) -> tuple[str | None, dict[str, str]]:
    """Return the first kernel that passes its trial, and why those before it did not."""
    reasons: dict[str, str] = {}
    for name in names:
        try:
            for size in sorted(set(head_sizes)):
                difference = try_kernel(name, device, tensor_type(precision), dropout, size, windowed=windowed)
                if not difference <= AGREEMENT[tensor_type(precision)]:
                    raise ValueError(f"it differs from plain attention by {difference:.2g}")
        except (RuntimeError, ValueError, TypeError, AttributeError, NotImplementedError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            reasons[name] = str(error).strip().split("\n")[0][:200]
        else:
            return name, reasons
    return None, reasons


def try_kernel(
    name: str, device: torch.device, dtype: torch.dtype, dropout: float, size: int, *, windowed: bool = False
) -> float:
    """Return the largest difference of a kernel to plain attention in fp32, of output and gradients, without dropout.

    Queries are those of all tokens and of some or, where it has to know windows, of all tokens through one. With
    dropout it has to run, and to give numbers.
    """
    worst, longest = 0.0, max(TRIED_LENGTHS)
    generator = torch.Generator().manual_seed(0)  # torch's own is left as it is
    cases: list[tuple[tuple[int, ...], int | None]] = [(TRIED_LENGTHS, None)]
    cases.append((TRIED_LENGTHS, TRIED_WINDOW) if windowed else (TRIED_ROWS, None))
    for rows, reach in cases:
        made = [torch.randn(1, 2, sum(sizes), size, generator=generator) for sizes in (rows, *[TRIED_LENGTHS] * 2)]
        results = []
        # plainly on a CPU, where fp32 is fp32
        for kernel, place, kind in ((name, device, dtype), (MASKED, torch.device("cpu"), torch.float32)):
            ends = _ends(rows, place), _ends(TRIED_LENGTHS, place)
            query, key, value = states = [one.to(dtype).to(place, kind).requires_grad_() for one in made]
            output = variable_length_attention(kernel, query, key, value, *ends, longest, 0.0, size**-0.5, reach)
            results.append([one.detach().float().cpu() for one in (output, *_gradients(output, states))])
        for got, wanted in zip(*results, strict=True):
            worst = max(worst, float((got - wanted).abs().max() / wanted.abs().max().clamp_min(1.0)))
        if dropout > 0.0:
            ends = _ends(rows, device), _ends(TRIED_LENGTHS, device)
            query, key, value = states = [one.to(device, dtype).requires_grad_() for one in made]
            with drawing_apart(device):
                output = variable_length_attention(name, query, key, value, *ends, longest, dropout, size**-0.5, reach)
                gradients = _gradients(output, states)
            if not all(bool(torch.isfinite(one).all()) for one in (output, *gradients)):
                raise ValueError("with dropout it gives what is no number")
    return worst


def variable_length_attention(
    name: str,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_boundaries: Tensor,
    boundaries: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    sliding_window: int | None = None,
) -> Tensor:
    """Return attention's output (1, rows, heads, size) of packed sequences, by one kernel.

    Args:
        name: of the kernel.
        query: (1, heads, rows, size), of all tokens or of some.
        key, value: (1, heads, tokens, size).
        query_boundaries, boundaries: (slots + 1,) int32 on the device, the running sums from 0 of rows and tokens of
            each sequence; empty ones have neither.
        longest: no sequence has more tokens or rows.
        dropout: of the probabilities.
        sliding_window: see `window`; then queries are those of all tokens, and the kernel is one of `WINDOWED`.
    """
    size = query.shape[-1]
    states = _as_rows(query), _as_rows(key), _as_rows(value)
    seen = {} if sliding_window is None else {"reach": sliding_window - 1}
    output = KERNELS[name](*states, query_boundaries, boundaries, longest, dropout, scaling, **seen)
    return output[None, ..., :size].contiguous()


def _gradients(output: Tensor, states: list[Tensor]) -> tuple[Tensor, ...]:
    """Return the gradients of the sum of an output's squares."""
    return torch.autograd.grad(output.square().sum(), states)


def _ends(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the running sum of sizes from 0, int32."""
    return torch.tensor((0, *sizes)).cumsum(0).to(device, torch.int32)


def _as_rows(tensor: Tensor) -> Tensor:
    """Return (tokens, heads, size) of (1, heads, tokens, size), size filled up to what the kernels take.

    It is a view, gradients come back as one too: `tensor[0]` would have its own copied into zeros. Zeros behind change
    no product; the scale stays that of the true size.
    """
    rows, missing = tensor.transpose(1, 2).squeeze(0), -tensor.shape[-1] % HEAD_SIZE_MULTIPLE
    return F.pad(rows, (0, missing)) if missing else rows


def _flash(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rows: Tensor,
    ends: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    reach: int | None = None,
) -> Tensor:
    """Return attention's output (rows, heads, size) by torch's flash attention."""
    options: dict[str, Any] = {"return_debug_mask": False, "scale": scaling}
    if reach is not None:
        options |= {"window_size_left": reach, "window_size_right": reach}
    return torch.ops.aten._flash_attention_forward(
        query, key, value, rows, ends, longest, longest, dropout, False, **options
    )[0]


def _efficient(
    query: Tensor, key: Tensor, value: Tensor, rows: Tensor, ends: Tensor, longest: int, dropout: float, scaling: float
) -> Tensor:
    """Return attention's output (rows, heads, size) by torch's memory-efficient attention."""
    options: dict[str, Any] = {"compute_log_sumexp": torch.is_grad_enabled(), "scale": scaling}
    queries, keys = min(longest, query.shape[0]), min(longest, key.shape[0])  # it takes no more than there are
    states = (query[None], key[None], value[None])
    no_mask = 0
    return torch.ops.aten._efficient_attention_forward(
        *states, None, rows, ends, queries, keys, dropout, no_mask, **options
    )[0][0]


def _nested(
    query: Tensor, key: Tensor, value: Tensor, rows: Tensor, ends: Tensor, longest: int, dropout: float, scaling: float
) -> Tensor:
    """Return attention's output (rows, heads, size) by torch's nested tensors.

    Lengths are said to be from 1 on, empty ones too, so that nothing is read from the device.
    """

    def jagged(states: Tensor, offsets: Tensor) -> Tensor:
        nested = torch.nested.nested_tensor_from_jagged(states.contiguous(), offsets, min_seqlen=1, max_seqlen=longest)
        return nested.transpose(1, 2)

    queries, keys = jagged(query, rows), jagged(key, ends)
    output = F.scaled_dot_product_attention(queries, keys, jagged(value, ends), dropout_p=dropout, scale=scaling)
    return output.transpose(1, 2).values()


def _masked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    rows: Tensor,
    ends: Tensor,
    longest: int,
    dropout: float,
    scaling: float,
    reach: int | None = None,
) -> Tensor:
    """Return attention's output (rows, heads, size) by a whole map with a mask between sequences."""
    asking, asked = (
        torch.bucketize(
            torch.arange(states.shape[0], device=states.device, dtype=boundaries.dtype), boundaries[1:], right=True
        )
        for states, boundaries in ((query, rows), (key, ends))
    )
    scores = torch.einsum("qhd,khd->hqk", query * scaling, key)
    unseen = asking[:, None] != asked
    if reach is not None:
        places = torch.arange(len(query), device=query.device)
        unseen |= (places[:, None] - places).abs() > reach
    scores = scores.masked_fill(unseen, torch.finfo(scores.dtype).min)
    return torch.einsum("hqk,khd->qhd", drop(torch.softmax(scores, dim=-1), dropout), value)


KERNELS: dict[str, Kernel] = {FLASH: _flash, EFFICIENT: _efficient, NESTED: _nested, MASKED: _masked}
