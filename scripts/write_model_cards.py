"""Write the full model card of each model, in the hub's form, out of its training, the tables and the sources."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import replacing_file
from compactbio.logs import run_program

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, write the cards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="the checked configuration as JSON")
    parser.add_argument("--sources", type=Path, required=True, help="config/data_sources.tsv")
    parser.add_argument("--trained", nargs="*", default=[], help="models that are trained here")
    parser.add_argument("--fetched", nargs="*", default=[], help="checkpoints and models that are fetched")
    parser.add_argument("--results", type=Path, required=True, help="results folder; its tables/ must be there")
    parser.add_argument("--models", nargs="+", required=True, help="models to write a card of")
    parser.add_argument("--output-dir", type=Path, required=True, help="<model>.md goes here")
    arguments = parser.parse_args()
    try:
        config = json.loads(arguments.config)
    except json.JSONDecodeError as error:
        raise UserError(f"--config is not JSON: {error}") from None

    from compactbio.publishing.cards import full_card
    from compactbio.publishing.scores import read_model_scores
    from compactbio.publishing.sources import fetched_commits, used_sources

    commits = fetched_commits(arguments.results, arguments.fetched)
    used = used_sources(config, arguments.sources, trained=arguments.trained, fetched=commits)
    for model in arguments.models:
        scores = read_model_scores(arguments.results / "tables", model)
        card = full_card(arguments.results, model, config, used, scores)
        with replacing_file(arguments.output_dir / f"{model}.md") as temporary:
            temporary.write_text(card, encoding="utf-8")
    log.info("%d cards written to %s", len(arguments.models), arguments.output_dir)


if __name__ == "__main__":
    run_program(main)
