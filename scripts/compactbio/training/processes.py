"""One or several processes: the Accelerator, and numbers that all processes agree on."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import gather_object

from compactbio.errors import UserError
from compactbio.locks import host_name
from compactbio.training.devices import chosen_precision, leave_out_cudnn_attention
from compactbio.training.launching import GPUS, visible_gpus
from compactbio.training.memory import keep_freed_memory

AUTOCAST = {"fp32": "no", "tf32": "no", "bf16": "bf16", "fp16": "fp16"}  # accelerate's names


def start_accelerator(precision: str = "fp32", beyond_fp16: Sequence[str] = ()) -> Accelerator:
    """Return an Accelerator for the processes that the environment names (one where RANK is not set).

    Args:
        precision: fp32, tf32, bf16, fp16 or half, and beyond_fp16: see `devices.chosen_precision`.

    Raises:
        UserError: the precision is unknown or not for this machine or these models, torch sees fewer GPUs than were
            given to the training, or `half` is another precision for another process.
    """
    check_gpus(os.environ)
    chosen = chosen_precision(precision, beyond_fp16)
    on_gpu = torch.cuda.is_available()
    if on_gpu:
        # fp32 means fp32: no TF32, as an fp32 baseline needs
        torch.set_float32_matmul_precision("high" if chosen == "tf32" else "highest")
    leave_out_cudnn_attention()
    if not on_gpu:
        keep_freed_memory()
    accelerator = Accelerator(
        mixed_precision=AUTOCAST[chosen],
        cpu=not on_gpu,
    )
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != expected:
        raise RuntimeError(
            f"{expected} processes were started but accelerate sees {accelerator.num_processes}; "
            "start this program through scripts/launch.py"
        )
    if expected > 1:
        check_precisions(gather_object([chosen]))
    return accelerator


def check_gpus(environment: Mapping[str, str]) -> None:
    """Refuse to go on without the GPUs that a training was handed: on a CPU it would use up its time limit.

    Where nobody handed out any, a CPU does, with a warning.
    """
    wanted = int(environment.get(GPUS, "0"))
    seen = torch.cuda.device_count() if torch.cuda.is_available() else 0
    cure = "does the installed torch fit the driver? nvidia-smi prints its version"
    if seen < wanted:
        chosen = environment.get("CUDA_VISIBLE_DEVICES", "not set")
        raise UserError(
            f"this training was started for {wanted} GPU(s) on {host_name()} and torch sees {seen} "
            f"(CUDA_VISIBLE_DEVICES={chosen}): {cure}; with an empty CUDA_VISIBLE_DEVICES it runs on the CPU"
        )
    if not seen and visible_gpus(environment):
        logging.warning("this machine has a GPU that torch does not see, so the CPU is used: %s", cure)


def check_precisions(chosen: Sequence[str]) -> None:
    """Refuse processes whose precisions differ: gradients that they add up would be scaled differently."""
    if len(set(chosen)) > 1:
        raise UserError(
            f"precision: half is {' and '.join(sorted(set(chosen)))} on the GPUs of this training, which are of "
            "several kinds: name one precision, or ask the scheduler for GPUs of one kind"
        )


def precision_of(accelerator: Accelerator) -> str:
    """Return fp32, tf32, bf16 or fp16: what an Accelerator was started with."""
    if accelerator.device.type == "cuda" and torch.get_float32_matmul_precision() == "high":
        return "tf32"
    return next(name for name, theirs in AUTOCAST.items() if theirs == accelerator.mixed_precision)


class Agreement:
    """Sums over processes of a few numbers, on the host, so that no GPU has to be waited for."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.processes = accelerator.num_processes
        self.group = None
        if self.processes > 1 and torch.distributed.get_backend() != "gloo":
            self.group = torch.distributed.new_group(backend="gloo")

    def wait(self) -> None:
        """Wait until all processes are here, for longer than a collective of theirs on GPUs would."""
        self.sums([0.0])

    def sums(self, values: list[float]) -> list[float]:
        """Return the sums over all processes of numbers given in the same order by each."""
        if self.processes == 1:
            return values
        vector = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(vector, group=self.group)
        return vector.tolist()
