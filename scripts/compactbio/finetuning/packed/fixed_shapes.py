"""Micro-batches of a few shapes for a GPU, so that each shape's pass is captured once; their fill changes no sum.

Packed for a kernel of pre-training's (`pretraining/packed_attention.py`) or, where none does the work or the loss runs
over padding, padded rows. Which sizes there are follows from the steps themselves, all of which are known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from accelerate import Accelerator
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.finetuning.features import IGNORED, Feature, collate, join
from compactbio.pretraining.attention_choice import packed_layout
from compactbio.pretraining.fixed_shape import rounded_up, running_sums, shared_equally
from compactbio.pretraining.packed_attention import UNPACKED
from compactbio.pretraining.shape_sizes import few_sizes
from compactbio.training.cuts import fewest_cuts
from compactbio.training.processes import precision_of

MOST_PIECES = 16384  # of a micro-batch, where it has more than one sequence: enough to keep a GPU busy (an estimate)
SAMPLED = 64  # micro-batches, from the smallest to the largest, that sizes are chosen by
LENGTH_MULTIPLE = 16  # of padded rows and sequences
MOST_SHAPES = 6  # a capture takes seconds
GAIN = 0.01  # of a training's cost, for which one shape more is worth its capture
TRIED = 24  # sizes, and lengths, of which shapes are tried
# places of attention maps that cost as much as a piece does in other layers: 24 w w / 4 w, of BERT-base's 768 values
PLACES_PER_PIECE = 4608


class Shape(NamedTuple):
    """Of a micro-batch: its pieces, or the length of its padded rows, and the longest sequence that it may hold."""

    size: int
    longest: int

    def holds(self, size: int, longest: int) -> bool:
        """Return whether it takes a micro-batch of such a size with such a sequence."""
        return self.size >= size and self.longest >= longest

    def slots(self, rows: int) -> int:
        """Return the sequences of a packed micro-batch, those of fill among them."""
        return rows + math.ceil(self.size / self.longest)


@dataclass(frozen=True)
class FixedShapes:
    """The shapes of all micro-batches of a run.

    Attributes:
        kernel: the attention that takes packed micro-batches; None: they are padded.
        rows: of padding, or sequences of a packed micro-batch at most.
        shapes: from the cheapest to the dearest, which takes all.
        pad: the id of padding.
        token_types: whether the model takes them.
    """

    kernel: str | None
    rows: int
    shapes: tuple[Shape, ...]
    pad: int
    token_types: bool

    def cuts(self, lengths: Sequence[int]) -> list[tuple[int, int]]:
        """Return ranges [begin, end) over a batch's sequences."""
        return _cuts(lengths, self.rows, packed=self.kernel is not None)

    def arrays(self, examples: Sequence[Feature], shape: Shape | None = None) -> dict[str, Any]:
        """Return the arrays of a micro-batch in a shape (None: the cheapest that takes it), and its constants."""
        sizes = [len(example.ids) for example in examples]
        needed = sum(sizes) if self.kernel else max(sizes)
        shape = shape or next(shape for shape in self.shapes if shape.holds(needed, max(sizes)))
        return self._packed(examples, sizes, shape) if self.kernel else self._padded(examples, shape.size)

    def _packed(self, examples: Sequence[Feature], sizes: list[int], shape: Shape) -> dict[str, Any]:
        """Return a packed micro-batch, filled up by sequences of padding that nobody reads.

        Arrays: those of `join`, whose targets of sequences have `rows` values; boundaries (slots + 1,) int32, where
        sequences begin and end, the last ones empty. Constants: kernel, longest, and rows.
        """
        arrays: dict[str, Any] = join(examples, token_types=self.token_types)
        fill = shape.size - sum(sizes)
        fills = shared_equally(fill, math.ceil(fill / shape.longest))
        values = {"input_ids": self.pad, "token_type_ids": 0}
        for name, array in arrays.items():
            if array.ndim == 1:
                arrays[name] = np.pad(array, (0, self.rows - len(array)), constant_values=IGNORED)
            elif name != "position_ids":
                arrays[name] = np.pad(array, ((0, 0), (0, fill)), constant_values=values.get(name, IGNORED))
        columns = [arrays["position_ids"][0], *(np.arange(length) for length in fills)]
        arrays["position_ids"] = np.concatenate(columns)[None]
        arrays["boundaries"] = running_sums(np.concatenate([sizes, fills]), shape.slots(self.rows))
        return arrays | {"kernel": self.kernel, "longest": shape.longest, "rows": self.rows}

    def _padded(self, examples: Sequence[Feature], length: int) -> dict[str, Any]:
        """Return padded rows, the last ones without a target; each reads its own first place at least."""
        arrays: dict[str, Any] = collate(examples, self.pad, token_types=self.token_types, length=length)
        fill = self.rows - len(examples)
        values = {"input_ids": self.pad, "token_type_ids": 0, "attention_mask": 0}
        for name, array in arrays.items():
            added = ((0, fill), *[(0, 0)] * (array.ndim - 1))
            arrays[name] = np.pad(array, added, constant_values=values.get(name, IGNORED))
        arrays["attention_mask"][len(examples) :, 0] = 1
        return arrays


def plan_shapes(
    batches: Iterable[Sequence[int]],
    *,
    kernel: str | None,
    batch_size: int,
    pad: int,
    token_types: bool,
    length: int | None = None,
) -> FixedShapes:
    """Return the shapes that steps take with little fill.

    Args:
        batches: the lengths of each step's sequences, in ascending order.
        kernel: that takes packed sequences; None: they are padded.
        length: that all are padded to.
    """
    lengths = [list(batch) for batch in batches]
    longest = length or max(map(max, lengths))
    rows = batch_size if kernel else min(batch_size, max(1, MOST_PIECES // longest))
    if length is not None:
        return FixedShapes(None, rows, (Shape(length, length),), pad, token_types)
    needed = sorted(
        (sum(batch[begin:end]) if kernel else batch[end - 1], batch[end - 1])
        for batch in lengths
        for begin, end in _cuts(batch, rows, packed=kernel is not None)
    )
    if kernel == UNPACKED:
        wanted = [Shape(rounded_up(size), min(_rounded(own), longest)) for size, own in needed]
        return FixedShapes(kernel, rows, _few_shapes(wanted, rows), pad, token_types)
    sample = [needed[round(place)][0] for place in np.linspace(0, len(needed) - 1, SAMPLED)]
    if kernel:  # which does not care for the longest sequence
        shapes = [Shape(size, longest) for size in few_sizes([rounded_up(size) for size in sample])]
    else:
        shapes = [Shape(size, size) for size in few_sizes([min(_rounded(size), longest) for size in sample])]
    return FixedShapes(kernel, rows, tuple(sorted(set(shapes))), pad, token_types)


def _rounded(length: int) -> int:
    return math.ceil(length / LENGTH_MULTIPLE) * LENGTH_MULTIPLE


def _few_shapes(wanted: Sequence[Shape], rows: int) -> tuple[Shape, ...]:
    """Return few shapes in which micro-batches cost little whose sequences are padded for attention.

    The largest takes all; each further one is that which saves most. A long sentence in some of the batches, say, sets
    the price of these alone.

    Args:
        wanted: the smallest shape of each micro-batch.
        rows: sequences of a micro-batch at most.
    """
    needed, counts = np.unique(np.array(wanted), axis=0, return_counts=True)
    places = np.linspace(0.0, 1.0, TRIED)
    sizes, lengths = (np.unique(np.quantile(np.array(wanted)[:, axis], places, method="higher")) for axis in (0, 1))
    shapes = [Shape(int(size), int(longest)) for size in sizes for longest in lengths]
    holds = (np.array(shapes)[:, None] >= needed).all(-1)
    costs = np.array([shape_cost(shape, rows) for shape in shapes])
    by_shape = np.where(holds, costs[:, None], np.inf)  # (shapes, micro-batches)
    chosen, least = {len(shapes) - 1}, by_shape[-1]
    while len(chosen) < MOST_SHAPES:
        totals = (np.minimum(least, by_shape) * counts).sum(1)
        best = int(totals.argmin())
        if totals[best] > (1.0 - GAIN) * (least * counts).sum():
            break
        chosen.add(best)
        least = np.minimum(least, by_shape[best])
    return tuple(shapes[index] for index in sorted(chosen, key=lambda index: costs[index]))


def shape_cost(shape: Shape, rows: int) -> float:
    """Return what a packed micro-batch costs, in pieces, whose sequences are padded for attention."""
    return shape.size + shape.slots(rows) * shape.longest**2 / PLACES_PER_PIECE


def kernel_for(model: PreTrainedModel, accelerator: Accelerator) -> str | None:
    """Return the attention that takes a model's packed sequences on a GPU; None: none does, as the log says why."""
    architecture = architecture_of(model)
    return packed_layout(
        accelerator.device,
        precision=precision_of(accelerator),
        attention_dropout=max(map(architecture.dropout_of, architecture.attention_modules(model))),
        reads_attention=False,
        over_padding=False,
        windowed=any(reach is not None for reach in architecture.reaches(model)),
        head_sizes=set(architecture.head_sizes(model)),
    )


def _cuts(lengths: Sequence[int], rows: int, *, packed: bool) -> list[tuple[int, int]]:
    """Return ranges [begin, end) over sequences, as few as one micro-batch takes each."""
    return fewest_cuts(lengths, MOST_PIECES) if packed else fewest_cuts([1] * len(lengths), rows)
