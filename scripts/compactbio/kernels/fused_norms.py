"""Models whose blocks end in the kernel of `residual_norm`, where a trial says that a device has it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
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
    """Have blocks of models end in one kernel each on a GPU that has it; return whether they do, the log says why not.

    Args:
        models: which stay on this device as long as they run.
        precision: fp32, tf32, bf16 or fp16.
    """
    ends = [pair for model in models for pair in block_ends(model)]
    if device.type == "cpu" or not ends:
        return False
    weights = [getattr(one, "weight", None) for part, _ in ends for one in part.modules()]
    widths = {len(weight) for weight in weights if weight is not None and weight.dim() == 1}  # of normalisations
    unfit = None if max(widths) <= WIDEST else f"hidden states of {max(widths)} values are wider than {WIDEST}"
    dtype = tensor_type(precision)
    reason = refusal(device, lambda: trial(device, dtype, widths), unfit)
    logging.info("ends of blocks: %s", f"operation by operation, for {reason}" if reason else "fused, by Triton")
    if reason is None:
        install(ends)
    return reason is None


def install(ends: Iterable[tuple[nn.Module, BlockEnd]]) -> None:
    """Give modules these forward passes, by way of the kernel."""
    for part, end in ends:
        part.__class__ = _ending(type(part), end)


def normed(states: Tensor, residual: Tensor | None, norm: nn.Module, dropout: nn.Module | None) -> Tensor:
    """Return norm(dropout(states) + residual) by the kernel, with a copy for the products of autocast."""
    kind = states.device.type
    half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    parts: Any = norm
    probability = float(dropout.p) if isinstance(dropout, nn.Dropout) and dropout.training else 0.0
    values = Norm(parts.weight, parts.bias, getattr(norm, "eps", None))
    return residual_norm(states, residual, values, dropout=probability, half=half)


def trial(device: torch.device, dtype: torch.dtype, widths: Iterable[int]) -> str | None:
    """Return what of small examples differs from the plain formulas, dropout and gradients included, or None."""
    half = None if dtype == torch.float32 else dtype
    for width in sorted(widths):
        for epsilon in (TRIAL_EPSILON, None):
            generator = torch.Generator().manual_seed(width)
            drawn = torch.randn(3, TRIAL_ROWS, width, generator=generator).to(device)
            weight, bias = (torch.randn(2, width, generator=generator).to(device) + 1.0).requires_grad_().unbind()
            states, residual = drawn[0].to(dtype).requires_grad_(), drawn[1].requires_grad_()
            leaves = [states, residual, weight, bias]
            seed = torch.tensor([width], device=device)
            # of ones, not normalised: the very draw
            kept = Norm(torch.ones_like(weight), torch.zeros_like(bias), None)
            factors = residual_norm(torch.ones_like(states), None, kept, dropout=TRIAL_DROPOUT, seed=seed).detach()
            found = residual_norm(
                states, residual, Norm(weight, bias, epsilon), dropout=TRIAL_DROPOUT, half=half, seed=seed
            )
            sums = states.float() * factors + residual
            if epsilon is not None:
                sums = nn.functional.layer_norm(sums, (width,), eps=epsilon)
            expected = sums * weight + bias
            copy = found if half is None else half_of(found, half)
            results = [
                [one.detach(), other.detach(), *torch.autograd.grad(((one + other) * drawn[2]).sum(), leaves)]
                for one, other in ((found, copy), (expected, expected))
            ]
            names = ("output", "copy", *(f"gradient of {name}" for name in ("states", "residual", "weight", "bias")))
            if why := difference(names, results[0], results[1], AGREEMENT[dtype]):
                return f"{why} (rows of {width})"
    return None


def block_ends(model: PreTrainedModel) -> list[tuple[nn.Module, BlockEnd]]:
    """Return the modules of a model in which blocks end, and what their forward passes become."""
    architecture = architecture_of(model)
    if architecture.block_ends is no_block_ends:
        return []
    return [pair for layer in architecture.layers_of(model) for pair in architecture.block_ends(layer).items()]


def _ending(kind: type, end: BlockEnd) -> type:
    """Return a class of modules that ends by way of the kernel."""

    def forward(self: nn.Module, *arguments: Any, **options: Any) -> Any:
        return end(self, normed, *arguments, **options)

    return type(f"Fused{kind.__name__}", (kind,), {"forward": forward})
