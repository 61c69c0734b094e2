"""Models whose embeddings and blocks end in the kernel of `residual_norm`, where a trial says that a device has it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from functools import partialmethod
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.architectures.record import BlockEnd, no_block_ends
from compactbio.kernels.choice import difference, refusal
from compactbio.kernels.residual_norm import WIDEST, Norm, residual_norm
from compactbio.training.devices import tensor_type
from compactbio.training.half_copies import half_of

AGREEMENT = {torch.float32: 1e-4, torch.float16: 0.01, torch.bfloat16: 0.03}  # of results, relative to their norms
TRIAL_ROWS, TRIAL_DROPOUT, TRIAL_EPSILON = 45, 0.25, 1e-5


def fuse_norms(models: Iterable[PreTrainedModel], device: torch.device, precision: str) -> bool:
    """Have embeddings and blocks of models end in one kernel each, where a GPU has it; return whether they do.

    The log says why not.

    Args:
        models: which stay on this device as long as they run.
        precision: fp32, tf32, bf16 or fp16.
    """
    fused = [model for model in models if has_ends(model)]
    if device.type == "cpu" or not fused:
        return False
    parts = [part for model in fused for part in (*block_ends(model), *embeddings_end(model))]
    weights = [getattr(one, "weight", None) for part in parts for one in part.modules()]
    widths = {len(weight) for weight in weights if weight is not None and weight.dim() == 1}  # of normalisations
    unfit = None if max(widths) <= WIDEST else f"hidden states of {max(widths)} values are wider than {WIDEST}"
    dtype = tensor_type(precision)
    reason = refusal(device, lambda: trial(device, dtype, widths), unfit)
    logging.info("ends of blocks: %s", f"operation by operation, for {reason}" if reason else "fused, by Triton")
    if reason is None:
        for model in fused:
            install(model)
    return reason is None


def has_ends(model: PreTrainedModel) -> bool:
    """Return whether blocks of a model end in a normalisation of what they add to their input."""
    return architecture_of(model).block_ends is not no_block_ends


def install(model: PreTrainedModel) -> None:
    """Have a model's embeddings and blocks end in the kernel."""
    for part, end in block_ends(model).items():
        part.__class__ = _with_forward(type(part), partialmethod(_end, end))
    norm, dropout = embeddings_end(model)
    norm.__class__ = _with_forward(type(norm), _pass)  # it is the kernel's, whose place is the dropout's
    dropout.__class__ = _with_forward(type(dropout), _drop_behind)
    dropout.__dict__["norm"] = norm  # no submodule: it has its name already


def normed(
    states: Tensor, residual: Tensor | None, norm: nn.Module, dropout: nn.Module | None, *, late: bool = False
) -> Tensor:
    """Return what `residual_norm` does, with a copy for the products of autocast."""
    kind = states.device.type
    half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    parts: Any = norm
    probability = float(dropout.p) if isinstance(dropout, nn.Dropout) and dropout.training else 0.0
    values = Norm(parts.weight, parts.bias, getattr(norm, "eps", None))
    return residual_norm(states, residual, values, dropout=probability, late=late, half=half)


def trial(device: torch.device, dtype: torch.dtype, widths: Iterable[int]) -> str | None:
    """Return what of small examples differs from the plain formulas, dropout and gradients included, or None."""
    half = None if dtype == torch.float32 else dtype
    for width in sorted(widths):
        for epsilon, late in ((TRIAL_EPSILON, False), (TRIAL_EPSILON, True), (None, False)):
            generator = torch.Generator().manual_seed(width)
            drawn = torch.randn(3, TRIAL_ROWS, width, generator=generator).to(device)
            weight, bias = (torch.randn(2, width, generator=generator).to(device) + 1.0).requires_grad_().unbind()
            states, residual = drawn[0].to(dtype).requires_grad_(), drawn[1].requires_grad_()
            leaves = [states, residual, weight, bias]
            options: dict[str, Any] = {"dropout": TRIAL_DROPOUT, "seed": torch.tensor([width], device=device)}
            # of ones, not normalised: the very draw
            kept = Norm(torch.ones_like(weight), torch.zeros_like(bias), None)
            factors = residual_norm(torch.ones_like(states), None, kept, **options).detach()
            found = residual_norm(states, residual, Norm(weight, bias, epsilon), late=late, half=half, **options)
            sums = (states.float() if late else states.float() * factors) + residual
            if epsilon is not None:
                sums = nn.functional.layer_norm(sums, (width,), eps=epsilon)
            expected = (sums * weight + bias) * (factors if late else 1.0)
            copy = found if half is None else half_of(found, half)
            results = [
                [one.detach(), other.detach(), *torch.autograd.grad(((one + other) * drawn[2]).sum(), leaves)]
                for one, other in ((found, copy), (expected, expected))
            ]
            names = ("output", "copy", *(f"gradient of {name}" for name in ("states", "residual", "weight", "bias")))
            if why := difference(names, results[0], results[1], AGREEMENT[dtype]):
                return f"{why} (rows of {width})"
    return None


def block_ends(model: PreTrainedModel) -> Mapping[nn.Module, BlockEnd]:
    """Return the modules of a model in which blocks end, and what their forward passes become."""
    architecture = architecture_of(model)
    return {
        part: end for layer in architecture.layers_of(model) for part, end in architecture.block_ends(layer).items()
    }


def embeddings_end(model: PreTrainedModel) -> tuple[nn.Module, nn.Module]:
    """Return the normalisation and the dropout with which a model's embeddings end."""
    norm, dropout = architecture_of(model).embeddings_end
    return model.base_model.get_submodule(norm), model.base_model.get_submodule(dropout)


def _end(self: nn.Module, end: BlockEnd, *arguments: Any, **options: Any) -> Any:
    """Return what a module in which a block ends returns."""
    return end(self, normed, *arguments, **options)


def _pass(self: nn.Module, states: Tensor) -> Tensor:
    """Return the states."""
    return states


def _drop_behind(self: Any, states: Tensor) -> Tensor:
    """Return the normalised states, dropped out."""
    return normed(states, None, self.norm, self, late=True)


def _with_forward(kind: type, forward: Any) -> type:
    """Return a class of modules with this forward pass."""
    return type(f"Fused{kind.__name__}", (kind,), {"forward": forward})
