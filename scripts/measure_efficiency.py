"""Measure what models cost: parameters, file size, operations, latency and throughput on CPU and GPU.

Several models in one call are measured in turn, so that their times compare. The GPU is used if there is one.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import write_json
from compactbio.logs import run_program
from compactbio.reporting.parameters import weight_files

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME=FOLDER", help="folders of usable models")
    parser.add_argument("--output", type=Path, required=True, help="JSON file of the measurements")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--repetitions", type=int, default=10, help="timed passes of each kind (default 10)")
    parser.add_argument("--warmup", type=int, default=2, help="passes before them (default 2)")
    parser.add_argument("--batch-size", type=int, default=32, help="batch of the throughput (default 32)")
    parser.add_argument("--sequence-length", type=int, default=128, help="tokens of a sequence (default 128)")
    parser.add_argument("--flop-lengths", type=int, nargs="+", default=[128, 256], help="default 128 256")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="cpu leaves a GPU alone")
    return parser.parse_args()


def main() -> None:
    """Read the command line, measure, write."""
    arguments = parse_arguments()
    for option in ("threads", "repetitions", "batch_size", "sequence_length"):
        if getattr(arguments, option) < 1:
            raise UserError(f"--{option.replace('_', '-')} must be at least 1")
    folders = {}
    for text in arguments.models:
        name, separator, folder = text.partition("=")
        if not separator or not name or name in folders:
            raise UserError(f"--models: {text!r} is not NAME=FOLDER, or its name stands twice")
        if not Path(folder).is_dir():
            raise UserError(f"--models: there is no folder {folder}")
        weight_files(Path(folder))  # refuses a folder without weights before torch is loaded
        folders[name] = Path(folder)

    from compactbio.reporting.efficiency import MeasurementSettings, measure_models

    settings = MeasurementSettings(
        sequence_length=arguments.sequence_length,
        batch_size=arguments.batch_size,
        repetitions=arguments.repetitions,
        warmup=arguments.warmup,
        threads=arguments.threads,
        flop_lengths=tuple(arguments.flop_lengths),
    )
    log.info("measuring %d models: %s", len(folders), settings)
    write_json(arguments.output, measure_models(folders, settings, use_gpu=arguments.device == "auto"))


if __name__ == "__main__":
    run_program(main)
