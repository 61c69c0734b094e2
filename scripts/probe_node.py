"""Print as JSON what a job finds on its node: the GPUs that torch sees, and whether the checkout's folder is there."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path

from compactbio.logs import run_program


def main() -> None:
    """Print the findings; the only argument is a file that the submitting machine wrote."""
    import torch

    gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    found = {
        "host": os.environ.get("SLURMD_NODENAME", socket.gethostname()),
        "partition": os.environ.get("SLURM_JOB_PARTITION", ""),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES", ""),
        "gpus": gpus,
        "sees_folder": Path(sys.argv[1]).is_file(),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    run_program(main)
