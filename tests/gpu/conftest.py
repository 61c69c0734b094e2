"""Tests that run on a GPU at the sizes of its kernels, and on a CPU in miniature with what stands in for a GPU there.

They need this checkout, pytest and what a training imports (torch, transformers, accelerate, numpy), nothing else.
"""

from __future__ import annotations

import pytest
import torch
from accelerate.state import AcceleratorState

REASON = "needs a GPU: `make test-gpu` on a machine with one"


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason=REASON))


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
