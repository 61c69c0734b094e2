"""Micro-batches of a few shapes for a GPU, so that each shape's pass is captured once; their fill changes no sum.

Packed for a kernel of pre-training's (`pretraining/packed_attention.py`) or, where none does the work or the loss runs
over padding, padded rows. Which sizes there are follows from the steps themselves, all of which are known beforehand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from accelerate import Accelerator
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.finetuning.features import IGNORED, Feature, collate, join
from compactbio.pretraining.attention_choice import packed_layout
from compactbio.pretraining.fixed_shape import rounded_up, running_sums, shared_equally
from compactbio.pretraining.shape_sizes import few_sizes
from compactbio.training.cuts import fewest_cuts
from compactbio.training.processes import precision_of

MOST_PIECES = 16384  # of a micro-batch, where it has more than one sequence: enough to keep a GPU busy (an estimate)
SAMPLED = 64  # micro-batches, from the smallest to the largest, that sizes are chosen by
LENGTH_MULTIPLE = 16  # of padded rows


@dataclass(frozen=True)
class FixedShapes:
    """The shapes of all micro-batches of a run.

    Attributes:
        kernel: the attention that takes packed micro-batches; None: they are padded.
        rows: of padding, or sequences of a packed micro-batch at most.
        longest: no sequence has more pieces.
        sizes: in ascending order: the pieces of a packed micro-batch, or the length of rows.
        pad: the id of padding.
        token_types: whether the model takes them.
    """

    kernel: str | None
    rows: int
    longest: int
    sizes: tuple[int, ...]
    pad: int
    token_types: bool

    def cuts(self, lengths: Sequence[int]) -> list[tuple[int, int]]:
        """Return ranges [begin, end) over a batch's sequences."""
        return _cuts(lengths, self.rows, packed=self.kernel is not None)

    def arrays(self, examples: Sequence[Feature], size: int | None = None) -> dict[str, Any]:
        """Return the arrays of a micro-batch in a shape (None: the smallest that takes it), and its constants."""
        sizes = [len(example.ids) for example in examples]
        needed = sum(sizes) if self.kernel else max(sizes)
        size = size or next(size for size in self.sizes if size >= needed)
        return self._packed(examples, sizes, size) if self.kernel else self._padded(examples, size)

    def _packed(self, examples: Sequence[Feature], sizes: list[int], size: int) -> dict[str, Any]:
        """Return a packed micro-batch of `size` pieces, filled up by sequences of padding that nobody reads.

        Arrays: those of `join`, whose targets of sequences have `rows` values; boundaries (slots + 1,) int32, where
        sequences begin and end, the last ones empty. Constants: kernel, longest, and rows.
        """
        arrays: dict[str, Any] = join(examples, token_types=self.token_types)
        fill = size - sum(sizes)
        fills = shared_equally(fill, math.ceil(fill / self.longest))
        values = {"input_ids": self.pad, "token_type_ids": 0}
        for name, array in arrays.items():
            if array.ndim == 1:
                arrays[name] = np.pad(array, (0, self.rows - len(array)), constant_values=IGNORED)
            elif name != "position_ids":
                arrays[name] = np.pad(array, ((0, 0), (0, fill)), constant_values=values.get(name, IGNORED))
        columns = [arrays["position_ids"][0], *(np.arange(length) for length in fills)]
        arrays["position_ids"] = np.concatenate(columns)[None]
        slots = self.rows + math.ceil(size / self.longest)
        arrays["boundaries"] = running_sums(np.concatenate([sizes, fills]), slots)
        return arrays | {"kernel": self.kernel, "longest": self.longest, "rows": self.rows}

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
        return FixedShapes(None, rows, longest, (length,), pad, token_types)
    needed = sorted(
        sum(batch[begin:end]) if kernel else batch[end - 1]
        for batch in lengths
        for begin, end in _cuts(batch, rows, packed=kernel is not None)
    )
    sample = [needed[round(place)] for place in np.linspace(0, len(needed) - 1, SAMPLED)]
    if kernel:
        rounded = [rounded_up(size) for size in sample]
    else:
        rounded = [min(math.ceil(size / LENGTH_MULTIPLE) * LENGTH_MULTIPLE, longest) for size in sample]
    return FixedShapes(kernel, rows, longest, tuple(sorted(set(few_sizes(rounded)))), pad, token_types)


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
