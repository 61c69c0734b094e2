"""Counts what operations on a GPU launch, move and multiply, one after the other, from the shapes of their tensors.

An operation counts as one kernel, which reads and writes each value once: torch may need more of both. Views move
nothing. Products inside of attention and of Triton's programs are not counted, what these move is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from helpers.pretended_gpu import bytes_of

NOTHING = {"_unsafe_view", "lift_fresh", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
PRODUCTS = {"mm", "addmm", "_addmm_activation", "bmm", "baddbmm"}
ROWS = {"embedding", "index_select", "index", "gather"}  # of the first tensor as much is read as is returned
OVERWRITES = {"copy", "_foreach_copy", "fill", "zero", "_foreach_zero", "random", "uniform", "normal", "bernoulli"}
PLACES = {"index_add_", "index_copy_", "index_put_", "scatter_", "scatter_add_"}  # what comes last goes to some places
SHAPE_ONLY = {"nll_loss_backward": 1}  # an argument of which the shape alone matters
READ_ONLY = {"_fused_adamw_": ("grads",)}  # what is declared as written, and is not


class Launch(NamedTuple):
    """A kernel: its operation with the types of its first tensors, the bytes it moves, the FLOP of its products."""

    name: str
    bytes: int
    flops: int


@dataclass(frozen=True)
class Card:
    """A GPU: FLOP/s and bytes/s at their peaks, and the seconds that no kernel is faster than."""

    peak: float
    bandwidth: float
    least: float

    def seconds(self, launches: Counter[Launch]) -> float:
        """Return the time that no run of these launches one after the other stays below."""
        return sum(
            count * max(one.bytes / self.bandwidth, one.flops / self.peak, self.least)
            for one, count in launches.items()
        )


class Counting(TorchDispatchMode):
    """Counts the launches on a device, by what `section` returns at the time of each."""

    def __init__(self, section: Callable[[], Hashable] = lambda: None, device: str = "cuda") -> None:
        super().__init__()
        self.section, self.device = section, device
        self.sections: dict[Hashable, Counter[Launch]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), options: Any = None) -> Any:
        """Do the operation, and count it."""
        options = options or {}
        made = function(*arguments, **options)
        if any(one.device.type == self.device for one in _tensors((arguments, options, made))):
            launch = launch_of(function, arguments, options, made)
            if launch is not None:
                self.sections.setdefault(self.section(), Counter())[launch] += 1
        return made


def launch_of(function: Any, arguments: tuple[Any, ...], options: dict[str, Any], made: Any) -> Launch | None:
    """Return what an operation launches that has returned `made`, or None: nothing."""
    name = function.overloadpacket.__name__
    given = _tensors((arguments, options))
    changed = _changed(function, name, arguments, options)
    fresh = [one for one in _tensors(made) if not _among(one, changed)]
    if function.is_view or name in NOTHING or not (changed or fresh):
        return None
    if name in ROWS:
        read, written = [*given[1:], *fresh], fresh
    elif name == "nll_loss_forward":
        read, written = [given[1], given[1].float()], fresh  # one value of each row
    elif name in PLACES:
        read, written = given[1:], given[-1:]
    elif name.startswith("new_") or name.endswith("_like"):
        read, written = [], fresh
    else:
        overwrites = name.removesuffix("_") in OVERWRITES or any(one.is_out for one in function._schema.arguments)
        read = [one for one in given if not (overwrites and _among(one, changed))]
        written = [*changed, *fresh]
    if name in SHAPE_ONLY:
        read = [one for one in read if one is not arguments[SHAPE_ONLY[name]]]
    flops = 2 * given[-1].shape[-1] * given[-2].numel() if name in PRODUCTS else 0
    return Launch(
        f"{name} {_types(given[:2])}->{_types([*fresh, *changed][:1])}", _bytes(read) + _bytes(written), flops
    )


def by_name(launches: Counter[Launch]) -> list[tuple[str, int, int, int]]:
    """Return (name, kernels, bytes, FLOP) of each operation, those that move most first."""
    sums: dict[str, list[int]] = {}
    for one, count in launches.items():
        total = sums.setdefault(one.name, [0, 0, 0])
        for place, value in enumerate((1, one.bytes, one.flops)):
            total[place] += count * value
    return sorted(((name, *total) for name, total in sums.items()), key=lambda row: -row[2])


def total(launches: Counter[Launch]) -> tuple[int, int, int]:
    """Return kernels, bytes and FLOP."""
    rows = by_name(launches)
    return tuple(sum(row[place] for row in rows) for place in (1, 2, 3))


def _changed(function: Any, name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> list[Tensor]:
    """Return the tensors that an operation changes in place."""
    changed = []
    for place, one in enumerate(function._schema.arguments):
        value = arguments[place] if place < len(arguments) else options.get(one.name)
        if one.alias_info is not None and one.alias_info.is_write and one.name not in READ_ONLY.get(name, ()):
            changed += _tensors(value)
    return changed


def _tensors(values: Any) -> list[Tensor]:
    return [one for one in tree_leaves(values) if isinstance(one, torch.Tensor)]


def _among(tensor: Tensor, others: Iterable[Tensor]) -> bool:
    return any(tensor is one for one in others)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(bytes_of(one) for one in {id(one): one for one in tensors}.values())


def _types(tensors: list[Tensor]) -> str:
    return ",".join(str(one.dtype).removeprefix("torch.") for one in tensors)
