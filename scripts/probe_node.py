"""Print as JSON what a job finds on its node: the GPUs, whether kernels run on them, if the checkout is there."""

from __future__ import annotations

import json
import os
import socket
import sys
from functools import partial
from pathlib import Path

from compactbio.logs import run_program

ROW = 128  # values of what a kernel is tried on


def main() -> None:
    """Print the findings; the only argument is a file that the submitting machine wrote."""
    import torch

    from compactbio.kernels.choice import refusal
    from compactbio.kernels.fused_blocks import trial

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    device = torch.device("cuda", 0)
    found = {
        "host": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
        "partition": os.environ.get("SLURM_JOB_PARTITION", ""),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "gpus": gpus,
        "without_kernels": refusal(device, partial(trial, device, torch.float32, [ROW], [])) if gpus else None,
        "sees_folder": Path(sys.argv[1]).is_file(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    run_program(main)
