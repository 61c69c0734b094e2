"""The name of the machine in the tables of the benchmarks."""

from __future__ import annotations


def hardware_name(threads: int) -> str:
    """Return the GPU's name, or the CPU's with the number of threads."""
    import torch

    from compactbio.provenance import hardware

    found = hardware()
    return found["gpus"][0] if torch.cuda.is_available() else f"{found['processor']}, {threads} threads"
