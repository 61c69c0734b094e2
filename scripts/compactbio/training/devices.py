"""The device that a process computes on: its kernels of attention, its peak, and the memory it has needed."""

from __future__ import annotations

import gc
import logging
import os
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch

from compactbio.errors import UserError

# Dense peaks in TFLOP/s: name as torch.cuda.get_device_name gives it, without the maker; fp32 without TF32, fp16, bf16,
# TF32.
# NVIDIA's figures, as its data sheets and papers are quoted; half of a figure with sparsity is the dense one.
# GeForce cards: with fp32 accumulation, as torch multiplies; that is half of what they do with fp16 accumulation.
# A part of a GPU (MIG) has another name and is unknown on purpose.
PEAKS = (
    (r"Tesla V100-SXM2-\d+GB", 15.7, 125.0, None, None),
    (r"Tesla V100-PCIE-\d+GB", 14.0, 112.0, None, None),
    (r"A100-(SXM4|PCIE)-\d+GB|A100 80GB PCIe", 19.5, 312.0, 312.0, 156.0),
    (r"H100 80GB HBM3", 66.9, 989.4, 989.4, 494.7),
    (r"H100 PCIe", 51.2, 756.0, 756.0, 378.0),
    (r"H200", 66.9, 989.4, 989.4, 494.7),
    (r"L40S", 91.6, 362.05, 362.05, 183.0),
    (r"A40", 37.4, 149.7, 149.7, 74.8),
    (r"GeForce RTX 3090", 35.6, 71.0, 71.0, 35.6),
    (r"GeForce RTX 4090", 82.6, 165.2, 165.2, 82.6),
)
PRECISIONS = ("fp32", "fp16", "bf16", "tf32")
HALF = "half"  # chosen by the device
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def tensor_type(precision: str) -> torch.dtype:
    """Return the type that matrix products of a precision read."""
    return TYPES.get(precision, torch.float32)


def chosen_precision(precision: str, beyond_fp16: Sequence[str] = ()) -> str:
    """Return what a configured precision is on this machine, for some models.

    Args:
        precision: fp32; tf32 (fp32 whose matrix products read TF32, from compute capability 8.0 on); bf16 or fp16
            (autocast; fp16 with loss scaling); half, which is bf16 where the GPU has it and on a CPU, else fp16.
        beyond_fp16: what models are called whose activations fp16 does not hold, for which half is fp32 rather than
            fp16. Loss scaling does not help them, it is gradients that it brings into range.

    Raises:
        UserError: it is unknown, or this machine does not have it, or the models do not fit into it.
    """
    if precision not in (*PRECISIONS, HALF):
        raise UserError(f"precision: {precision!r} is unknown; use one of {', '.join((*PRECISIONS, HALF))}")
    on_gpu = torch.cuda.is_available()
    has_bf16 = not on_gpu or torch.cuda.is_bf16_supported(including_emulation=False)
    names = " and ".join(sorted(set(beyond_fp16)))
    half = "bf16" if has_bf16 else "fp32" if names else "fp16"
    if precision == HALF:
        if half == "fp32":
            logging.info("precision: half is fp32 here: no bf16, and fp16 does not hold the activations of %s", names)
        return half
    if precision in ("fp16", "tf32") and not on_gpu:
        raise UserError(f"precision: {precision} needs a GPU; use half, bf16 or fp32 here")
    if precision == "fp16" and names:
        raise UserError(f"precision: fp16 does not hold the activations of {names}; use half ({half} here) or fp32")
    others = "half or fp32" if names else "half, fp16 or fp32"
    if precision == "bf16" and not has_bf16:
        raise UserError(f"precision: this GPU has no bf16; use {others}")
    if precision == "tf32" and torch.cuda.get_device_capability() < (8, 0):
        raise UserError(f"precision: this GPU has no TF32; use {others}")
    return precision


def set_determinism(deterministic: bool) -> None:
    """Have a GPU calculate the same bits from the same numbers, or as fast as it can; call it before it calculates.

    A CPU does so in any case, with the same number of threads.
    """
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # which cuBLAS needs for it
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # for the search of errors


def leave_out_cudnn_attention() -> None:
    """Have torch choose another kernel than cuDNN's for scaled_dot_product_attention, in all of this process.

    cuDNN builds a plan for every new shape, which takes the host hundreds of milliseconds on an H100, and batches of
    texts bring new shapes at every step. Without it DistilBioBERT's step in bf16 took 131 ms instead of 676 there.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def known_peak(name: str, precision: str) -> float | None:
    """Return the dense peak of a GPU in FLOP/s for fp32, fp16, bf16 or tf32; None where it is not known."""
    for pattern, *peaks in PEAKS:
        if re.fullmatch(pattern, name.removeprefix("NVIDIA ")):
            peak = peaks[PRECISIONS.index(precision)]
            return None if peak is None else 1e12 * peak
    return None


def drawing_apart(device: torch.device) -> AbstractContextManager[None]:
    """Return a context after which random numbers on a CPU and this device go on as if nothing had been drawn in it."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def device_name(device: torch.device) -> str:
    """Return what a process's device is called: a GPU by its maker's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def device_peak(device: torch.device, precision: str) -> float | None:
    """Return the dense peak of a process's device in FLOP/s; None for CPUs and unknown GPUs."""
    return known_peak(torch.cuda.get_device_name(device), precision) if device.type == "cuda" else None


def peak_memory_mb() -> float:
    """Return the peak memory so far: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def give_back_memory(device: torch.device) -> None:
    """Free what a training that is over left in cycles, and what torch keeps of it on a GPU, for others there.

    What CUDA graphs used is free for other graphs alone until then.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
