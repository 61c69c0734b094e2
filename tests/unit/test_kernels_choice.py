"""Why a device goes without kernels, in words that say what to do."""

from __future__ import annotations

import subprocess
import sysconfig

import pytest
import torch

from compactbio.kernels import choice

GPU = torch.device("cuda")


@pytest.fixture
def new_gpu(monkeypatch):
    """A GPU that has what the kernels need."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))


def refused_compiler():
    """A trial that ends as Triton's do where the compiler refuses what it is given."""
    raise subprocess.CalledProcessError(1, ["gcc", "cuda_utils.c"])


def test_a_variable_switches_all_kernels_off(monkeypatch):
    monkeypatch.setenv("COMPACTBIO_TRITON", "0")
    asked = []
    assert choice.refusal(GPU, lambda: asked.append(1)) == "COMPACTBIO_TRITON=0 is set"
    assert not asked


def test_without_triton_the_plain_path_runs(monkeypatch):
    monkeypatch.setattr(choice.importlib.util, "find_spec", lambda name: None)
    assert choice.refusal(GPU, lambda: None) == "Triton is not installed; a torch for GPUs brings it"


@pytest.mark.usefixtures("new_gpu")
def test_an_absent_compiler_is_named_where_a_trial_failed(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    reason = choice.refusal(GPU, refused_compiler)
    assert reason.startswith("the trial ended with CalledProcessError: ")
    assert reason.endswith("(Triton needs a C compiler: no gcc or clang is on PATH, and CC names none)")
    monkeypatch.setenv("CC", "/opt/cc")
    assert choice.refusal(GPU, refused_compiler).endswith("status 1.")


@pytest.mark.usefixtures("new_gpu")
def test_absent_headers_of_python_are_named_where_a_trial_failed(monkeypatch, tmp_path):
    monkeypatch.setenv("CC", "gcc")
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path))
    assert f"no Python.h in {tmp_path}, which a package such as python3-dev brings" in choice.refusal(
        GPU, refused_compiler
    )


@pytest.mark.usefixtures("new_gpu")
def test_what_is_built_already_needs_no_compiler(monkeypatch, tmp_path):
    """Triton keeps what it has built: a trial that passes is enough."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert choice.refusal(GPU, lambda: None) is None


@pytest.mark.usefixtures("new_gpu")
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("CUDA out of memory"),
        RuntimeError("CUDA-capable device(s) is/are busy or unavailable"),
    ],
)
def test_a_lack_of_room_is_not_a_reason_for_other_numbers(error):
    """Beside other runs on a card it passes; operation by operation, dropout would draw otherwise."""

    def trial():
        raise error

    with pytest.raises(type(error)):
        choice.refusal(GPU, trial)
