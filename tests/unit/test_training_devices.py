"""Kernels of attention that a process may take."""

from __future__ import annotations

import os
import re
import weakref

import pytest
import torch
from accelerate.state import AcceleratorState

from compactbio.errors import UserError
from compactbio.training.devices import chosen_precision, give_back_memory, set_determinism
from compactbio.training.processes import precision_of, start_accelerator


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_no_training_or_prediction_takes_cudnn_attention(precision: str) -> None:
    AcceleratorState._reset_state(reset_partial_state=True)  # a process has one precision
    torch.backends.cuda.enable_cudnn_sdp(True)
    start_accelerator(precision)
    assert not torch.backends.cuda.cudnn_sdp_enabled()
    assert torch.backends.cuda.flash_sdp_enabled() and torch.backends.cuda.mem_efficient_sdp_enabled()
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize(
    ("gpu", "bf16", "capability", "wanted", "chosen"),
    [
        (False, False, (0, 0), "half", "bf16"),
        (False, False, (0, 0), "bf16", "bf16"),
        (False, False, (0, 0), "tf32", "tf32 needs a GPU; use half, bf16 or fp32 here"),
        (False, False, (0, 0), "fp16", "fp16 needs a GPU"),
        (True, True, (9, 0), "half", "bf16"),
        (True, True, (8, 0), "tf32", "tf32"),
        (True, True, (9, 0), "fp32", "fp32"),
        (True, False, (7, 0), "half", "fp16"),
        (True, False, (7, 0), "bf16", "this GPU has no bf16; use half, fp16 or fp32"),
        (True, False, (7, 0), "tf32", "this GPU has no TF32; use half, fp16 or fp32"),
        (True, True, (9, 0), "fp8", "'fp8' is unknown; use one of fp32, fp16, bf16, tf32, half"),
    ],
)
def test_a_precision_is_what_the_machine_has_of_it(monkeypatch, gpu, bf16, capability, wanted, chosen) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    if " " in chosen:
        with pytest.raises(UserError, match=re.escape(chosen)):
            chosen_precision(wanted)
    else:
        assert chosen_precision(wanted) == chosen


@pytest.mark.parametrize(
    ("bf16", "wanted", "chosen"),
    [
        (False, "half", "fp32"),
        (True, "half", "bf16"),
        (True, "bf16", "bf16"),
        (False, "fp32", "fp32"),
        (False, "fp16", "fp16 does not hold the activations of A and B; use half (fp32 here) or fp32"),
        (True, "fp16", "fp16 does not hold the activations of A and B; use half (bf16 here) or fp32"),
        (False, "bf16", "this GPU has no bf16; use half or fp32"),
        (False, "tf32", "this GPU has no TF32; use half or fp32"),
    ],
)
def test_models_that_fp16_does_not_hold_never_get_it(monkeypatch, caplog, bf16, wanted, chosen) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0) if bf16 else (7, 0))
    if " " in chosen:
        with pytest.raises(UserError, match=re.escape(chosen)):
            chosen_precision(wanted, ["B", "A", "B"])
    else:
        assert chosen_precision(wanted, ["A"]) == chosen
    said = "half is fp32 here: no bf16, and fp16 does not hold the activations of A" in caplog.text
    assert said == ((bf16, wanted) == (False, "half"))


def test_a_cpu_takes_bf16_for_half_and_says_so() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    assert precision_of(start_accelerator("half")) == "bf16"
    AcceleratorState._reset_state(reset_partial_state=True)


def test_determinism_is_asked_of_a_gpu_alone(monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    set_determinism(True)
    assert asked == []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    set_determinism(True)
    assert asked == [True]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize(("device", "emptied"), [("cpu", 0), ("cuda", 1)])
def test_what_a_training_left_in_cycles_is_freed_before_a_gpu_gets_it_back(monkeypatch, device, emptied) -> None:
    class Node:
        pass

    node = Node()
    node.itself = node
    left = weakref.ref(node)
    del node
    freed = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(left() is None))
    give_back_memory(torch.device(device))
    assert left() is None and freed == [True] * emptied
