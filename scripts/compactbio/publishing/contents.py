"""Which files of a results folder belong to a run of a configuration: others may lie there from earlier ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.settings.results import Results, find
from compactbio.settings.selection import fetched_names, finetuned_datasets, trained_models

ANY = "*"


@dataclass
class Contents:
    """What belongs to a run; paths are relative to the results folder."""

    models: list[str]
    datasets: list[str]
    inputs: list[Path]  # the configuration, and the manifests of what was downloaded
    outputs: list[Path]  # scores, tables, figures, pages, cards
    folders: list[Path]  # models, each with a manifest
    records: list[Path]  # how the outputs were made: run files, provenance, training records, predictions


def find_contents(results: Results[Path], config: dict[str, Any]) -> Contents:
    """Return what lies in a results folder of a configuration's run."""
    models, datasets, trained = config["run"]["models"], finetuned_datasets(config), trained_models(config)
    configuration, corpus, reporting = results.reporting.configuration, results.corpus, results.reporting
    made = [corpus.baseline(ANY), corpus.counts(ANY)] if trained else []
    inputs = [configuration, *made, results.tasks.source(ANY)]
    outputs = [results.tables.table(ANY, ANY), results.figures.at("**", "*.*"), reporting.at("**", "*.*")]
    outputs += [corpus.summary_csv, corpus.summary_md, *(results.model_scores(model).scores for model in models)]
    usable = [results.pretraining(model).model for model in trained]
    usable += [results.students.fetched(name) for name in fetched_names(config)]
    usable = [model for model in usable if model.manifest.is_file()]
    artefacts = [*usable, *(results.students.initialised(model) for model in trained)]
    artefacts += [results.tasks.dataset(dataset) for dataset in datasets]
    artefacts += [corpus.token_store(ANY, ANY)] if trained else []
    records = [path for artefact in artefacts for path in (artefact.manifest, artefact.provenance)]
    finetunings = [results.finetuning(model, dataset) for model in models for dataset in datasets]
    for one in (*(results.pretraining(model) for model in trained), *finetunings):
        records += [one.run, one.training, one.metrics, one.provenance]
    records += [one.predictions for one in finetunings] + [results.model_scores(model).provenance for model in models]
    return Contents(
        models,
        datasets,
        inputs=_there(results, inputs),
        outputs=[path for path in _there(results, outputs) if results.folder / path != configuration],
        folders=[model.folder.relative_to(results.folder) for model in usable],
        records=_there(results, records),
    )


def _there(results: Results[Path], patterns: Iterable[Path]) -> list[Path]:
    """Return the files that patterns match, relative to the results folder, each once, hidden ones left out."""
    found = (path for pattern in patterns for path in find(results, pattern))
    files = [path.relative_to(results.folder) for path in found if path.is_file() and not path.name.startswith(".")]
    return list(dict.fromkeys(files))
