"""Tests that run on a GPU at the sizes of its kernels, and on a CPU in miniature with what stands in for a GPU there.

They need this checkout, pytest and what a training imports (torch, transformers, accelerate, numpy), nothing else.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

# cuBLAS' first product decides for the whole process whether it may be asked to repeat its bits
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
if torch.cuda.is_available():
    os.environ.pop("TRITON_INTERPRET", None)  # whatever else tests/conftest.py went by

FOLDER = Path(__file__).parent
REASON = "needs a GPU: `make test-gpu` on a machine with one"


def pytest_collection_modifyitems(items):
    on_gpu = torch.cuda.is_available()
    for item in items:
        if FOLDER not in item.path.parents:
            continue
        if on_gpu and not item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="a training takes the GPU of this machine"))
        elif not on_gpu and item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason=REASON))


def leave_a_lost_gpu() -> None:
    """End this process where the GPU answers it no more (after an illegal access, say): all later tests would fail.

    Side by side, pytest-xdist starts another in its place.
    """
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        if "PYTEST_XDIST_WORKER" in os.environ:
            os._exit(1)
        pytest.exit(f"the GPU is lost to this process: {error}", returncode=1)


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request):
    """Where a test runs. A process has one precision, so that accelerate's state is forgotten around each test."""
    torch.set_num_threads(1)
    AcceleratorState._reset_state(reset_partial_state=True)
    precision = torch.get_float32_matmul_precision()
    yield torch.device(request.param)
    AcceleratorState._reset_state(reset_partial_state=True)
    torch.set_float32_matmul_precision(precision)
    torch.use_deterministic_algorithms(False)
    if request.param == "cuda":
        leave_a_lost_gpu()
