"""The benchmark of a GPU in miniature on the CPU: every row, what fails, what there is no time for. No times."""

from __future__ import annotations

import csv
import os
import sys
import time

import benchmark_gpu
import pytest
import torch

from compactbio.benchmarks import gpu_finetunings, gpu_rows
from compactbio.benchmarks.cases import CASES, MLM, Case
from compactbio.benchmarks.gpu_rows import COLUMNS, OURS, PLAIN, REFERENCE, Row, Scale
from compactbio.benchmarks.measuring import append_rows
from compactbio.errors import UserError

SHAPE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
CASE = {"small": Case("bert", SHAPE, 200, MLM), "broken": Case("bert", {"hidden_size": -1}, 200, MLM)}
SCALE = Scale(batch=4, reference_batch=2, rounds=1)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def soon() -> float:
    return time.monotonic() + 600


def test_a_row_of_each_side_is_measured_and_a_failure_costs_no_other_row(caplog):
    rows = [Row("small", OURS, "fp32", 0.0), Row("broken", OURS, "fp32"), Row("small", REFERENCE, "bf16")]
    lines = list(gpu_rows.measure_rows(rows, CASE, SCALE, "a CPU", deadline=soon()))
    assert [tuple(line) for line in lines] == [COLUMNS] * 3
    ours, broken, reference = lines
    assert (ours["batch"], reference["batch"]) == (4, 2)
    assert float(ours["host_ms"]) <= float(ours["ms"])
    assert ours["mfu_percent"] == "-"  # a CPU's peak is not known
    assert ours["form"] == "packed  2048 tokens, 0 captured"
    assert broken["ms"] == "-" and broken["form"].startswith("UserError: student.shape: bert refuses")


def test_no_row_is_begun_that_would_end_too_late(caplog):
    rows = [Row("small", OURS, "fp32"), Row("small", REFERENCE, "fp32")]
    assert list(gpu_rows.measure_rows(rows, CASE, SCALE, "a CPU", deadline=time.monotonic() - 1)) == []
    assert "no time for 2 rows: small ours fp32, small reference fp32" in caplog.text


def test_a_slow_start_costs_no_later_row(monkeypatch):
    """Rows of 10 seconds after one of 50: the last one begins when it just fits."""
    clock = [0.0]

    def take(*_):
        clock[0] += 50.0 if clock[0] == 0.0 else 10.0
        return {}

    monkeypatch.setattr(gpu_rows.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(gpu_rows, "_measured", take)
    rows = [gpu_rows.Row("small", gpu_rows.OURS, "fp32")] * 9
    assert len(list(gpu_rows.measure_rows(rows, CASE, SCALE, "a CPU", deadline=100.0))) == 6


def test_rows_without_triton_are_built_without_it(tmp_path, monkeypatch):
    monkeypatch.delenv("COMPACTBIO_TRITON", raising=False)
    seen = []
    step = gpu_rows.OurStep
    monkeypatch.setattr(
        gpu_rows, "OurStep", lambda *given: seen.append(os.environ.get("COMPACTBIO_TRITON")) or step(*given)
    )
    rows = [Row("small", OURS, "fp32"), Row("small", PLAIN, "fp32")]
    measured = list(gpu_rows.measure_rows(rows, CASE, SCALE, "a CPU", deadline=soon()))
    assert [line["side"] for line in measured] == ["ours", "ours without Triton"]
    assert seen == [None, "0"] and "COMPACTBIO_TRITON" not in os.environ


def test_every_case_has_its_rows_the_important_ones_first():
    rows = gpu_rows.planned_rows("bf16")
    assert {row.case for row in rows[: len(CASES)]} == set(CASES)
    assert {(row.side, row.precision, row.dropout) for row in rows} == {
        *((OURS, precision, 0.1) for precision in ("bf16", "fp32", "tf32")),
        *((REFERENCE, precision, 0.1) for precision in ("bf16", "fp32")),
        (OURS, "bf16", 0.0),
        (PLAIN, "bf16", 0.1),
    }
    assert len(set(rows)) == len(rows)
    assert set(gpu_rows.MODELS.values()) <= set(CASES)


def test_hours_are_the_steps_of_the_paper_times_the_seconds_of_one():
    common = {"side": OURS, "precision": "bf16", "dropout": 0.1}
    lines = [common | {"case": "distil", "ms": "36.0"}, common | {"case": "mlm_6l_768", "ms": "18.0"}]
    lines += [common | {"case": "compact", "ms": "-"}, common | {"case": "tiny", "ms": "9", "precision": "fp32"}]
    hours = dict(gpu_rows.gpu_hours(lines, "bf16", benchmark_gpu.CONFIG))
    assert hours["DistilBioBERT"] == hours["BioDistilBERT-cased"] == hours["BioDistilBERT-uncased"] == "1.00"
    assert hours["all"] == "3.0 without CompactBioBERT, TinyBioBERT, BioTinyBERT, BioMobileBERT"


def test_the_slowest_row_is_profiled(tmp_path):
    table = tmp_path / "gpu.tsv"
    with pytest.raises(UserError, match="has no row of a CPU in bf16"):
        gpu_rows.slowest_row(table, "a CPU", "bf16")
    for case, ms in (("distil", "5"), ("small", "50"), ("distil", "40"), ("tiny", "-")):
        line = {"hardware": "a CPU", "case": case, "side": OURS, "dropout": 0.1, "precision": "bf16", "ms": ms}
        append_rows(table, [line])
    slowest = gpu_rows.slowest_row(table, "a CPU", "bf16")
    assert slowest == Row("small", OURS, "bf16")
    text = gpu_rows.profile_row(slowest, CASE["small"], SCALE, top=5)
    assert text.startswith("small, bf16, dropout 0.1: packed")
    assert "aten::" in text and "Self CPU" in text


@pytest.mark.slow
def test_both_sides_are_fine_tuned(tmp_path):
    scale = gpu_finetunings.Scale(SHAPE, {"ner": 32, "qa": 16}, {"ner": 8, "qa": 30})
    lines = list(gpu_finetunings.measure_finetunings(scale, "a CPU", "bf16", deadline=soon()))
    sides = [("reference", "fp32"), ("ours", "fp32"), ("ours", "bf16")]
    assert [(line["task"], (line["side"], line["precision"]), line["note"]) for line in lines] == [
        (task, side, "") for task in ("ner", "qa") for side in sides
    ]
    assert all(tuple(line) == gpu_finetunings.COLUMNS and line["sequences_per_second"] > 0 for line in lines)


def test_a_machine_without_a_gpu_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["benchmark_gpu.py", "--output-dir", str(tmp_path)])
    with pytest.raises(UserError, match="no GPU here"):
        benchmark_gpu.main()


@pytest.fixture
def pretended_rows(monkeypatch, tmp_path):
    """One that is measured and one that fails; a GPU that answers."""

    def measured(rows, *_, **__):
        yield dict.fromkeys(COLUMNS, "1") | {"case": "distil", "side": OURS, "precision": "bf16", "dropout": 0.1}
        yield dict.fromkeys(COLUMNS, "-") | {"case": rows[0].case, "form": "OutOfMemoryError: CUDA out of memory"}

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(gpu_rows, "measure_rows", measured)
    options = ["--cases", "distil", "--parts", "steps", "--output-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["benchmark_gpu.py", *options])


def test_rows_that_follow_one_that_loses_the_gpu_are_another_program_s(pretended_rows, monkeypatch, tmp_path):
    def lost():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    def execv(path, command):
        sys.argv = command[1:]
        raise SystemExit

    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    monkeypatch.setattr(benchmark_gpu.os, "execv", execv)
    monkeypatch.setattr(benchmark_gpu.os, "closerange", lambda *_: None)
    with pytest.raises(SystemExit):
        benchmark_gpu.main()
    again = benchmark_gpu.parse_arguments()
    assert (again.skip, again.cases, again.parts, again.output_dir) == (2, ["distil"], ["steps"], tmp_path)
    assert 3.5 < again.minutes <= 3.8
    monkeypatch.undo()
    asked = []
    monkeypatch.setattr(gpu_rows, "measure_rows", lambda rows, *_, **__: asked.extend(rows) or iter(()))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(sys, "argv", ["benchmark_gpu.py", "--skip", "2", "--parts", "steps"])
    benchmark_gpu.main()
    assert asked == gpu_rows.planned_rows("bf16")[2:]


def test_the_program_writes_rows_as_they_come_and_prints_the_tables(pretended_rows, tmp_path, capsys):
    benchmark_gpu.main()
    with (tmp_path / "gpu.tsv").open(encoding="utf-8", newline="") as stream:
        assert [row["ms"] for row in csv.DictReader(stream, delimiter="\t")] == ["1", "-"]
    printed = capsys.readouterr().out
    assert "GPU-hours" in printed and "CUDA out of memory" in printed
