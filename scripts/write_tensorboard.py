"""Write the metrics of trainings, finished or running, as event files for TensorBoard.

    python scripts/write_tensorboard.py --output results/tensorboard results/checkpoints/pretraining/*/*/metrics.jsonl

TensorBoard itself is not installed with the workflow: `tensorboard --logdir results/tensorboard` where it is.
"""

from __future__ import annotations

import argparse
import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import replacing_folder
from compactbio.logs import run_program
from compactbio.training.progress import read_metrics


def main() -> None:
    """Write one run per metrics file, named by the folders above it that tell it from the others."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metrics", type=Path, nargs="+", metavar="METRICS")
    parser.add_argument("--output", type=Path, required=True, help="log folder, made anew")
    arguments = parser.parse_args()
    missing = [str(path) for path in arguments.metrics if not path.is_file()]
    if missing:
        raise UserError(f"{', '.join(missing)}: no such file; a training writes it with its first logged step")
    with replacing_folder(arguments.output) as folder:
        for path, name in zip(arguments.metrics, run_names(arguments.metrics), strict=True):
            write_events(folder / name, scalars(read_metrics(path)))
    logging.info("%d runs in %s", len(arguments.metrics), arguments.output)


def write_events(folder: Path, values: Iterable[tuple[int, str, float]]) -> None:
    """Write (step, tag, value) as one event file. SummaryWriter's thread would never end where a disk is full."""
    from tensorboardX.event_file_writer import EventsWriter
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import scalar

    folder.mkdir(parents=True)
    with closing(EventsWriter(str(folder / "events"))) as writer:
        for step, tag, value in values:
            writer.write_event(Event(wall_time=time.time(), step=step, summary=scalar(tag, value)))


def run_names(paths: list[Path]) -> list[str]:
    """Return a name per file: its folders below those that all files share (its own folder for a single file)."""
    parents = [path.resolve().parent.parts for path in paths]
    shared = 0
    while all(len(parts) > shared + 1 and parts[shared] == parents[0][shared] for parts in parents):
        shared += 1
    return ["/".join(parts[shared:]) for parts in parents]


def scalars(lines: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, str, float]]:
    """Yield (step, tag, value) of every number in the lines; nested ones are tagged with their group's name."""
    for line in lines:
        for name, value in line.items():
            if name in ("step", "total_steps"):
                continue
            for tag, number in value.items() if isinstance(value, dict) else [("", value)]:
                if isinstance(number, int | float):
                    yield line["step"], f"{name}/{tag}" if tag else name, float(number)


if __name__ == "__main__":
    run_program(main)
