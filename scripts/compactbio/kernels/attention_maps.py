"""Terms on attention maps, and the attention that they are taken of, without a map in memory.

The plain path writes (b, heads, length, length) in fp32 for every compared layer of two models. Here a program forms
the rows of student's and teacher's probabilities of one sequence and head on the chip, adds up the term, and leaves
its sum and, where gradients are wanted, what the sum gives the student's queries and keys (the one factor that is
missing, weight through denominator, comes with the backward pass; nothing is computed a second time).

Dropout. The reference compares the maps that transformers returns, which are those that multiply the values: after
dropout. So one draw has two readers, attention's output and the term, in two models, and no kernel of a library tells
its draw. Here a draw is a function of (seed; token's place in the micro-batch, head, key), which both kernels
evaluate: `dropped_attention` gives the output, `compare_maps` the term, and they agree without a mask in memory; each
layer has a seed of its own (`draws.draw_seed`). Where maps are compared before dropout (quirk
`maps_after_dropout: sound`), or dropout is 0, any attention gives the output.

Padding. Keys of padding have probability 0, also after the 1e-12 of the reference is added on both sides: the
logarithm's ratio is 0 there, so leaving them out is exact. Which queries count is the layout's to say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from compactbio.kernels.draws import threshold
from compactbio.kernels.sizes import in_steps, power_of_two

QUERIES, KEYS, WARPS = 16, 64, 8  # of a program: nothing is spilled on sm_80 and sm_90 (ptxas)


@dataclass(frozen=True)
class Layout:
    """Where the sequences of a micro-batch lie among its tokens.

    Attributes:
        starts, rows, keys: (s,) int32 on the device: a sequence's first token, its queries, its keys. A sequence may
            have none.
        real: (s,) int32, its queries that are tokens of the corpus, the first ones.
        longest: the largest number of keys or queries that there may be, a constant of the run.
        every_query, every_key: whether each token is one of them in its sequence, so that programs write its row.
    """

    starts: Tensor
    rows: Tensor
    keys: Tensor
    real: Tensor
    longest: int
    every_query: bool = False
    every_key: bool = False

    def counting(self, *, padding_queries: bool) -> Layout:
        """Return the layout of a term: all queries count, or those of real tokens."""
        return self if padding_queries else replace(self, rows=self.real, every_query=False)


def packed_layout(boundaries: Tensor, longest: int, real_tokens: Tensor | None = None) -> Layout:
    """Return the layout of sequences without padding.

    Args:
        boundaries: (s + 1,) int32, where they begin and end, the last one at the last token.
        real_tokens: (1, t) bool; sequences that begin behind the real tokens are fill. None: none is.
    """
    lengths, starts = boundaries.diff(), boundaries[:-1]
    real = lengths if real_tokens is None else lengths * (starts < real_tokens.sum())
    return Layout(starts, lengths, lengths, real, longest, every_query=True, every_key=True)


def padded_layout(count: int, length: int, real_tokens: Tensor | None, device: torch.device) -> Layout:
    """Return the layout of (count, length) tokens; real_tokens (count, length) bool, each row's first ones."""
    starts = torch.arange(0, count * length, length, dtype=torch.int32, device=device)
    rows = torch.full_like(starts, length)
    keys = rows if real_tokens is None else real_tokens.sum(-1, dtype=torch.int32)
    return Layout(starts, rows, keys, keys, length, every_query=True, every_key=real_tokens is None)


@dataclass(frozen=True)
class Maps:
    """What the maps of one layer follow from.

    Attributes:
        query, key: (b, heads, length, size).
        scale: of their products.
        dropout: probability; 0 where maps are compared before it.
        seed: (1,) int64 on the device, see `draws`; None without dropout.
    """

    query: Tensor
    key: Tensor
    scale: float
    dropout: float = 0.0
    seed: Tensor | None = None


def dropped_attention(maps: Maps, value: Tensor, layout: Layout) -> Tensor:
    """Return attention's output (b, length, heads, size): maps after dropout times values (b, heads, length, size)."""
    batch, heads, length, size = value.shape
    rows = [_token_rows(tensor) for tensor in (maps.query, maps.key, value)]
    output: Tensor = _Attention.apply(*rows, maps, layout)
    return output.view(batch, length, heads, size)


def compare_maps(student: Maps, teacher: Maps, layout: Layout, formula: str, *, by_keys: bool = False) -> Tensor:
    """Return a term's sum over maps, averaged over heads; gradients go to the student's queries and keys.

    Args:
        layout: whose rows are the queries that count.
        formula: `kl`, KL(teacher || student) of probabilities, each plus 1e-12; `mse`, squared differences of
            probabilities; `score_mse`, of scaled products before softmax and dropout.
        by_keys: each row is divided by its number of keys.

    Raises:
        ValueError: the shapes do not fit, which a kernel would read beside them for.
    """
    if len({one.shape[:3] for maps in (student, teacher) for one in (maps.query, maps.key)}) != 1:
        raise ValueError(f"maps of {tuple(student.query.shape)} and {tuple(teacher.query.shape)}: their shapes differ")
    others = [_token_rows(tensor.detach()) for tensor in (teacher.query, teacher.key)]
    rows = [_token_rows(tensor) for tensor in (student.query, student.key)]
    total: Tensor = _Comparison.apply(*rows, *others, student, teacher, layout, formula, by_keys)
    return total / student.query.shape[1]


class _Attention(torch.autograd.Function):
    """See `dropped_attention`; rows are (t, heads, size)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, maps: Maps, layout: Layout) -> Tensor:
        from compactbio.kernels.programs import maps as programs

        # zeros where programs do not write: nobody reads that, yet it has to be finite
        output = _like(value, value.dtype, written=layout.every_query)
        logs = _like(query[..., 0], written=layout.every_query)
        places = (layout.starts, layout.rows, layout.keys, maps.seed, query.shape[1])
        ctx.save_for_backward(query, key, value, logs)
        ctx.layout, ctx.places, ctx.numbers = layout, places, (maps.scale, *threshold(maps.dropout))
        ctx.constants = _constants(query)
        steps, step = _steps(query, key, value)
        programs.attend[_grid(layout, query, QUERIES)](
            query, key, value, output, logs, *places, *steps, *ctx.numbers,
            **ctx.constants, STEP=step, N=power_of_two(layout.longest), BQ=QUERIES,
        )  # fmt: skip
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        from compactbio.kernels.programs import maps as programs

        query, key, value, logs = ctx.saved_tensors
        gradient = gradient.to(value.dtype).contiguous()
        read = (query, key, value, gradient)
        by_query, by_key = ctx.layout.every_query, ctx.layout.every_key
        to_query, to_key, to_value = (
            _like(one, one.dtype, written=written)
            for one, written in zip(read, (by_query, by_key, by_key), strict=False)
        )
        means = torch.empty_like(logs)
        steps, step = _steps(*read)
        common, constants = (*ctx.places, *steps, *ctx.numbers), {**ctx.constants, "STEP": step}
        programs.attend_backward_queries[_grid(ctx.layout, query, QUERIES)](
            *read, to_query, logs, means, *common, **constants, N=power_of_two(ctx.layout.longest), BQ=QUERIES
        )
        programs.attend_backward_keys[_grid(ctx.layout, query, KEYS)](
            *read, to_key, to_value, logs, means, *common, **constants, BK=KEYS, BQ=QUERIES
        )
        return to_query, to_key, to_value, None, None


class _Comparison(torch.autograd.Function):
    """See `compare_maps`; rows are (t, heads, size)."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, other_query: Tensor, other_key: Tensor, student: Maps, teacher: Maps,
        layout: Layout, formula: str, by_keys: bool,
    ) -> Tensor:  # fmt: skip
        from compactbio.kernels.programs import maps as programs

        wanted = any(ctx.needs_input_grad[:2])
        read = (query, key, other_query, other_key)
        sums = _like(query[..., 0], written=layout.every_query)
        kept = [torch.empty_like(sums) if wanted else sums for _ in range(3)]
        to_query, to_key = (
            _like(one, one.dtype, written=written) if wanted else sums
            for one, written in zip(read, (layout.every_query, layout.every_key), strict=False)
        )
        seeds = [sums if one.seed is None else one.seed for one in (student, teacher)]
        (threshold_s, kept_s), (threshold_t, kept_t) = threshold(student.dropout), threshold(teacher.dropout)
        (steps_s, step_s), (steps_t, step_t) = _steps(query, key), _steps(other_query, other_key)
        common = (
            layout.starts, layout.rows, layout.keys, *seeds, query.shape[1], *steps_s, *steps_t,
            student.scale, teacher.scale, threshold_s, threshold_t, kept_s, kept_t,
        )  # fmt: skip
        constants = {f"{name}_S" if name in _BY_SIDE else name: value for name, value in _constants(query).items()}
        constants |= {f"{name}_T": _constants(other_query)[name] for name in _BY_SIDE}
        constants |= {"STEP_S": step_s, "STEP_T": step_t, "FORMULA": _FORMULAS[formula], "BY_KEYS": by_keys}
        constants |= {"DROP_S": student.dropout > 0.0, "DROP_T": teacher.dropout > 0.0}
        programs.compare[_grid(layout, query, QUERIES)](
            *read,
            sums,
            to_query,
            *kept,
            *common,
            **constants,
            N=power_of_two(layout.longest),
            BQ=QUERIES,
            BACKWARD=wanted,
        )
        if wanted:
            programs.compare_keys[_grid(layout, query, KEYS)](
                *read, to_key, *kept, *common, **constants, BK=KEYS, BQ=QUERIES
            )
            ctx.save_for_backward(to_query, to_key)
        return sums.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        to_query, to_key = ctx.saved_tensors
        return to_query * gradient, to_key * gradient, *[None] * 7


_BY_SIDE = ("SIZE", "BLOCK")
_FORMULAS = {"kl": 0, "mse": 1, "score_mse": 2}  # numbers of `programs.maps`


def _token_rows(tensor: Tensor) -> Tensor:
    """Return (b x length, heads, size) of (b, heads, length, size), a view where the memory allows it."""
    rows = tensor.transpose(1, 2).flatten(0, 1)
    return rows if rows.stride(-1) == 1 else rows.contiguous()


def _steps(*rows: Tensor) -> tuple[tuple[int, ...], int]:
    """Return the strides of tokens and heads of each in steps, and the step of all of them."""
    return in_steps(*(stride for one in rows for stride in one.stride()[:2]))


def _like(tensor: Tensor, dtype: torch.dtype = torch.float32, *, written: bool) -> Tensor:
    """Return contiguous memory of a shape, zeros unless programs write all of it."""
    make = torch.empty if written else torch.zeros
    return make(tensor.shape, dtype=dtype, device=tensor.device)


def _grid(layout: Layout, query: Tensor, block: int) -> tuple[int, int, int]:
    """Return the numbers of programs: sequences, heads, blocks of queries or keys."""
    return len(layout.starts), query.shape[1], -(-layout.longest // block)


def _constants(query: Tensor) -> dict[str, Any]:
    """Return what every program is compiled for, and its warps."""
    tf32 = query.dtype is torch.float32 and torch.get_float32_matmul_precision() != "highest"
    size = query.shape[-1]
    return {"SIZE": size, "BLOCK": power_of_two(size), "PRECISION": "tf32" if tf32 else "ieee", "num_warps": WARPS}
