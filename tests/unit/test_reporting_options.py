"""Paths that stand for those of every model and dataset."""

from __future__ import annotations

from pathlib import Path

from compactbio.reporting.options import of_each


def test_a_path_with_names_in_braces_stands_for_each_model_and_dataset() -> None:
    found = of_each([Path("r/{model}/{dataset}/run.yaml"), Path("o/one.yaml")], ["A", "B"], ["c", "d"])
    assert list(map(str, found)) == [
        *("r/A/c/run.yaml", "r/A/d/run.yaml", "r/B/c/run.yaml", "r/B/d/run.yaml"),
        "o/one.yaml",
    ]
    assert of_each([Path("r/{model}/{dataset}")], [], ["c"]) == []


def test_a_path_of_each_model_is_named_once() -> None:
    assert of_each([Path("p/{model}/x.json")], ["A", "B"], [""]) == [Path("p/A/x.json"), Path("p/B/x.json")]
