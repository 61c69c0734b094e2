"""The device that a process computes on: its kernels of attention, its peak, and the memory it has needed."""

from __future__ import annotations

import re

import torch

# Dense peaks in TFLOP/s: name as torch.cuda.get_device_name gives it, without the maker; fp32 without TF32, fp16, bf16.
# NVIDIA's figures, as its data sheets and papers are quoted; half of a figure with sparsity is the dense one.
# GeForce cards: with fp32 accumulation, as torch multiplies; that is half of what they do with fp16 accumulation.
# A part of a GPU (MIG) has another name and is unknown on purpose.
PEAKS = (
    (r"Tesla V100-SXM2-\d+GB", 15.7, 125.0, None),
    (r"Tesla V100-PCIE-\d+GB", 14.0, 112.0, None),
    (r"A100-(SXM4|PCIE)-\d+GB|A100 80GB PCIe", 19.5, 312.0, 312.0),
    (r"H100 80GB HBM3", 66.9, 989.4, 989.4),
    (r"H100 PCIe", 51.2, 756.0, 756.0),
    (r"H200", 66.9, 989.4, 989.4),
    (r"L40S", 91.6, 362.05, 362.05),
    (r"A40", 37.4, 149.7, 149.7),
    (r"GeForce RTX 3090", 35.6, 71.0, 71.0),
    (r"GeForce RTX 4090", 82.6, 165.2, 165.2),
)
PRECISIONS = ("fp32", "fp16", "bf16")


def leave_out_cudnn_attention() -> None:
    """Have torch choose another kernel than cuDNN's for scaled_dot_product_attention, in all of this process.

    cuDNN builds a plan for every new shape, which takes the host hundreds of milliseconds on an H100, and batches of
    texts bring new shapes at every step. Without it DistilBioBERT's step in bf16 took 131 ms instead of 676 there.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def known_peak(name: str, precision: str) -> float | None:
    """Return the dense peak of a GPU in FLOP/s for fp32, fp16 or bf16; None where it is not known."""
    for pattern, *peaks in PEAKS:
        if re.fullmatch(pattern, name.removeprefix("NVIDIA ")):
            peak = peaks[PRECISIONS.index(precision)]
            return None if peak is None else 1e12 * peak
    return None


def device_peak(device: torch.device, precision: str) -> float | None:
    """Return the dense peak of a process's device in FLOP/s; None for CPUs and unknown GPUs."""
    return known_peak(torch.cuda.get_device_name(device), precision) if device.type == "cuda" else None


def peak_memory_mb() -> float:
    """Return the peak memory so far: of the GPU where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
