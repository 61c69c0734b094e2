"""Compare all models on each dataset: intervals of their means, differences with p-values, by the multi-bootstrap.

Runs and test examples are resampled together; compactbio/reporting/statistics/bootstrap.py says how. Models, and
datasets of a model, may be missing.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.provenance import note_digest

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, compare, write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    about = "score_model's, one a model; {model} stands for each of --models"
    parser.add_argument("--units", type=Path, nargs="+", required=True, metavar="UNITS.parquet", help=about)
    parser.add_argument("--models", nargs="+", default=[], help="models that {model} stands for")
    parser.add_argument("--baseline", required=True, help="model that each other one is compared with")
    parser.add_argument("--resamples", type=int, required=True, help="number of resamples")
    parser.add_argument("--seed", type=int, required=True, help="of the draws")
    parser.add_argument("--output", type=Path, required=True, metavar="COMPARISONS.tsv", help="the table to write")
    add_verify(parser)
    arguments = parser.parse_args()
    if arguments.resamples < 1 or arguments.seed < 0:
        raise UserError("--resamples must be at least 1 and --seed at least 0")

    from compactbio.reporting.options import of_each
    from compactbio.reporting.statistics.differences import compare
    from compactbio.reporting.statistics.estimates import write_estimates

    units = of_each(arguments.units, arguments.models, [""])
    estimates = compare(units, baseline=arguments.baseline, resamples=arguments.resamples, seed=arguments.seed)
    write_estimates(arguments.output, estimates)
    note_digest(arguments.output)
    log.info("%d estimates of %d models written to %s", len(estimates), len(units), arguments.output)


if __name__ == "__main__":
    run_program(main)
