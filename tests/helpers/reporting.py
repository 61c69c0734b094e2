"""Synthetic results of the reporting stage: full-size score sets whose truth is known."""

from __future__ import annotations

import json
import random
from pathlib import Path

MODELS = {
    "BioBERT-v1.1": 0.0,
    "DistilBioBERT": -1.0,
    "CompactBioBERT": -1.2,
    "TinyBioBERT": -6.0,
    "BioDistilBERT-cased": -1.1,
    "BioDistilBERT-uncased": -1.3,
    "BioTinyBERT": -7.0,
    "BioMobileBERT": -2.0,
    "DistilBERT-cased": -3.0,
    "DistilBERT-uncased": -3.2,
    "TinyBERT": -9.0,
    "MobileBERT": -4.0,
}  # and how far below the baseline each lies, percent points
DATASETS = {
    "NCBI-disease": ("ner", 88.0),
    "BC5CDR-disease": ("ner", 85.0),
    "BC5CDR-chem": ("ner", 93.0),
    "BC2GM": ("ner", 84.5),
    "JNLPBA": ("ner", 77.0),
    "GAD": ("re", 82.0),
    "ChemProt": ("re", 75.0),
    "BioASQ-7b": ("qa", 45.0),
}
ENTITIES = {"NCBI-disease": 960, "BC5CDR-disease": 4424, "BC5CDR-chem": 5385, "BC2GM": 6325, "JNLPBA": 6241}
HEADER = ("task", "dataset", "model", "run", "protocol", "metric", "value")


# what provenance.json and a run in training.json hold at least
PROVENANCE = {
    "inputs": {},
    "seconds": 60.0,
    "gpu_hours": 0.0,
    "packages": {"python": "3.11"},
    "hardware": {"processor": "A processor", "cores": 2, "gpus": []},
    "code": {"commit": "abc", "dirty": False},
}
OPTIMISATION = {"steps": 30, "warmup_steps": 1, "peak_learning_rate": 1.0, "weight_decay": 0.0, "precision": "fp32"}
OPTIMISATION |= {"global_batch_size": 8, "schedule": "linear", "adam_betas": [0.9, 0.999], "adam_epsilon": 0.5}
OPTIMISATION |= {"max_gradient_norm": 1.0, "attention_dropout": None}
PRETRAINING = {"model": "A", "optimisation": OPTIMISATION, "masked_fraction": 0.15, "max_length": 128, "seed": 1}
PRETRAINING |= {"quirks": {}}
RUN = {"steps": 30, "epoch": 2, "loss_last_epoch": 0.5, "train": {}, "validation": None, "test": {}}
RUN |= {"fingerprint": "f" * 64, "seed": 1, "fold": 0, "seconds": 90.0}


def run_names(dataset: str) -> list[str]:
    if dataset == "GAD":
        return [f"seed42-fold{fold}" for fold in range(1, 11)]
    return ["seed42", "seed43", "seed44"]


def score_rows(model: str, datasets: dict[str, tuple[str, float]] = DATASETS) -> list[tuple]:
    """All rows of one model, in the form of its scores.tsv; the same numbers at every call."""
    rows = []
    for dataset, (task, level) in datasets.items():
        for run in run_names(dataset):
            noise = random.Random(f"{model} {dataset} {run}")
            for protocol in ("standard",) if task == "re" else ("reference", "standard"):
                shift = 2.0 if protocol == "reference" else 0.0
                center = (level + shift + MODELS.get(model, -1.0)) / 100
                rows += [
                    (task, dataset, model, run, protocol, metric, value)
                    for metric, value in _metrics(task, dataset, protocol, center, noise).items()
                ]
    return rows


def _metrics(task: str, dataset: str, protocol: str, center: float, noise: random.Random) -> dict[str, float]:
    if task == "qa":
        strict = center - 0.06 + noise.gauss(0, 0.01)
        lenient = center + 0.10 + noise.gauss(0, 0.01)
        return {"strict": strict, "lenient": lenient, "mrr": (2 * strict + lenient) / 3}
    precision, recall = center + noise.gauss(0, 0.003), center + noise.gauss(0, 0.003)
    values = {"precision": precision, "recall": recall, "f1": 2 * precision * recall / (precision + recall)}
    if task == "ner":
        return values | {"entities": ENTITIES.get(dataset, 100) * (2 if protocol == "reference" else 1)}
    drop = 0.04 if dataset == "ChemProt" else 0.0
    return values | {f"macro_{metric}": value - drop for metric, value in list(values.items())}


CLASSES = {"ChemProt": ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9"), "GAD": ("1",)}
CLASS_HEADER = (*HEADER[:5], "label", *HEADER[5:])


def class_rows(model: str, datasets: dict[str, tuple[str, float]] = DATASETS) -> list[tuple]:
    """All rows of one model, in the form of its classes.tsv: each class scores as the whole does, less its number."""
    return [
        (*row[:5], label, *pair)
        for row in score_rows(model, datasets)
        if row[1] in CLASSES and row[5] == "f1"
        for number, label in enumerate(CLASSES[row[1]])
        for pair in [*((metric, row[6] - number / 100) for metric in ("precision", "recall", "f1")), ("support", 50)]
    ]


def write_rows(path: Path, rows: list[tuple], header: tuple = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in [header, *rows]), encoding="utf-8")
    return path


def write_results(root: Path, models: dict = MODELS, datasets: dict[str, tuple[str, float]] = DATASETS) -> Path:
    """A results folder: scores.tsv of each model and run.yaml of each fine-tuning."""
    for model in models:
        write_rows(root / "finetuning" / model / "scores.tsv", score_rows(model, datasets))
        write_rows(root / "finetuning" / model / "classes.tsv", class_rows(model, datasets), CLASS_HEADER)
        for dataset, (task, _) in datasets.items():
            run = {"model": model, "dataset": dataset, "task": task, "runs": [{"run": r} for r in run_names(dataset)]}
            path = root / "finetuning" / model / dataset / "run.yaml"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(run), encoding="utf-8")  # JSON is YAML
            write_training(path.parent, task, run_names(dataset))
    return root


DISTILLED = [{"term": "mlm", "weight": 2.0}, {"term": "logit_kl", "weight": 5.0, "temperature": 2.0}]


def write_pretraining(
    folder: Path, objective: list[dict] = DISTILLED, *, gpu_hours: float = 0.0, steps: tuple = (1, 10, 30)
) -> Path:
    """metrics.jsonl of a pre-training of 100 tokens a second and half a second a step, with an evaluation in it."""
    folder.mkdir(parents=True)
    terms = {term["term"]: 1.0 for term in objective}
    lines: list[dict] = [
        {"step": step, "loss": 10.0 - number, "terms": terms, "tokens_per_second": 100.0, "seconds_per_step": 0.5}
        for number, step in enumerate(steps)
    ]
    lines.insert(1, {"step": 5, "evaluation": {"perplexity": 3.0}})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "run.yaml").write_text(json.dumps(PRETRAINING | {"objective": objective}), encoding="utf-8")
    record = PROVENANCE | {"seconds": 36.0, "gpu_hours": gpu_hours}
    (folder / "provenance.json").write_text(json.dumps(record), encoding="utf-8")
    return folder / "metrics.jsonl"


def write_training(folder: Path, task: str, runs: list[str], grid: list[dict] | None = None) -> Path:
    """training.json and metrics.jsonl of one fine-tuning over three epochs; the second is the one taken."""
    folder.mkdir(parents=True, exist_ok=True)
    metric = "mrr" if task == "qa" else "f1"
    facts = {
        "seconds": 90.0 * len(runs),
        "hyperparameters": {"learning_rate": 5.0e-5, "batch_size": 16, "epochs": 3},
        "grid": grid or [],
        "fingerprint": "f" * 64,
        "steps": 30 * len(runs),
        "runs": [{**RUN, "run": run} for run in runs],
    }
    lines = [
        {
            "run": run,
            "epoch": epoch,
            "step": 10 * epoch,
            "loss": 1 / epoch + number,
            "validation": None if task == "qa" else {metric: 0.1 * epoch + 0.02 * number},
        }
        for number, run in enumerate(runs)
        for epoch in (1, 2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (folder / "training.json").write_text(json.dumps(facts), encoding="utf-8")
    return folder / "training.json"


def deployment_file(path: Path, models: dict = MODELS, dataset: str = "NCBI-disease", loss: float = 0.004) -> Path:
    """A file as measure_deployment writes it: torch's scores are those of score_rows, int8 loses `loss`."""
    task, run = DATASETS[dataset][0], run_names(dataset)[0]
    facts = {}
    for number, name in enumerate(models):
        scores: dict[str, dict[str, float]] = {}
        for _, of, _, which, protocol, metric, value in score_rows(name, {dataset: DATASETS[dataset]}):
            if (of, which) == (dataset, run):
                scores.setdefault(protocol, {})[metric] = value
        lower = {protocol: {metric: value - loss for metric, value in of.items()} for protocol, of in scores.items()}
        forms = {"torch fp32": (4000, 3.0, scores), "ONNX fp32": (4100, 2.0, scores), "ONNX int8": (1000, 1.0, lower)}
        facts[name] = {
            "run": run,
            "forms": {
                form: {
                    "bytes": size * (number + 1) * 1000,
                    "scores": of_form,
                    "cpu": {
                        "latency_milliseconds": {"median": time, "q1": time, "q3": time, "values": [time]},
                        "throughput_sequences_per_second": {"median": 9 / time, "q1": 1.0, "q3": 9.0, "values": [9.0]},
                    },
                }
                for form, (size, time, of_form) in forms.items()
            },
        }
    hardware = {"cpu": "A processor", "cpu_threads": 2, "integer_instructions": "avx512_vnni", "torch": "2.13.0"}
    content = {
        "settings": {"sequence_length": 128, "batch_size": 32, "repetitions": 1, "warmup": 1, "threads": 2, "seed": 0},
        "hardware": hardware | {"onnxruntime": "1.32.0"},
        "dataset": dataset,
        "task": task,
        "models": facts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def efficiency_file(path: Path, models: dict = MODELS, *, cpu: str = "A processor") -> Path:
    """A file as measure_efficiency writes it, with made-up numbers."""
    facts = {}
    for i, name in enumerate(models):
        layers = {"Tiny": 4_790_000, "Distil": 42_500_000, "Compact": 42_500_000, "Mobile": 20_600_000}
        own = next((size for word, size in layers.items() if word in name), 85_000_000)
        embeddings = 9_000_000 if own < 1e7 else 4_000_000 if "Mobile" in name else 22_700_000
        spread = {"median": 5.0 + i, "q1": 4.0 + i, "q3": 7.0 + i, "values": [4.0 + i, 5.0 + i, 7.0 + i]}
        facts[name] = {
            "parameters": {
                "embeddings": embeddings,
                "layers": own,
                "pooler": 0,
                "head": 0,
                "encoder": own + embeddings,
                "encoder_with_pooler": own + embeddings,
                "encoder_without_embeddings": own,
            },
            "weights_bytes": 4 * (own + embeddings),
            "flops": {"128": 256 * own, "256": 512 * own},
            "peak_memory_bytes": 6 * (own + embeddings),
            "cpu": {"latency_milliseconds": spread, "throughput_sequences_per_second": spread},
        }
    content = {
        "settings": {"sequence_length": 128, "batch_size": 32, "repetitions": 3, "warmup": 1, "threads": 2},
        "hardware": {"cpu": cpu, "cpu_threads": 2, "gpu": None, "torch": "2.13.0", "precision": "fp32"},
        "models": facts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path
