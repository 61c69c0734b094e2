"""Measure what models cost: parameters, file size, operations, latency and throughput on CPU and GPU.

Several models in one call are measured in turn, so that their times compare. The GPU is used if there is one; on a
machine of several, or with other work of this workflow, one that is free is waited for.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.files import write_json
from compactbio.imports import import_models, without_collector
from compactbio.logs import run_program
from compactbio.provenance import note_digest
from compactbio.reporting.efficiency.timing import add_options, named_folders, settings_of
from compactbio.students.weights import weight_files
from compactbio.training.launching import claim_gpu

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", required=True, metavar="NAME=FOLDER", help="folders of usable models")
    parser.add_argument("--output", type=Path, required=True, help="JSON file of the measurements")
    parser.add_argument("--flop-lengths", type=int, nargs="+", default=[128, 256], help="default 128 256")
    parser.add_argument("--device", choices=("auto", "cpu"), default="auto", help="cpu leaves a GPU alone")
    add_options(parser)
    add_verify(parser)
    return parser.parse_args()


def main() -> None:
    """Read the command line, measure, write."""
    arguments = parse_arguments()
    settings, folders = settings_of(arguments), named_folders(arguments.models)
    for folder in folders.values():
        weight_files(folder)  # refuses a folder without weights before torch is loaded

    if arguments.device == "auto":
        claim_gpu()  # on a workstation fine-tunings may be at the others, whose work would be timed too
    import_models()
    with without_collector():
        from compactbio.reporting.efficiency.encoders import measure_encoders

    log.info("measuring %d models: %s", len(folders), settings)
    measured = measure_encoders(
        folders, settings, flop_lengths=arguments.flop_lengths, use_gpu=arguments.device == "auto"
    )
    write_json(arguments.output, measured)
    note_digest(arguments.output)


if __name__ == "__main__":
    run_program(main)
