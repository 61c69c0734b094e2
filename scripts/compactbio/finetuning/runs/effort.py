"""What a run cost so far: tries, seconds and GPU-hours, summed over tries that ended in any way."""

from __future__ import annotations

from pathlib import Path

from compactbio.files import read_json
from compactbio.finetuning.runs.records import SECONDS, Effort
from compactbio.provenance import gpu_count
from compactbio.training.checkpoints import CheckpointFolder


def earlier_tries(folder: Path) -> Effort:
    """Return what the earlier tries of the run in a folder cost.

    A try that was killed wrote none of it: the seconds that its last checkpoint counts are taken instead, on as many
    GPUs as there are now.
    """
    path = folder / SECONDS
    effort = Effort(seconds=0.0, gpu_hours=0.0, tries=0)
    if path.is_file():
        effort |= read_json(path)
    unnoted = CheckpointFolder(folder).seconds() - effort["seconds"]
    return with_this_try(effort, unnoted) if unnoted > 0 else effort


def with_this_try(earlier: Effort, seconds: float) -> Effort:
    """Return the sums with one more try, which lasted so many seconds."""
    return {
        "seconds": earlier["seconds"] + seconds,
        "gpu_hours": earlier["gpu_hours"] + seconds * gpu_count() / 3600,
        "tries": earlier["tries"] + 1,
    }
