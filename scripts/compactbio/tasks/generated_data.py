"""Data that a program wrote in the form of real ones, and the notice that all made from them carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compactbio.settings.selection import (
    fetched_names,
    finetuned_datasets,
    row_of_corpus,
    row_of_dataset,
    row_of_model,
    trained_models,
)
from compactbio.tasks.data_sources import Source


def generated_notice(config: dict[str, Any], sources: Mapping[str, Source]) -> str:
    """Return what tables, figures, pages and cards of a run say over everything; "" where no data were generated.

    By the column `generated` of config/data_sources.tsv, for each row that describes data of the run.
    """
    corpus = {"the corpus": row_of_corpus(config)} if trained_models(config) else {}
    kinds: dict[str, dict[str, str | None]] = {
        "corpus": corpus,
        "datasets": {name: row_of_dataset(config, name) for name in finetuned_datasets(config)},
        "checkpoints": {name: row_of_model(config, name) for name in fetched_names(config)},
    }
    programs: dict[str, str] = {}
    parts: list[str] = []
    for kind, rows in kinds.items():
        found = {name: sources[row].generated for name, row in rows.items() if row is not None and row in sources}
        found = {name: program for name, program in found.items() if program}
        programs |= dict.fromkeys(found.values(), "")
        if found:
            parts.append(f"the {kind}" if len(found) == len(rows) else ", ".join(found))
    if not parts:
        return ""
    what = " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
    return (
        f"Generated data: {what} of this run were written by {' and '.join(programs)}. Nothing here says anything "
        "about real ones of these names."
    )
