"""The names of what a run keeps in its folder of checkpoints, and of what is published of it."""

from __future__ import annotations

from compactbio.settings.results import Finetuning

FINISHED = "finished"
PREDICTIONS, METRICS = Finetuning.predictions.name, Finetuning.metrics.name
RESULT = "result.json"
SECONDS = "seconds.json"
