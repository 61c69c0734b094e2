"""Before a run: the disk and files that its stages will need, and the GPU-hours that a measured step tells."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

# per file of the PubMed baseline, which holds 30,000 citations: downloaded, its texts, its tokens for one tokenizer
DOWNLOAD_BYTES, TEXT_BYTES, TOKEN_BYTES = 30e6, 15e6, 10e6
CHECKPOINT_BYTES, CHECKPOINT_FILES = (
    4.0e9,
    20,
)  # of a pre-training: two checkpoints of weights and optimizer, and a model
FINETUNING_BYTES, FINETUNING_FILES = 2.0e9, 30  # of a model on a dataset: the run in progress, and finished ones
SNAPSHOT_BYTES, SNAPSHOT_FILES = 0.5e9, 30  # of a checkpoint from the hub
REFERENCE_DEVICE_BATCH = 24  # sequences that benchmark_training.py measures a step of


def stages(config: dict[str, Any], trained: list[str]) -> dict[str, tuple[float, int]]:
    """Return the bytes and files that each stage leaves."""
    baseline = config["corpus"]["baseline"]
    files = len(baseline["numbers"] or []) or baseline["files"]
    batches = -(-files // config["corpus"]["files_per_job"])
    tokenizers = len({config["models"][name]["tokenizer"] for name in trained})
    models, datasets = len(config["run"]["models"]), len(config["run"]["datasets"])
    found = {
        "students": (SNAPSHOT_BYTES * 2 * models, SNAPSHOT_FILES * 2 * models),
        "finetuning": (FINETUNING_BYTES * models, FINETUNING_FILES * models * datasets),
    }
    if trained and config["corpus"]["source"] == "baseline":
        found["downloads"] = (0.0, 0) if baseline["base_url"].startswith("file:") else (DOWNLOAD_BYTES * files, files)
        found["corpus"] = ((TEXT_BYTES + TOKEN_BYTES * tokenizers) * files, (3 + 4 * tokenizers) * batches)
    if trained:
        found["pretraining"] = (CHECKPOINT_BYTES * len(trained), CHECKPOINT_FILES * len(trained))
    return found


def case_of(model: dict[str, Any]) -> str | None:
    """Return which case of the benchmark a model's training is like, None where it is like none."""
    terms = {term["term"] for term in model.get("objective", [])}
    if "attention_kl" in terms:
        return "compact"
    if "soft_cross_entropy" in terms:
        return "tiny"
    if {"logit_kl", "hidden_cosine"} <= terms:
        return "distil"
    if terms == {"mlm"}:
        return {"distilbert": "mlm_6l_768", "mobilebert": "mlm_mobilebert", "bert": "mlm_4l_312"}.get(
            model["architecture"]
        )
    return None


def measured_steps(path: Path) -> dict[str, tuple[float, str]]:
    """Return the seconds of a step of each case and the hardware, the last measurement of each."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return {row["case"]: (float(row["ours_seconds"]), row["hardware"]) for row in rows}


def gpu_hours(config: dict[str, Any], trained: Iterable[str], steps: dict[str, tuple[float, str]]) -> dict[str, float]:
    """Return the hours of pre-training on one such GPU by model, of those whose like was measured."""
    hours = {}
    for name in trained:
        model = config["models"][name]
        settings = {**config["pretraining"]["optimisation"], **model.get("optimisation", {})}
        case = case_of(model)
        if case in steps:
            per_step = steps[case][0] * settings["global_batch_size"] / REFERENCE_DEVICE_BATCH
            hours[name] = per_step * settings["steps"] / 3600
    return hours
