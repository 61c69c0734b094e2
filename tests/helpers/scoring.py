"""Prepared datasets and results folders in miniature, as the stages write them."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from compactbio.kinds import KINDS
from compactbio.kinds.columns import arrow_schema, features

NER_LABELS = ["O", "B", "I"]
NER_RUNS = [{"run": "seed1", "seed": 1, "fold": 0}, {"run": "seed2", "seed": 2, "fold": 0}]


def write_task(
    folder: Path,
    dataset: str,
    task: str,
    test: dict[str, list],
    labels: list[str],
    train: dict[str, list] | None = None,
) -> Path:
    """Write a prepared dataset; label columns hold ids, a train split that is not given has one other row."""
    from datasets import Dataset, DatasetDict, disable_progress_bars

    disable_progress_bars()
    columns = features(KINDS[task], labels)
    folder.mkdir(parents=True)
    splits = {"train": train or _other_row(test), "test": test}
    made = {name: Dataset.from_dict(rows, features=columns) for name, rows in splits.items()}
    DatasetDict(made).save_to_disk(str(folder / "data"))
    manifest = {"dataset": dataset, "task": task, "digest": "0" * 64, "files": {}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _other_row(test: dict[str, list]) -> dict[str, list]:
    """Return one row whose text is in none of the test's."""
    text = {"words": ["other"], "labels": [0], "sentence": "other", "context": "other"}
    return {name: [text.get(name, values[0])] for name, values in test.items()}


def write_results(folder: Path, settings: dict[str, Any], rows: list[dict[str, Any]]) -> Path:
    """Write run.yaml and predictions.parquet."""
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    write_predictions(folder, settings["task"], rows)
    return folder


def write_predictions(folder: Path, task: str, rows: list[dict[str, Any]]) -> None:
    """Write predictions.parquet."""
    schema = arrow_schema(KINDS[task].predictions.columns)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "predictions.parquet", compression="zstd")


def run_settings(model: str, dataset: str, task: str, runs: list[dict], **more: Any) -> dict[str, Any]:
    """Return what run.yaml holds, as far as scoring reads it."""
    return {
        "model": model,
        "dataset": dataset,
        "task": task,
        "labels": [],
        "positive_labels": [],
        "runs": runs,
        "hyperparameters": {"max_length": 512},
        **more,
    }


def ner_row(run: str, number: int, gold: str, predicted: str, pieces: str, piece_words: list[int]) -> dict[str, Any]:
    """Return one sentence's predictions; label sequences are given as text, a letter a label."""
    return {
        "run": run,
        "id": number,
        "gold": list(gold),
        "predicted": list(predicted),
        "score": [0.5] * len(predicted),
        "piece_words": piece_words,
        "piece_predicted": list(pieces),
        "piece_score": [0.5] * len(pieces),
    }


def qa_row(run: str, question: str, snippet: int, limit: int, rank: int, text: str, score: float) -> dict[str, Any]:
    """Return one span."""
    return {
        "run": run,
        "question_id": question,
        "snippet": snippet,
        "max_answer_tokens": limit,
        "rank": rank,
        "text": text,
        "score": score,
        "start": 0,
        "end": len(text),
        "probability": 0.5,
    }


def ner_rows() -> list[dict[str, Any]]:
    """Return two runs of two sentences."""
    # Sentence 0: words O B I in 1, 2 and 1 pieces: pieces O B B I, two entities of the reference protocol.
    # Sentence 1: word 1 vanished in the tokenizer: words B B O, pieces of words 0 and 2.
    return [
        ner_row("seed1", 0, "OBI", "OBI", "OBBI", [0, 1, 1, 2]),
        ner_row("seed1", 1, "BBO", "BOO", "BO", [0, 2]),
        ner_row("seed2", 0, "OBI", "OOO", "OOBI", [0, 1, 1, 2]),
        ner_row("seed2", 1, "BBO", "OOB", "OB", [0, 2]),
    ]


def re_rows() -> list[dict[str, Any]]:
    """Return two folds of two sentences: 2 of class 1 found, 1 found wrongly, 1 missed."""
    return [
        {"run": f"seed1-fold{fold}", "fold": fold, "id": number, "gold": gold, "predicted": predicted}
        | {"probabilities": [0.5, 0.5]}
        for fold, number, gold, predicted in ((1, 0, "1", "1"), (1, 1, "0", "1"), (2, 0, "1", "1"), (2, 1, "1", "0"))
    ]


def qa_rows(run: str = "seed1") -> list[dict[str, Any]]:
    """Return the spans of two questions; only the longer answers have the second one right."""
    rows = []
    for limit in (15, 30):
        rows += [
            qa_row(run, "q1", 0, limit, 1, "glucagon", 1.0),
            qa_row(run, "q1", 0, limit, 2, "insulin", 0.5),
            qa_row(run, "q1", 1, limit, 1, "Insulin", 5.0),
            qa_row(run, "q2", 0, limit, 1, "leptin" if limit == 30 else "the hormone", 1.0),
        ]
    return rows


def score(monkeypatch: Any, tmp_path: Path, results: list, tasks: list, model: str = "tiny") -> dict[tuple, float]:
    """Run the program's main and return {(dataset, run, protocol, metric): value}."""
    import score_model

    output = tmp_path / "scores.tsv"
    arguments = ["--model", model, "--results", *results, "--tasks", *tasks, "--output", output]
    arguments += ["--classes", tmp_path / "classes.tsv", "--units", tmp_path / "units.parquet"]
    monkeypatch.setattr(sys, "argv", ["score_model.py", *map(str, arguments)])
    score_model.main()
    with output.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert list(rows[0]) == ["task", "dataset", "model", "run", "protocol", "metric", "value"]
    assert {row["model"] for row in rows} == {model}
    return {(row["dataset"], row["run"], row["protocol"], row["metric"]): float(row["value"]) for row in rows}


def class_scores(tmp_path: Path) -> dict[tuple, float]:
    """Return {(dataset, run, protocol, label, metric): value} of the table by class that `score` left."""
    from compactbio.reporting.collected_scores import read_scores
    from compactbio.scoring.score_rows import ClassScore

    rows = read_scores(tmp_path / "classes.tsv", ClassScore)
    return {(row.dataset, row.run, row.protocol, row.label, row.metric): row.value for row in rows}
