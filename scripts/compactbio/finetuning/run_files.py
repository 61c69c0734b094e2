"""The names of what a run keeps in its folder of checkpoints."""

from __future__ import annotations

FINISHED = "finished"
PREDICTIONS = "predictions.parquet"
METRICS = "metrics.jsonl"
RESULT = "result.json"
SECONDS = "seconds.json"
