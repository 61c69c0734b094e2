"""Options of the reporting programs: paths that stand for many, and what is compared with the paper."""

from __future__ import annotations

import argparse
from pathlib import Path

from compactbio.reporting.options import add_selection, of_each, read_published_of, selection_options
from compactbio.settings.load import CONFIG_FOLDER, settings_of_files


def test_a_path_with_names_in_braces_stands_for_each_model_and_dataset() -> None:
    found = of_each([Path("r/{model}/{dataset}/run.yaml"), Path("o/one.yaml")], ["A", "B"], ["c", "d"])
    assert list(map(str, found)) == [
        *("r/A/c/run.yaml", "r/A/d/run.yaml", "r/B/c/run.yaml", "r/B/d/run.yaml"),
        "o/one.yaml",
    ]
    assert of_each([Path("r/{model}/{dataset}")], [], ["c"]) == []


def test_a_path_of_each_model_is_named_once() -> None:
    assert of_each([Path("p/{model}/x.json")], ["A", "B"], [""]) == [Path("p/A/x.json"), Path("p/B/x.json")]


def test_own_datasets_alone_are_compared_with_no_paper() -> None:
    """So that their first page does not speak of it, whatever the configuration leaves `compare_with_paper` at."""
    models = ["BioBERT-v1.1", "DistilBioBERT"]
    for dataset, empty in (("my-ner", True), ("GAD", False), ("BC2GM", False)):
        config = settings_of_files([CONFIG_FOLDER / "examples" / "own_data.yaml"])
        config["reporting"]["compare_with_paper"] = True
        config["run"] |= {"models": models, "datasets": [dataset]}
        parser = argparse.ArgumentParser()
        add_selection(parser)
        arguments = parser.parse_args(selection_options(config, str(CONFIG_FOLDER / "published_values.tsv")))
        found = read_published_of(arguments, models, {dataset: config["datasets"][dataset]["task"]})
        assert found.is_empty == empty, dataset
