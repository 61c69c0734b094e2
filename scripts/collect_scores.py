"""Join the score tables of all models into one checked table."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.logs import run_program
from compactbio.provenance import note_digest
from compactbio.reporting.collected_scores import collect_scores
from compactbio.reporting.options import of_each
from compactbio.scoring.score_rows import Score, write_scores

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, check and join the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    about = "tables that score_model wrote; {model} stands for each of --models"
    parser.add_argument("scores", type=Path, nargs="+", metavar="SCORES.tsv", help=about)
    parser.add_argument("--models", nargs="+", default=[], help="models that {model} stands for")
    parser.add_argument("--output", type=Path, required=True, help="the joined table")
    add_verify(parser)
    arguments = parser.parse_args()
    scores = collect_scores(of_each(arguments.scores, arguments.models, [""]), Score)
    write_scores(arguments.output, scores, Score)
    note_digest(arguments.output)
    models = {score.model for score in scores}
    log.info("%d scores of %d models written to %s", len(scores), len(models), arguments.output)


if __name__ == "__main__":
    run_program(main)
