"""The benchmark on its smallest case: equal losses, rows that can be read, refusals. Times are not asserted."""

from __future__ import annotations

import csv
import sys

import benchmark_training
import pytest

from compactbio.benchmarks.measuring import COLUMNS, append_rows
from compactbio.errors import UserError


def call(monkeypatch, *arguments) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark_training.py", *map(str, arguments)])
    benchmark_training.main()


@pytest.mark.slow
def test_a_case_is_measured_on_both_sides_with_equal_losses(tmp_path, monkeypatch, capsys):
    options = ["--batch-size", 2, "--rounds", 1, "--threads", 1, "--dropout", 0, "--output-dir", tmp_path]
    call(monkeypatch, "--cases", "mlm_4l_312", "--precision", "fp32,bf16", *options)
    with (tmp_path / "training.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["case"], row["precision"], row["dropout"]) for row in rows] == [
        ("mlm_4l_312", "fp32", "0.0"),
        ("mlm_4l_312", "bf16", "0.0"),
    ]
    fp32, bf16 = (float(row["loss_difference"]) for row in rows)
    assert fp32 < 1e-5 < bf16 < 1e-2
    for row in rows:
        assert float(row["ratio"]) == pytest.approx(
            float(row["reference_seconds"]) / float(row["ours_seconds"]), rel=0.02
        )
        assert float(row["ours_peak_mb"]) < float(row["reference_peak_mb"])
    assert "mlm_4l_312" in capsys.readouterr().out


@pytest.mark.slow
def test_the_input_is_measured_against_the_usual_collator(tmp_path, monkeypatch):
    call(monkeypatch, "--cases", "input", "--output-dir", tmp_path)
    with (tmp_path / "input.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["case"] for row in rows] == ["input_packed", "input_padded"]
    assert all(int(row["ours_sequences_per_second"]) > 0 for row in rows)


def test_unknown_names_are_refused(monkeypatch, tmp_path):
    with pytest.raises(UserError, match="--cases: distill is unknown; choose from distil, compact"):
        call(monkeypatch, "--cases", "distill", "--output-dir", tmp_path)
    with pytest.raises(UserError, match="--precision: fp8 is unknown"):
        call(monkeypatch, "--precision", "fp8", "--output-dir", tmp_path)


def test_a_table_of_another_form_is_not_appended_to(tmp_path):
    table = tmp_path / "training.tsv"
    append_rows(table, [{"a": 1, "b": 2}])
    append_rows(table, [{"a": 3, "b": 4}])
    assert table.read_text() == "a\tb\n1\t2\n3\t4\n"
    with pytest.raises(UserError, match="move it away"):
        append_rows(table, [{"a": 1, "c": 2}])
