"""Prepared datasets and results folders in miniature, as the stages write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

NER_LABELS = ["O", "B", "I"]


def write_task(folder: Path, dataset: str, task: str, test: dict[str, list], labels: list[str]) -> Path:
    """Write a prepared dataset with a test split; label columns hold ids."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value, disable_progress_bars

    disable_progress_bars()
    features = {
        "ner": {
            "id": Value("int32"),
            "words": List(Value("string")),
            "labels": List(ClassLabel(names=labels)),
        },
        "re": {
            "id": Value("int32"),
            "fold": Value("int32"),
            "sentence": Value("string"),
            "label": ClassLabel(names=labels),
        },
        "qa": {
            "id": Value("string"),
            "question_id": Value("string"),
            "snippet": Value("int32"),
            "question": Value("string"),
            "context": Value("string"),
            "answers": {"text": List(Value("string")), "answer_start": List(Value("int32"))},
        },
    }[task]
    folder.mkdir(parents=True)
    data = Dataset.from_dict(test, features=Features(features))
    DatasetDict({"test": data}).save_to_disk(str(folder / "data"))
    (folder / "manifest.json").write_text(json.dumps({"dataset": dataset, "task": task, "files": {}}))
    return folder


def write_results(folder: Path, settings: dict[str, Any], rows: list[dict[str, Any]], schema: pa.Schema) -> Path:
    """Write run.yaml and predictions.parquet."""
    folder.mkdir(parents=True)
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "predictions.parquet", compression="zstd")
    return folder


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


NER_SCHEMA = pa.schema(
    {
        "run": pa.string(),
        "id": pa.int32(),
        "gold": pa.list_(pa.string()),
        "predicted": pa.list_(pa.string()),
        "score": pa.list_(pa.float32()),
        "piece_words": pa.list_(pa.int32()),
        "piece_predicted": pa.list_(pa.string()),
        "piece_score": pa.list_(pa.float32()),
    }
)
RE_SCHEMA = pa.schema(
    {
        "run": pa.string(),
        "fold": pa.int32(),
        "id": pa.int32(),
        "gold": pa.string(),
        "predicted": pa.string(),
        "probabilities": pa.list_(pa.float32()),
    }
)
QA_SCHEMA = pa.schema(
    {
        "run": pa.string(),
        "question_id": pa.string(),
        "snippet": pa.int32(),
        "max_answer_tokens": pa.int32(),
        "rank": pa.int32(),
        "text": pa.string(),
        "score": pa.float32(),
        "start": pa.int32(),
        "end": pa.int32(),
        "probability": pa.float32(),
    }
)


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
