"""What the reporting programs are told of a configuration: rows, columns, and what is compared."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compactbio.reporting.gaps import parse_datasets
from compactbio.reporting.published import Assignment, read_assigned
from compactbio.settings.load import CONFIG_FOLDER
from compactbio.settings.results import Results


def selection_options(config: dict[str, Any], published: str) -> list[str]:
    """Return the options that tell what was run and what is known; `published` is left out if nothing is compared."""
    tasks = {name: f"{name}:{definition['task']}" for name, definition in config["datasets"].items()}
    return [
        *("--models", *config["run"]["models"]),
        *("--datasets", *(tasks[name] for name in config["run"]["datasets"])),
        *("--known-models", *config["models"]),
        *("--known-datasets", *tasks.values()),
        *(("--published", published) if config["reporting"]["compare_with_paper"] else ()),
    ]


def read_published_of(arguments: argparse.Namespace, models: Sequence[str], datasets: dict[str, str]) -> Assignment:
    """Return the published rows that a program's `selection_options` name, sorted for these models and datasets.

    Raises:
        UserError: as `published.read_published`, or an option is no NAME:TASK.
    """
    return read_assigned(
        arguments.published,
        models=models,
        datasets=datasets,
        known_models=arguments.known_models,
        known_datasets=parse_datasets(arguments.known_datasets),
    )


def comparison_options(config: dict[str, Any]) -> list[str]:
    """Return the options that tell how models are compared; the draws' seed is the first of the runs'."""
    reporting = config["reporting"]
    return [
        *("--baseline", reporting["baseline_model"]),
        *("--resamples", str(reporting["resamples"])),
        *("--seed", str(config["run"]["seeds"][0])),
    ]


def options_so_far(config: dict[str, Any]) -> list[str]:
    """Return build_tables.py's options for tables of what a configuration's results folder holds so far."""
    return [
        *("--results", config["results_dir"]),
        *selection_options(config, str(CONFIG_FOLDER / "published_values.tsv")),
        *comparison_options(config),
        *("--quirks", json.dumps(config["quirks"])),
        *("--output-dir", str(folder_so_far(config))),
    ]


def folder_so_far(config: dict[str, Any]) -> Path:
    """Return the folder of the tables of what there is so far."""
    return Results(Path(config["results_dir"])).tables_so_far.folder
