"""Measure what fine-tuned models cost to deploy on a CPU: torch, ONNX in fp32, and ONNX in int8.

The kept weights of each fine-tuning's first run on one dataset are exported and quantised, their scores on the test
data computed by both protocols, and sizes, latencies and throughputs measured in turn. The int8 files are kept.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from pathlib import Path

from compactbio.digests import add_verify, sha256_of_file
from compactbio.files import MANIFEST, read_json, write_json
from compactbio.finetuning.runs.digests import dataset_digest
from compactbio.imports import import_models, without_collector
from compactbio.logs import run_program
from compactbio.provenance import write_provenance
from compactbio.reporting.efficiency.timing import add_options, named_folders, settings_of
from compactbio.settings.results import Deployment

log = logging.getLogger(__name__)


def parse_arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--models",
        nargs="+",
        required=True,
        metavar="NAME=FOLDER",
        help="results of fine-tunings on one dataset, whose weights were kept: <results>/finetuning/<model>/<dataset>",
    )
    parser.add_argument("--task", type=Path, required=True, help="folder of the prepared dataset")
    parser.add_argument(
        "--output-dir",
        type=Path,
        required=True,
        help="measurements, provenance and a folder per model with its int8 file go here",
    )
    parser.add_argument("--notice", default="", help="what stands over the cards, where the data call for it")
    add_options(parser)
    add_verify(parser)
    return parser.parse_args()


def main() -> None:
    """Read the command line, measure, write."""
    started = time.perf_counter()
    arguments = parse_arguments()
    settings, folders = settings_of(arguments), named_folders(arguments.models)
    os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything is in the folders given
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # for versions after the pinned one, which would send some
    import_models()
    with without_collector():
        from compactbio.reporting.efficiency.deployment import measure_deployment

    log.info("measuring %d models: %s", len(folders), settings)
    measured, weights = measure_deployment(folders, arguments.task, arguments.output_dir, settings, arguments.notice)
    measurements = Deployment(arguments.output_dir).measurements
    write_json(measurements, measured)
    outputs = {measurements.name: sha256_of_file(measurements)}
    outputs |= {name: read_json(arguments.output_dir / name / MANIFEST)["digest"] for name in folders}
    inputs = {"dataset": dataset_digest(arguments.task), **weights}
    write_provenance(arguments.output_dir, inputs, time.perf_counter() - started, outputs=outputs)
    log.info("measurements and int8 files are in %s", arguments.output_dir)


if __name__ == "__main__":
    run_program(main)
