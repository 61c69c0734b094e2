"""What the reporting programs are given of a configuration: rows, columns, and what is compared."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.reporting.published import PAPER_DATASETS, Assignment, assign, read_published
from compactbio.scoring.score_rows import Score
from compactbio.settings.benchmarks import Benchmark, read_benchmark
from compactbio.settings.load import CONFIG_FOLDER
from compactbio.settings.results import Results
from compactbio.tasks.data_sources import read_sources
from compactbio.tasks.generated_data import generated_notice


def add_notice(parser: argparse.ArgumentParser) -> None:
    """Add the option of a text that stands over everything that is written."""
    parser.add_argument("--notice", default="", help="what stands over everything, where the data call for it")


def add_selection(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Add the options of `selection_options`; models and datasets may be left out where they are not `required`."""
    found = "" if required else " (default: those with scores)"
    kinds = ", ".join(KINDS)
    parser.add_argument("--published", type=Path, help="table of published values, where they are compared with")
    parser.add_argument("--models", nargs="+", required=required, help=f"models in order{found}")
    parser.add_argument(
        "--datasets",
        nargs="+",
        required=required,
        metavar="NAME:TASK",
        help=f"datasets in order, task one of {kinds}{found}",
    )
    parser.add_argument("--known-models", nargs="*", default=[], help="models that published values may name too")
    parser.add_argument("--known-datasets", nargs="*", default=[], metavar="NAME:TASK", help="the same for datasets")
    parser.add_argument("--benchmark", help="the checked configuration's benchmark as JSON, where it has one")


def selection_options(config: dict[str, Any], published: str) -> list[str]:
    """Return the options that say what was run and what is known; `published` is left out if nothing is compared."""
    benchmark = config.get("benchmark")
    tasks = {name: f"{name}:{definition['task']}" for name, definition in config["datasets"].items()}
    return [
        *("--models", *config["run"]["models"]),
        *("--datasets", *(tasks[name] for name in config["run"]["datasets"])),
        *("--known-models", *config["models"]),
        *("--known-datasets", *tasks.values()),
        *(("--published", published) if config["reporting"]["compare_with_paper"] else ()),
        *(("--benchmark", json.dumps(benchmark)) if benchmark else ()),
    ]


def benchmark_of(arguments: argparse.Namespace) -> Benchmark | None:
    """Return the benchmark that a program's options give."""
    return read_benchmark(json_option("--benchmark", arguments.benchmark)) if arguments.benchmark else None


def of_each(paths: Iterable[Path], models: Iterable[str], datasets: Iterable[str]) -> list[Path]:
    """Return paths, one that holds "{model}" and "{dataset}" as those of each model and dataset.

    Rules give such paths, since the names of all files would not fit a command line.
    """
    datasets = list(datasets)
    pairs = [(model, dataset) for model in models for dataset in datasets]
    found: list[Path] = []
    for path in paths:
        text = str(path)
        filled = [text.replace("{model}", model).replace("{dataset}", dataset) for model, dataset in pairs]
        found += map(Path, dict.fromkeys(filled)) if "{model}" in text else [path]
    return found


def read_published_of(arguments: argparse.Namespace, models: Sequence[str], datasets: dict[str, str]) -> Assignment:
    """Return the published rows that a program's options name, sorted for these models and datasets.

    There are none where no table is given, nor for datasets of one's own alone, of which it has no value.

    Raises:
        UserError: as `published.read_published`, or an option is no NAME:TASK.
    """
    if arguments.published is None:
        return assign([], models=models, datasets=datasets)
    known = parse_datasets(arguments.known_datasets) | datasets
    values = read_published(arguments.published, datasets=known, models=[*arguments.known_models, *models])
    if not {*PAPER_DATASETS, *(value.dataset for value in values)} & set(datasets):
        values = []
    return assign(values, models=models, datasets=datasets)


def parse_datasets(texts: Sequence[str]) -> dict[str, str]:
    """Return datasets with their kind of task from `NAME:TASK` texts, in order.

    Raises:
        UserError: a text of another form, an unknown task, a name twice.
    """
    datasets: dict[str, str] = {}
    for text in texts:
        name, separator, task = text.rpartition(":")
        if not separator or not name or task not in KINDS:
            raise UserError(f"--datasets: {text!r} is not NAME:TASK with a task of {', '.join(KINDS)}")
        if name in datasets:
            raise UserError(f"--datasets: {name} is given twice")
        datasets[name] = task
    return datasets


def datasets_in(scores: Iterable[Score]) -> dict[str, str]:
    """Return the datasets that scores are of, with their kind of task, kinds together, in order of occurrence."""
    found = {score.dataset: score.task for score in scores}
    return {name: task for kind in KINDS for name, task in found.items() if task == kind}


def json_option(name: str, text: str) -> Any:
    """Return the value of an option that is JSON.

    Raises:
        UserError: it is not.
    """
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise UserError(f"{name} is not JSON: {error}") from None


def comparison_options(config: dict[str, Any]) -> list[str]:
    """Return the options that say how models are compared; the draws' seed is the first of the runs'."""
    reporting = config["reporting"]
    return [
        *("--baseline", reporting["baseline_model"]),
        *("--resamples", str(reporting["resamples"])),
        *("--seed", str(config["run"]["seeds"][0])),
    ]


def options_so_far(config: dict[str, Any]) -> list[str]:
    """Return build_tables.py's options for tables of what a configuration's results folder holds so far."""
    results = Results(Path(config["results_dir"]))
    return [
        *("--results", str(results.folder)),
        *selection_options(config, str(CONFIG_FOLDER / "published_values.tsv")),
        *comparison_options(config),
        *("--config", json.dumps(config)),
        *("--notice", generated_notice(config, read_sources(CONFIG_FOLDER / "data_sources.tsv"))),
        *("--output-dir", str(results.tables_so_far.folder)),
    ]
