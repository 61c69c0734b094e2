"""Kernels of attention that a process may take."""

from __future__ import annotations

import pytest
import torch
from accelerate.state import AcceleratorState

from compactbio.training.processes import start_accelerator


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_training_or_prediction_takes_cudnn_attention(precision: str) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # a process has one precision
    torch.backends.cuda.enable_cudnn_sdp(True)
    start_accelerator(precision)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.mem_efficient_sdp_enabled()
    AcceleratorState._reset_state(reset_partial_state=True)
