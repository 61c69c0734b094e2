"""Write the full model card of each model, in the hub's form, out of its training, the tables and the sources."""

from __future__ import annotations

import logging

from compactbio.files import write_text
from compactbio.logs import run_program
from compactbio.publishing.arguments import parser_of, read_run

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, write the cards."""
    arguments = parser_of(__doc__).parse_args()
    config, results, used = read_run(arguments)

    from compactbio.publishing.cards import full_card
    from compactbio.publishing.scores import read_model_scores
    from compactbio.settings.selection import described_models

    models = described_models(config)
    for model in models:
        scores = read_model_scores(results.tables, model)
        card = full_card(results, model, config, used, scores, arguments.notice)
        write_text(results.reporting.model_card(model), card)
    log.info("%d cards written under %s", len(models), results.reporting.folder)


if __name__ == "__main__":
    run_program(main)
