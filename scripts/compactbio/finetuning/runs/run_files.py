"""The names of what a run keeps in its folder of checkpoints, and of what is published of it."""

from __future__ import annotations

FINISHED = "finished"
PREDICTIONS = "predictions.parquet"
METRICS = "metrics.jsonl"
RESULT = "result.json"
SECONDS = "seconds.json"
MODEL = "model"  # folder of kept weights
