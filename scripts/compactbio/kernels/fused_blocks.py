"""Models whose embeddings and blocks end in the kernel of `residual_norm`, and feed-forward parts begin by `activated`.

Both or none, where a trial says that a device has them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partialmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.architectures.record import BlockPart, no_block_parts
from compactbio.kernels.activated import RELU, activated, formula_of
from compactbio.kernels.choice import difference, refusal
from compactbio.kernels.residual_norm import WIDEST, Norm, residual_norm
from compactbio.training.devices import tensor_type
from compactbio.training.half_copies import half_of, operands

AGREEMENT = {torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.03}  # of results, relative to their norms
TRIAL_ROWS, TRIAL_INPUTS = 45, 64
# ends of blocks and of embeddings: epsilon (None: not normalised), dropout, whether that comes last
TRIAL_NORMS = ((1e-5, 0.25, False), (1e-5, 0.0, False), (1e-5, 0.25, True), (None, 0.25, False))


class Kernels:
    """Parts of a layer by way of the kernels (see `record.BlockKernels`)."""

    def normed(
        self, dense: Any, states: Tensor, residual: Tensor | None, norm: nn.Module, dropout: nn.Module | None,
        *, late: bool = False,
    ) -> Tensor:  # fmt: skip
        """Return what `residual_norm` does with dense(states), and a copy for the products of autocast."""
        if dense is not None:
            states = F.linear(*operands(dense, states))
        kind = states.device.type
        half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        parts: Any = norm
        probability = float(dropout.p) if isinstance(dropout, nn.Dropout) and dropout.training else 0.0
        values = Norm(parts.weight, parts.bias, getattr(norm, "eps", None))
        bias = None if dense is None else dense.bias
        return residual_norm(states, residual, values, dropout=probability, late=late, half=half, bias=bias)

    def activated(self, dense: Any, states: Tensor, activation: Any) -> Tensor:
        """Return activation(dense(states)), plainly where it is none of the kernel's."""
        formula = formula_of(activation)
        if formula is None:
            plain: Tensor = activation(dense(states))
            return plain
        return activated(*operands(dense, states), dense.bias, formula)


KERNELS = Kernels()


def fuse_blocks(models: Iterable[PreTrainedModel], device: torch.device, precision: str) -> bool:
    """Have kernels compute ends of models' embeddings and parts of their blocks, where a GPU has them.

    Return whether they do; the log says why not.

    Args:
        models: which stay on this device as long as they run.
        precision: fp32, tf32, bf16 or fp16.
    """
    fused = [model for model in models if has_parts(model)]
    if device.type == "cpu" or not fused:
        return False
    norms, inner = widths_of(part for model in fused for part in (*block_parts(model), *embeddings_end(model)))
    unfit = None if max(norms) <= WIDEST else f"hidden states of {max(norms)} values are wider than {WIDEST}"
    dtype = tensor_type(precision)
    reason = refusal(device, lambda: trial(device, dtype, norms, inner), unfit)
    logging.info("parts of blocks: %s", f"operation by operation, for {reason}" if reason else "fused, by Triton")
    if reason is None:
        for model in fused:
            install(model)
    return reason is None


def has_parts(model: PreTrainedModel) -> bool:
    """Return whether a model's blocks have parts that kernels know."""
    return architecture_of(model).block_parts is not no_block_parts


def install(model: PreTrainedModel) -> None:
    """Have kernels compute a model's ends of embeddings and parts of blocks."""
    for module, part in block_parts(model).items():
        module.__class__ = _with_forward(type(module), partialmethod(_compute, part))
    norm, dropout = embeddings_end(model)
    norm.__class__ = _with_forward(type(norm), _pass)  # it is the kernel's, whose place is the dropout's
    dropout.__class__ = _with_forward(type(dropout), _drop_behind)
    dropout.__dict__["norm"] = norm  # no submodule: it has its name already


def block_parts(model: PreTrainedModel) -> Mapping[nn.Module, BlockPart]:
    """Return the modules of a model that kernels can compute parts of, and what their forward passes become."""
    architecture = architecture_of(model)
    return {
        module: part
        for layer in architecture.layers_of(model)
        for module, part in architecture.block_parts(layer).items()
    }


def embeddings_end(model: PreTrainedModel) -> tuple[nn.Module, nn.Module]:
    """Return the normalisation and the dropout with which a model's embeddings end."""
    norm, dropout = architecture_of(model).embeddings_end
    return model.base_model.get_submodule(norm), model.base_model.get_submodule(dropout)


def widths_of(parts: Iterable[nn.Module]) -> tuple[set[int], set[tuple[int, str]]]:
    """Return the widths of normalisations in modules, and widths and formulas of activations' layers, or some more."""
    norms, inner = set(), set()
    for modules in (list(part.modules()) for part in parts):
        weights = (getattr(one, "weight", None) for one in modules)
        norms |= {len(weight) for weight in weights if weight is not None and weight.dim() == 1}
        formulas = filter(None, map(formula_of, modules))
        linear = [one.out_features for one in modules if isinstance(one, nn.Linear)]
        inner |= {(width, formula) for formula in formulas for width in linear}
    return norms, inner


def trial(
    device: torch.device, dtype: torch.dtype, widths: Iterable[int], inner: Iterable[tuple[int, str]]
) -> str | None:
    """Return what of small examples differs from the plain formulas, dropout and gradients included, or None.

    Args:
        widths: of normalisations.
        inner: widths of layers before activations, and the formulas of these.
    """
    for width in sorted(widths):
        for epsilon, dropout, late in TRIAL_NORMS:
            if why := _try_norm(device, dtype, width, epsilon, dropout, late=late):
                return f"{why} (rows of {width})"
    for width, formula in sorted(inner):
        if why := _try_activation(device, dtype, width, formula):
            return f"{why} ({formula}, rows of {width})"
    return None


def _try_norm(
    device: torch.device, dtype: torch.dtype, width: int, epsilon: float | None, dropout: float, *, late: bool
) -> str | None:
    """Return what of an end of a block or, where that is late, of embeddings differs, or None."""
    half = None if dtype == torch.float32 else dtype
    generator = torch.Generator().manual_seed(width)
    # tensors of their own, for Triton compiles once more where an address is no multiple of 16
    drawn = [torch.randn(TRIAL_ROWS, width, generator=generator).to(device) for _ in range(3)]
    product, residual = drawn[0].to(dtype), None if late else drawn[1]
    weight, bias, added = (torch.randn(width, generator=generator).to(device) + 1.0 for _ in range(3))
    given = {"states": product, "residual": residual, "weight": weight, "bias": bias, "states' bias": added}
    leaves = {name: one.requires_grad_() for name, one in given.items() if one is not None}
    options: dict[str, Any] = {}
    factors = torch.ones(TRIAL_ROWS, width, device=device)
    if dropout > 0.0:  # of ones, not normalised: the very draw
        options = {"dropout": dropout, "seed": torch.tensor([width], device=device)}
        kept = Norm(torch.ones_like(weight), torch.zeros_like(bias), None)
        factors = residual_norm(torch.ones_like(product), None, kept, **options).detach()
    norm = Norm(weight, bias, epsilon)
    states = product + added.detach().to(dtype)
    found = residual_norm(states, residual, norm, late=late, half=half, bias=added, **options)
    states = (product + added.to(dtype)).float()
    sums = states if late else states * factors + drawn[1]
    if epsilon is not None:
        sums = F.layer_norm(sums, (width,), eps=epsilon)
    expected = (sums * weight + bias) * (factors if late else 1.0)
    copy = found if half is None else half_of(found, half)
    results = [
        [one.detach(), other.detach(), *torch.autograd.grad(((one + other) * drawn[2]).sum(), [*leaves.values()])]
        for one, other in ((found, copy), (expected, expected))
    ]
    names = ("output", "copy", *(f"gradient of {name}" for name in leaves))
    return difference(names, results[0], results[1], AGREEMENT[dtype])


def _try_activation(device: torch.device, dtype: torch.dtype, width: int, formula: str) -> str | None:
    """Return what of a linear layer with its activation differs, or None.

    The products are exact in any type, and none is near 0: by a rounding its sign and ReLU's gradient would change.
    """
    generator = torch.Generator().manual_seed(width)
    states, weight, bias = (
        torch.randint(-2, 3, shape, generator=generator).to(device)
        for shape in ((TRIAL_ROWS, TRIAL_INPUTS), (width, TRIAL_INPUTS), (width,))
    )
    direction = torch.randn(TRIAL_ROWS, width, generator=generator).to(device)
    leaves = [states.to(dtype), weight.to(dtype) / 16, (2.0 * bias + 1.0) / 32]
    for one in leaves:
        one.requires_grad_()
    added = leaves[2].to(dtype)
    product = F.linear(leaves[0], leaves[1], added)
    outputs = [
        activated(leaves[0], leaves[1], added.detach(), leaves[2], formula),
        F.relu(product) if formula == RELU else F.gelu(product),
    ]
    results = [[one.detach(), *torch.autograd.grad((one * direction).sum(), leaves)] for one in outputs]
    names = ("output", *(f"gradient of {name}" for name in ("states", "weight", "bias")))
    return difference(names, results[0], results[1], AGREEMENT[dtype])


def _compute(self: nn.Module, part: BlockPart, *arguments: Any, **options: Any) -> Any:
    """Return what a part of a block returns."""
    return part(self, KERNELS, *arguments, **options)


def _pass(self: nn.Module, states: Tensor) -> Tensor:
    """Return the states."""
    return states


def _drop_behind(self: Any, states: Tensor) -> Tensor:
    """Return the normalised states, dropped out."""
    return KERNELS.normed(None, states, None, self.norm, self, late=True)


def _with_forward(kind: type, forward: Any) -> type:
    """Return a class of modules with this forward pass."""
    return type(f"Fused{kind.__name__}", (kind,), {"forward": forward})
