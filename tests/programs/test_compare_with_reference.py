"""The program that runs the authors' own code beside ours: what it finds equal, what it finds, what it refuses."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

import pytest
from helpers.authors import write_authors

from compactbio.benchmarks import authors_code, authors_objectives

PROGRAM = Path(__file__).parents[2] / "scripts" / "compare_with_reference.py"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [str(PROGRAM), *map(str, arguments)])
    runpy.run_path(str(PROGRAM), run_name="__main__")


def rows_of(printed: str) -> list[list[str]]:
    """Return the cells of the printed table without its head."""
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in printed.splitlines()[2:]]


def differences(printed: str) -> dict[tuple[str, str], float]:
    return {(row[0], row[1]): float(row[-1]) for row in rows_of(printed)}


@pytest.fixture
def authors(tmp_path, monkeypatch):
    def write(fault=("", "")) -> Path:
        monkeypatch.setattr(authors_code, "DIGESTS", write_authors(tmp_path / "authors", fault=fault))
        return tmp_path / "authors"

    return write


def test_all_that_is_compared_agrees_with_formulas_restated(authors, monkeypatch, capsys):
    run(monkeypatch, "--authors", authors(), "--seeds", 1)
    found = differences(capsys.readouterr().out)
    models = {"BioDistilBERT and others", "DistilBioBERT", "CompactBioBERT", "TinyBioBERT"}
    assert {what for what, _ in found} == {*models, "NER, generated", "QA, BioASQ-train-factoid-7b"}
    assert all(value < 5e-6 for value in found.values()), found
    assert ("TinyBioBERT", "loss, packed") not in found  # its means run over padding


@pytest.mark.parametrize(
    ("fault", "what", "compared"),
    [
        (("reference.distil(ours, theirs", "2 * reference.distil(ours, theirs"), "DistilBioBERT", "loss, padded"),
        (("2 * number + 1", "2 * number"), "CompactBioBERT", "starting weights"),
        (("labels[row][word]", "labels[row][0]"), "NER, generated", "pieces and labels"),
        (("first + len(text) - 1", "first"), "QA, BioASQ-train-factoid-7b", "windows and answers"),
    ],
)
def test_a_planted_difference_is_seen(authors, monkeypatch, capsys, fault, what, compared):
    chosen = tuple(objective for objective in authors_objectives.OBJECTIVES if objective.model == what)
    monkeypatch.setattr(authors_objectives, "OBJECTIVES", chosen)
    run(monkeypatch, "--authors", authors(fault), "--seeds", 1)
    found = differences(capsys.readouterr().out)
    assert {key for key, value in found.items() if value > 1e-4} >= {(what, compared)}


@pytest.mark.parametrize("change", ["missing", "edited"])
def test_files_of_another_commit_are_not_executed(authors, monkeypatch, capsys, change):
    folder = authors()
    file = folder / "qa.py"
    file.unlink() if change == "missing" else file.write_text(file.read_text() + "\n# edited\n")
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, "--authors", folder)
    assert ended.value.code == 1
    assert "qa.py" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif("COMPACTBIO_AUTHORS" not in os.environ, reason="COMPACTBIO_AUTHORS names no clone of their code")
def test_the_authors_own_code_agrees(monkeypatch, capsys):
    run(monkeypatch, "--authors", os.environ["COMPACTBIO_AUTHORS"], "--seeds", 2)
    assert all(value < 5e-6 for value in differences(capsys.readouterr().out).values())
