"""Time a few steps of each pre-training of a configuration here, and print what the whole will take.

    python scripts/measure_training.py --configfile config/demo.yaml --output trials.json

Weights and texts are random and of the configured sizes, so nothing has to be downloaded. `preflight` calls this in a
job with the GPUs that pretrain_model asks for; on a machine without any it times one process on the CPU.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from compactbio.cluster import preflight, timings
from compactbio.errors import UserError
from compactbio.files import read_json, write_json
from compactbio.logs import run_program
from compactbio.pretraining.inputs import TOKENS_HELP, tokens_or_auto
from compactbio.settings.load import settings_of_files
from compactbio.settings.selection import trained_models


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="as given to snakemake; default: none")
    parser.add_argument("--models", nargs="+", help="some of those that the configuration trains; default: all")
    parser.add_argument("--gpus", type=int, default=1, help="of this machine, for each training (default 1)")
    parser.add_argument("--micro-batch-tokens", type=tokens_or_auto, default="auto", help=TOKENS_HELP)
    parser.add_argument(
        "--half-precision", action="store_true", help="all of them, as config/fast.yaml has the paper's"
    )
    parser.add_argument("--minutes", type=float, default=1440, help="time limit of a submission (default 1440)")
    parser.add_argument("--output", type=Path, required=True, help="JSON; models that it holds already are replaced")
    return parser.parse_args()


def main() -> None:
    """Time the models in turn, keeping each as soon as it is timed, and print what they will take."""
    arguments = parse_arguments()
    config = settings_of_files(arguments.configfile)
    if arguments.half_precision:
        config = timings.in_half_precision(config)
    trained = trained_models(config)
    models = arguments.models or trained
    unknown = [name for name in models if name not in trained]
    if unknown:
        raise UserError(f"--models: {', '.join(unknown)} is not trained; choose from {', '.join(trained) or 'none'}")
    options = {"gpus": arguments.gpus, "micro_batch_tokens": arguments.micro_batch_tokens}
    failed = []
    for name in models:
        try:
            timing = timings.time_steps(config, name, **options)
        except UserError as error:  # the others may still be measured
            failed.append(str(error))
            continue
        kept = read_json(arguments.output) if arguments.output.is_file() else {}
        write_json(arguments.output, kept | {name: timing})
    known = timings.read_timings(config, models, arguments.output)
    found = timings.forecasts(config, known, gpus=arguments.gpus, minutes=arguments.minutes)
    if found:
        checks = preflight.check_hours(found, [], timings.wall_hours(config, found))
        sys.stdout.write(preflight.table(checks, styled=sys.stdout.isatty()))
    if failed:
        raise UserError("; ".join(failed))


if __name__ == "__main__":
    run_program(main)
