"""Which attention takes packed sequences: what a device has, after a trial against plain attention."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator

import torch
from torch import Tensor

from compactbio.kernels.choice import unit_values
from compactbio.pretraining.packed_attention import (
    EFFICIENT,
    FLASH,
    LOOP,
    UNPACKED,
    WINDOWED,
    variable_length_attention,
    window,
)
from compactbio.training.devices import drawing_apart, tensor_type
from compactbio.training.error_causes import is_taken, lacks_memory

AGREEMENT = {torch.float32: 2e-3, torch.float16: 0.02, torch.bfloat16: 0.04}  # to plain attention, of unit values
# of the trial's sequences, one of which is longer than a kernel's block of keys; 0: an empty slot
TRIED_LENGTHS, TRIED_ROWS = (37, 300, 5, 22, 0, 0), (6, 40, 1, 1, 0, 0)
TRIED_HEADS, TRIED_WINDOW = 2, 8
TRIED_DROPOUT, STRAY = 0.25, 0.08  # and how much more or less may be dropped: over seven deviations


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


def candidates(device: torch.device, precision: str, *, windowed: bool = False) -> list[str]:
    """Return the kernels that a GPU may have for a precision, the fastest first."""
    half = tensor_type(precision) != torch.float32
    flash = [FLASH] if half and torch.cuda.get_device_capability(device) >= (8, 0) else []
    return [name for name in (*flash, EFFICIENT, UNPACKED) if not windowed or name in WINDOWED]


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
            if lacks_memory(error) or is_taken(error):
                raise
            reasons[name] = str(error).strip().split("\n")[0][:200]
        else:
            return name, reasons
    return None, reasons


def try_kernel(
    name: str, device: torch.device, dtype: torch.dtype, dropout: float, size: int, *, windowed: bool = False
) -> float:
    """Return the largest difference of a kernel to plain attention in double precision, of output and gradients.

    Queries are those of all tokens and of some or, where it has to know windows, of all tokens through one. Where there
    is dropout, it is compared with some as well: output and gradients have to be those of one and the same draw.

    Raises:
        ValueError: its dropout repeats itself, or drops another share.
    """
    worst = 0.0
    generator = torch.Generator().manual_seed(0)  # torch's own is left as it is
    cases: list[tuple[tuple[int, ...], int | None]] = [(TRIED_LENGTHS, None)]
    cases.append((TRIED_LENGTHS, TRIED_WINDOW) if windowed else (TRIED_ROWS, None))
    for rows, reach in cases:
        shapes = [(1, TRIED_HEADS, sum(sizes), size) for sizes in (rows, TRIED_LENGTHS, TRIED_LENGTHS)]
        states = [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]
        for probability in (0.0, TRIED_DROPOUT) if dropout > 0.0 else (0.0,):
            with drawing_apart(device):
                worst = max(worst, _Trial(name, device, rows, probability, reach).difference(states))
    return worst


class _Trial:
    """A kernel with some queries of each sequence, a dropout and a window, beside plain attention."""

    def __init__(
        self, name: str, device: torch.device, rows: tuple[int, ...], dropout: float, reach: int | None
    ) -> None:
        self.name, self.device, self.rows, self.dropout, self.reach = name, device, rows, dropout, reach
        self.longest = max(TRIED_LENGTHS)
        self.asking, self.ends = _ends(rows, device), _ends(TRIED_LENGTHS, device)

    def difference(self, states: list[Tensor]) -> float:
        """Return the largest difference of output and gradients, of queries, keys and values."""
        ours = [one.to(self.device).requires_grad_() for one in states]
        found = _with_gradients(self._after_seed(*ours), ours)
        kept = self._draw(ours) if self.dropout > 0.0 else None
        theirs = [one.double().requires_grad_() for one in states]  # on a CPU, where fp32 may be TF32 as well
        expected = _with_gradients(self._plainly(theirs, kept), theirs)
        return max(
            float((got.float().cpu() - wanted).abs().max() / wanted.abs().max().clamp_min(1.0))
            for got, wanted in zip(found, expected, strict=True)
        )

    def _after_seed(self, *states: Tensor) -> Tensor:
        """Return the kernel's output (1, rows, heads, size), with the first draw behind a seed."""
        torch.manual_seed(0)
        return self._attend(*states)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return the kernel's output (1, rows, heads, size)."""
        scaling, ends = query.shape[-1] ** -0.5, (self.asking, self.ends)
        return variable_length_attention(
            self.name, query, key, value, *ends, self.longest, self.dropout, scaling, self.reach
        )

    def _draw(self, states: list[Tensor]) -> list[Tensor]:
        """Return what the kernel keeps of the first draw, of each sequence (heads, rows, length) bool.

        Raises:
            ValueError: heads, sequences or calls share a draw, or another share is dropped than is asked for.
        """
        query, key = (one.detach() for one in states[:2])
        places = torch.cat([torch.arange(length) for length in TRIED_LENGTHS])
        columns: list[list[Tensor]] = [[], []]
        for unit in unit_values(places, self.longest, query):
            value = unit.repeat(1, TRIED_HEADS, 1, 1)
            columns[0].append(self._after_seed(query, key, value))
            columns[1].append(self._attend(query, key, value))
        kept, later = (list(self._by_sequence(torch.cat(parts, -1).cpu() != 0)) for parts in columns)
        seen = [self._seen(*one.shape[1:]).expand_as(one) for one in kept]
        share = 1.0 - float(torch.cat([one[mask] for one, mask in zip(kept, seen, strict=True)]).float().mean())
        if abs(share - self.dropout) > STRAY:
            raise ValueError(f"it drops {share:.2f} of the probabilities where {self.dropout:g} is asked for")
        rows, length = (min(sizes) for sizes in zip(*(one.shape[1:] for one in kept[:2]), strict=True))
        pairs = {"calls": (kept[0], later[0]), "heads": (kept[0][0], kept[0][1])}
        pairs["sequences"] = (kept[0][:, :rows, :length], kept[1][:, :rows, :length])
        for what, (one, other) in pairs.items():
            if torch.equal(one, other):
                raise ValueError(f"its {what} share one draw of dropout")
        return kept

    def _by_sequence(self, maps: Tensor) -> Iterator[Tensor]:
        """Yield of (1, rows, heads, longest) what each sequence with queries has, (heads, rows, length)."""
        for part, length in zip(maps[0].split(self.rows), TRIED_LENGTHS, strict=True):
            if len(part):
                yield part.transpose(0, 1)[..., :length]

    def _seen(self, rows: int, length: int) -> Tensor:
        """Return which keys each query sees, (rows, length) bool."""
        seen = window(length, self.reach, torch.device("cpu"))
        return torch.ones(rows, length, dtype=torch.bool) if seen is None else seen

    def _plainly(self, states: list[Tensor], kept: list[Tensor] | None) -> Tensor:
        """Return plain attention's output (1, rows, heads, size), one sequence after the other."""
        sizes = (self.rows, TRIED_LENGTHS, TRIED_LENGTHS)
        parts = zip(*(one[0].split(size, 1) for one, size in zip(states, sizes, strict=True)), strict=True)
        outputs = []
        for number, (asking, keys, values) in enumerate(part for part in parts if part[0].shape[1]):
            scores = asking @ keys.transpose(1, 2) * keys.shape[-1] ** -0.5
            unseen = ~self._seen(*scores.shape[1:])
            maps = scores.masked_fill(unseen, torch.finfo(scores.dtype).min).softmax(-1)
            factors = 1.0 if kept is None else kept[number] / (1.0 - self.dropout)
            outputs.append(maps * factors @ values)
        return torch.cat(outputs, 1).transpose(0, 1)[None]


def _with_gradients(output: Tensor, states: list[Tensor]) -> list[Tensor]:
    """Return an output and the gradients of the sum of its squares."""
    return [output.detach(), *torch.autograd.grad(output.square().sum(), states)]


def _ends(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Return the running sum of sizes from 0, int32."""
    return torch.tensor((0, *sizes)).cumsum(0).to(device, torch.int32)
