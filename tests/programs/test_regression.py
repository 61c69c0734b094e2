"""A number for a pair of texts: prepared, learnt, scored as scipy scores it, used from the cards, and compared."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any

import measure_deployment
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
from helpers.cards import run_program
from helpers.finetuning import WORDS
from helpers.tasks import write
from helpers.text_kinds import finetuned, write_word_piece_model
from scipy.stats import pearsonr, spearmanr

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.finetuning.features import PieceTokenizer, collate
from compactbio.finetuning.kinds import task_kind
from compactbio.finetuning.model.task_model import load_task_model
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed.batching import fixed_micro_batch, to_tensors
from compactbio.finetuning.packed.fixed_shapes import FixedShapes, Shape
from compactbio.kinds import kind_of
from compactbio.reporting.statistics.differences import compare
from compactbio.scoring.units import RunUnits, write_units
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.record_folds import read_dataset as read_folds
from compactbio.tasks.records import read_dataset
from compactbio.tasks.rows import Rows

SIMILAR = {
    "task": "regression",
    "layout": "table",
    "folder": "pairs",
    "files": {"train": "train.tsv", "validation": "dev.tsv", "test": "test.tsv"},
    "columns": {"text": "sentence1", "pair": "sentence2", "document": "index"},  # the number stands in `score`
}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return write_word_piece_model(tmp_path_factory.mktemp("models") / "bert")


def write_pairs(root: Path, seed: int = 1) -> list[tuple[str, str, float]]:
    """Write BIOSSES' columns, a pair being the more alike the more often its second text says `gene`; return test."""
    draw, rows = random.Random(seed), []
    for name, count in (("train", 240), ("dev", 24), ("test", 40)):
        rows = []
        for _ in range(count):
            score = draw.randint(0, 4)
            pair = [*["gene"] * score, *["cell"] * (4 - score)]
            draw.shuffle(pair)
            rows.append((draw.choice(WORDS[:4]), " ".join(pair), score + draw.choice([0, 0.5])))
        lines = [
            "index\tsentence1\tsentence2\tscore",
            *(f"{name}{n}\t{a}\t{b}\t{c}" for n, (a, b, c) in enumerate(rows)),
        ]
        write(root / "pairs" / f"{name}.tsv", "\n".join(lines) + "\n")
    return rows


@pytest.fixture(scope="module")
def trained(model, tmp_path_factory) -> tuple[Path, list[tuple[str, str, float]], Any]:
    """Return the root folder of a fine-tuning (results in `toy`), the test pairs, and the scores."""
    root = tmp_path_factory.mktemp("regression")
    test = write_pairs(root)
    return root, test, finetuned(SIMILAR, root, model, epochs=8, best_epoch_by="pearson")[1]


def test_numbers_are_learnt_and_scored_as_scipy_does(trained):
    root, test, scored = trained
    rows = [row for row in pq.read_table(root / "toy" / "predictions.parquet").to_pylist() if row["run"] == "seed1"]
    gold, predicted = [score for *_, score in test], [row["predicted"] for row in rows]
    assert [row["gold"] for row in rows] == gold
    found = {score.metric: score.value for score in scored.scores if score.run == "seed1"}
    assert found["pearson"] == pytest.approx(pearsonr(gold, predicted).statistic, abs=1e-12)
    assert found["spearman"] == pytest.approx(spearmanr(gold, predicted).statistic, abs=1e-12)
    assert found["pearson"] > 0.8 and not scored.classes
    curve = [json.loads(line)["validation"] for line in (root / "toy" / "metrics.jsonl").read_text().splitlines()]
    assert len(curve) == 8 and all({"loss", "pearson", "spearman"} == one.keys() for one in curve)
    best = max(range(8), key=lambda epoch: curve[epoch]["pearson"])
    [run] = read_json(root / "toy" / "training.json", dict[str, Any])["runs"]
    assert run["epoch"] == best + 1
    assert read_json(root / "task" / "manifest.json", dict[str, Any])["counts"]["test"]["rows"] == 40


def test_a_plain_pipeline_and_both_cards_give_the_stored_numbers(trained, monkeypatch, tmp_path, capsys):
    root, test, _ = trained
    stored = pq.read_table(root / "toy" / "predictions.parquet").to_pylist()
    predict = transformers.pipeline("text-classification", model=str(root / "toy" / "model"), function_to_apply="none")
    options = ["--models", f"tiny={root / 'toy'}", "--task", root / "task", "--output-dir", tmp_path]
    options += ["--repetitions", 1, "--warmup", 0, "--batch-size", 2, "--sequence-length", 8]
    monkeypatch.setattr(sys, "argv", ["measure_deployment", *map(str, options)])
    measure_deployment.main()
    for (text, pair, _), row in zip(test[:4], stored, strict=False):
        assert predict([{"text": text, "text_pair": pair}])[0]["score"] == pytest.approx(row["predicted"], abs=1e-5)
        printed = run_program(root / "toy" / "model", monkeypatch, capsys, text=text, pair=pair)
        assert [float(line) for line in printed] == pytest.approx([row["predicted"]], abs=1e-3)
        printed = run_program(tmp_path / "tiny", monkeypatch, capsys, text=text, pair=pair)
        assert [float(line) for line in printed] == pytest.approx([row["predicted"]], abs=0.5)  # int8
    scores = read_json(tmp_path / "measurements.json", dict[str, Any])["models"]["tiny"]["forms"]
    assert scores["ONNX fp32"]["scores"]["standard"]["pearson"] == pytest.approx(
        scores["torch fp32"]["scores"]["standard"]["pearson"], abs=1e-6
    )


def test_the_loss_is_transformers_own(model):
    step = TaskStep(load_task_model(model, "regression", [], seed=5), "regression").eval()
    kind, tokenizer = task_kind("regression"), PieceTokenizer(model)
    rows = Rows(
        {"text": ["the gene", "cell", "of the"], "pair": ["binds", "", "of"], "score": [1.5, -100.0, 3.0]}, None
    )
    features = kind.make_features(rows, [], tokenizer, {"max_length": 16}, has_answers=True).features
    arrays = collate(features, tokenizer.pad, token_types=True)
    tensors = to_tensors(arrays)
    inputs = {name: tensors[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    expected = step.model(**inputs, labels=torch.tensor(rows["score"])).loss
    found = step(tensors, {"examples": kind.counted(arrays, None)})
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize("task", ["regression", "multilabel"])
def test_rows_that_fill_a_gpu_s_micro_batch_add_nothing_to_the_loss(model, task):
    labels = ["a", "b", "c"] if task == "multilabel" else []
    step = TaskStep(load_task_model(model, task, labels, seed=5), task).eval()
    kind, tokenizer = task_kind(task), PieceTokenizer(model)
    rows = Rows({"text": ["the gene", "cell", "of"], "pair": ["", "", ""], "score": [1.5, -2.0, 3.0]}, None)
    features = kind.make_features(rows, [[0, 2], [], [1]], tokenizer, {"max_length": 16}, has_answers=True).features
    plain = to_tensors(collate(features, tokenizer.pad, token_types=True))
    shapes = FixedShapes(None, 8, (Shape(16, 16),), tokenizer.pad, token_types=True)
    filled = fixed_micro_batch(features, kind_of(task).denominator, lambda arrays: kind.counted(arrays, None), shapes)
    assert len(filled.tensors["input_ids"]) == 8 and filled.counts["examples"] == 3
    assert step(filled.tensors, filled.counts).item() == pytest.approx(step(plain, filled.counts).item(), rel=1e-6)


def test_comparisons_draw_pairs_and_correlate_them_anew(trained, tmp_path):
    """The interval of one run is that of correlations of resampled pairs; a model beside itself does not differ."""
    root, test, scored = trained
    (units,) = [one.units for one in scored.units]
    predicted = pq.read_table(root / "toy" / "predictions.parquet").column("predicted").to_numpy()
    gold = np.array([score for *_, score in test])
    for name, noise in (("a", 0.0), ("b", 0.0), ("noise", 3.0)):
        values = predicted + noise * np.random.default_rng(1).normal(size=len(predicted))
        counts = np.stack([np.ones_like(gold), gold, values, gold**2, values**2, gold * values], axis=1)
        run = RunUnits("regression", "toy", name, "seed1", 0, "standard", units._replace(counts=counts))
        write_units(tmp_path / f"{name}.parquet", [run])
    files = [tmp_path / f"{name}.parquet" for name in ("a", "b", "noise")]
    estimates = compare(files, baseline="a", resamples=4000, seed=7)
    by_pair = {(one.kind, one.model, one.other): one for one in estimates}
    mean = by_pair["mean", "a", ""]
    assert mean.metric == "pearson" and mean.value == pytest.approx(100 * pearsonr(gold, predicted).statistic, abs=1e-6)
    draws = np.random.default_rng(3).integers(0, len(test), (4000, len(test)))
    expected = [100 * pearsonr(gold[rows], predicted[rows]).statistic for rows in draws]
    assert mean.interval == pytest.approx(np.quantile(expected, [0.025, 0.975]), abs=0.5)
    assert len(units.examples) == len(test) == mean.examples
    assert by_pair["baseline", "b", "a"].value == 0 and by_pair["baseline", "b", "a"].p == 1.0
    assert by_pair["baseline", "noise", "a"].verdict == "lower in these runs"


def test_folds_are_test_data_in_turn_and_pooled(model, tmp_path):
    pairs = write_pairs(tmp_path, seed=4)
    lines = [
        "index\tsentence1\tsentence2\tscore\tpart",
        *(f"{n}\t{a}\t{b}\t{c}\t{n % 4 + 1}" for n, (a, b, c) in enumerate(pairs)),
    ]
    write(tmp_path / "pairs" / "all.tsv", "\n".join(lines) + "\n")
    columns = {**SIMILAR["columns"], "fold": "part"}
    definition = {
        **SIMILAR,
        "layout": "table_of_folds",
        "files": {"train": "all.tsv"},
        "folds": [1, 2, 4],
        "columns": columns,
    }
    runs = [{"run": f"seed1-fold{fold}", "seed": 1, "fold": fold} for fold in (1, 2, 4)]
    folder, scored = finetuned(definition, tmp_path, model, epochs=2, runs=runs)
    counts = read_json(tmp_path / "task" / "manifest.json", dict[str, Any])["counts"]
    assert counts["test"]["rows"] == 30 and counts["train"]["rows"] == 90 and counts["test"]["largest_fold"] == 10
    rows = pq.read_table(folder / "predictions.parquet").to_pylist()
    found = {(score.run, score.metric): score.value for score in scored.scores}
    for fold in (1, 2, 4):
        here = [row for row in rows if row["fold"] == fold]
        assert [row["id"] for row in here] == [n for n in range(40) if n % 4 + 1 == fold]
        expected = pearsonr([row["gold"] for row in here], [row["predicted"] for row in here]).statistic
        assert found[f"seed1-fold{fold}", "pearson"] == pytest.approx(expected, abs=1e-7)
    expected = spearmanr([row["gold"] for row in rows], [row["predicted"] for row in rows]).statistic
    assert found["pooled", "pooled_spearman"] == pytest.approx(expected, abs=1e-9)
    for change, message in (
        ({"folds": [1, 5]}, r"all\.tsv: fold 5 of datasets\.x\.folds has 0 of 40 rows: it has 1, 2, 3, 4"),
        ({"columns": {**columns, "fold": "sentence1"}}, r"line 2: sentence1 is '\w+', the number of a fold"),
    ):
        with pytest.raises(UserError, match=message):
            read_folds(parse_definition("x", definition | change, tmp_path))


@pytest.mark.parametrize("value", ["", "four", "nan", "inf", "1e9"])
def test_what_is_no_number_is_refused_with_its_line(tmp_path, value):
    write_pairs(tmp_path)
    path = tmp_path / "pairs" / "dev.tsv"
    path.write_text(path.read_text() + f"99\tone\ttwo\t{value}\n")
    with pytest.raises(UserError, match=r"dev\.tsv, line 26: score is .*, a number .* is needed"):
        read_dataset(parse_definition("x", SIMILAR, tmp_path))
