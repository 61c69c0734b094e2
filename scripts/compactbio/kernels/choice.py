"""Whether kernels in Triton are used on a device: what all of them need, and the outcome of a trial."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from compactbio.training.error_causes import is_taken, lacks_memory

SWITCH = "COMPACTBIO_TRITON"  # an environment variable; 0: none of the kernels is taken
LEAST_CAPABILITY = (8, 0)  # Triton's products of matrices use tensor cores from there on


def refusal(device: torch.device, trial: Callable[[], str | None], unfit: str | None = None) -> str | None:
    """Return why a device goes without kernels, or None where they take the place of the plain path.

    Args:
        trial: returns what of a small example differs from the plain formulas, or None.
        unfit: why a training's sizes or precision are nothing for the kernels.

    Raises:
        Exception: the trial ends in a lack of memory, or as another process has the GPU for itself.
    """
    if device.type != "cuda":
        return "the kernels are for GPUs"
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH}=0 is set"
    if importlib.util.find_spec("triton") is None:
        return "Triton is not installed; a torch for GPUs brings it"
    capability = torch.cuda.get_device_capability(device)
    if capability < LEAST_CAPABILITY:
        return f"the GPU's compute capability is {capability[0]}.{capability[1]}, the kernels need 8.0"
    if unfit is not None:
        return unfit
    try:
        return trial()
    except Exception as error:  # compilers and drivers fail in many ways, and the plain path needs neither
        # the plain path would need more, and another try may find room
        if lacks_memory(error) or is_taken(error):
            raise
        said = f"the trial ended with {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        lacking = toolchain_gap()
        return f"{said} ({lacking})" if lacking else said


def toolchain_gap() -> str | None:
    """Return what is not here of that with which Triton builds, once, the small libraries that launch its programs."""
    if not (os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang")):
        return "Triton needs a C compiler: no gcc or clang is on PATH, and CC names none"
    headers = Path(sysconfig.get_path("include", "posix_prefix"))  # of a virtual environment's own Python too
    if not (headers / "Python.h").is_file():
        return f"Triton needs Python's headers: no Python.h in {headers}, which a package such as python3-dev brings"
    return None


def difference(names: tuple[str, ...], found: list[Tensor], expected: list[Tensor], limit: float) -> str | None:
    """Return which result of a trial is too far from the plain formula's, by relative norms, or None."""
    for name, one, other in zip(names, found, expected, strict=True):
        apart = float((one.float() - other.float()).norm() / other.float().norm())
        if not apart <= limit:
            return f"in a trial, their {name} differ by {apart:.2g} from the plain formula's"
    return None


def unit_values(places: Tensor, longest: int, like: Tensor) -> Iterator[Tensor]:
    """Yield values (keys, size) with which attention's output is its maps after dropout, so many columns each time.

    Args:
        places: (keys,), of each key in its sequence.
        longest: of the sequences.
        like: (..., size), whose type and device they have.
    """
    size = like.shape[-1]
    for first in range(0, longest, size):
        yield (places[:, None] - first == torch.arange(size, device=places.device)).to(like)
