"""Write the full model card of each model, in the hub's form, out of its training, the tables and the sources."""

from __future__ import annotations

import logging
from pathlib import Path

from compactbio.files import replacing_file
from compactbio.logs import run_program
from compactbio.publishing.arguments import parser_of, read_run

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, write the cards."""
    parser = parser_of(__doc__)
    parser.add_argument("--models", nargs="+", required=True, help="models to write a card of")
    parser.add_argument("--output-dir", type=Path, required=True, help="<model>.md goes here")
    arguments = parser.parse_args()
    config, used = read_run(arguments)

    from compactbio.publishing.cards import full_card
    from compactbio.publishing.scores import read_model_scores
    from compactbio.settings.results import Results

    results = Results(arguments.results)
    for model in arguments.models:
        scores = read_model_scores(results.tables, model)
        card = full_card(results, model, config, used, scores)
        with replacing_file(arguments.output_dir / f"{model}.md") as temporary:
            temporary.write_text(card, encoding="utf-8")
    log.info("%d cards written to %s", len(arguments.models), arguments.output_dir)


if __name__ == "__main__":
    run_program(main)
