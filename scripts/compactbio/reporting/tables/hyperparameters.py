"""The table of fine-tuning: hyper-parameters, epochs, validation scores, time, and the points of grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.render import DASH, Block, Document, Entry, Section, gap_note, mean_and_std, number, row
from compactbio.reporting.report_records import OPTIONS
from compactbio.reporting.score_cells import NOT_RUN, summarise
from compactbio.reporting.trainings import Trainings

TITLES = {name: name.replace("_", " ") for name in OPTIONS}


def build(material: Material) -> Built:
    """Return the table."""
    selection = (material.scored.models, material.scored.datasets, material.trainings)
    return trainings_document(*selection), trainings_records(*selection)


def trainings_document(models: Sequence[str], datasets: Mapping[str, str], trainings: Trainings) -> Document:
    """Return the tables of how models were fine-tuned, and of the grids that were tried."""
    text = (
        "Epoch: the one whose weights were taken, mean over the runs. Validation: the standard protocol's score of "
        "that epoch in percent, mean ± sample standard deviation over the runs. Time: all runs together."
    )
    blocks = [_runs_block(models, name, KINDS[task].headline, trainings) for name, task in datasets.items()]
    sections = [Section("", [], blocks)]
    grids = [
        _grid_block(tried, name, KINDS[task].headline)
        for name, task in datasets.items()
        if (tried := {model: grid for model in models if (grid := _grid(trainings, model, name))})
    ]
    if grids:
        about = (
            "Validation score in percent of each point, tried with the first run. Bold: chosen, and trained with all."
        )
        sections.append(Section("Grids", [about], grids))
    return Document("Fine-tuning", [text], sections)


def _runs_block(models: Sequence[str], dataset: str, metric: str, trainings: Trainings) -> Block:
    """Return a dataset's fine-tunings by model."""
    header = ["model", *TITLES.values(), "epoch", f"validation {METRIC_TITLES[metric]}", "runs", "time"]
    rows = []
    for model in models:
        training = trainings.get((model, dataset))
        if training is None:
            rows.append(row(model, *[DASH] * (len(header) - 1)))
            continue
        found = [training.validation(run, metric) for run in training.runs]
        scores = [100 * score for score in found if score is not None]
        options = [DASH if training.option(name) is None else str(training.option(name)) for name in OPTIONS]
        epoch = number(fmean(training.epoch_taken(run) for run in training.runs), 1).removesuffix(".0")
        validation = mean_and_std(*summarise(scores)) if len(scores) == len(found) else DASH
        minutes = f"{training.facts['seconds'] / 60:.1f} min"
        rows.append(row(model, *options, epoch, validation, str(len(training.runs)), minutes))
    missing = gap_note(NOT_RUN, [model for model in models if (model, dataset) not in trainings])
    return Block(dataset, f"finetuning-{dataset}".lower(), header, rows, missing)


def _grid(trainings: Trainings, model: str, dataset: str) -> Sequence[Mapping[str, Any]]:
    """Return the points that were tried for a model on a dataset; none where there was no grid."""
    return trainings[model, dataset].facts.get("grid", []) if (model, dataset) in trainings else []


def _grid_block(grids: Mapping[str, Sequence[Mapping[str, Any]]], dataset: str, metric: str) -> Block:
    """Return the points of a dataset's grid by those models that had one."""
    names = [name for name in OPTIONS if name in next(iter(grids.values()))[0]]
    points = dict.fromkeys(tuple(point[name] for name in names) for grid in grids.values() for point in grid)
    rows = []
    for values in points:
        entries = row(", ".join(f"{TITLES[name]} {value}" for name, value in zip(names, values, strict=True)))
        for grid in grids.values():
            here = [point for point in grid if tuple(point[name] for name in names) == values]
            entries += [Entry(number(100 * one[metric]), "best" if one["chosen"] else "") for one in here[:1]]
            entries += [] if here else [Entry(DASH)]
        rows.append(entries)
    title = f"{dataset}, validation {METRIC_TITLES[metric]}"
    return Block(title, f"grid-{dataset}".lower(), ["point", *grids], rows)


def trainings_records(models: Sequence[str], datasets: Mapping[str, str], trainings: Trainings) -> list[Row]:
    """Return one tidy row per run and per point of a grid."""
    records: list[Row] = []
    for dataset, task in datasets.items():
        metric = KINDS[task].headline
        for model in models:
            if (model, dataset) not in trainings:
                continue
            training = trainings[model, dataset]
            common: Row = {"dataset": dataset, "model": model, "metric": metric}
            chosen = {name: training.option(name) for name in OPTIONS}
            for run in training.runs:
                found: Row = {"epoch": training.epoch_taken(run), "validation": training.validation(run, metric)}
                known = {name: run[name] for name in ("run", "steps", "seconds")}
                records.append(common | chosen | known | found | {"kind": "run"})
            for point in _grid(trainings, model, dataset):
                options = {name: point.get(name, chosen[name]) for name in OPTIONS}
                tried = {"validation": point[metric], "chosen": point["chosen"], "run": point["run"]}
                records.append(common | options | tried | {"kind": "grid point"})
    return records
