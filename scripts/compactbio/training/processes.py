"""One or several processes: the Accelerator, and numbers that all processes agree on."""

from __future__ import annotations

import os

import torch
import torch.distributed
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs

from compactbio.errors import UserError
from compactbio.training.devices import leave_out_cudnn_attention
from compactbio.training.memory import keep_freed_memory

PRECISIONS = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def start_accelerator(precision: str = "fp32", *, unused_parameters: bool = False) -> Accelerator:
    """Return an Accelerator for the processes that the environment names (one where RANK is not set).

    Args:
        precision: fp32, bf16 or fp16 (autocast; fp16 with loss scaling, on a GPU only).
        unused_parameters: some parameters get no gradient, which data parallelism has to expect.

    Raises:
        UserError: the precision is unknown or this machine does not have it.
    """
    if precision not in PRECISIONS:
        raise UserError(f"optimisation.precision: {precision!r} is unknown; use one of {', '.join(PRECISIONS)}")
    on_gpu = torch.cuda.is_available()
    if precision == "fp16" and not on_gpu:
        raise UserError("optimisation.precision: fp16 needs a GPU; use bf16 or fp32 here")
    if precision == "bf16" and on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
        raise UserError("optimisation.precision: this GPU has no bf16; use fp16 or fp32")
    if precision == "fp32" and on_gpu:
        torch.set_float32_matmul_precision("highest")  # fp32 means fp32: no TF32, as an fp32 baseline needs
    leave_out_cudnn_attention()
    if not on_gpu:
        keep_freed_memory()
    accelerator = Accelerator(
        mixed_precision=PRECISIONS[precision],
        cpu=not on_gpu,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=unused_parameters)],
    )
    expected = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != expected:
        raise RuntimeError(
            f"{expected} processes were started but accelerate sees {accelerator.num_processes}; "
            "start this program through scripts/launch.py"
        )
    return accelerator


def precision_of(accelerator: Accelerator) -> str:
    """Return fp32, bf16 or fp16: what an Accelerator was started with."""
    return next(name for name, theirs in PRECISIONS.items() if theirs == accelerator.mixed_precision)


class Agreement:
    """Sums over processes of a few numbers, on the host, so that no GPU has to be waited for."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.processes = accelerator.num_processes
        self.group = None
        if self.processes > 1 and torch.distributed.get_backend() != "gloo":
            self.group = torch.distributed.new_group(backend="gloo")

    def sums(self, values: list[float]) -> list[float]:
        """Return the sums over all processes of numbers given in the same order by each."""
        if self.processes == 1:
            return values
        vector = torch.tensor(values, dtype=torch.float64)
        torch.distributed.all_reduce(vector, group=self.group)
        return vector.tolist()
