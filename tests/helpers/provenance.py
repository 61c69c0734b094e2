"""A small results folder whose chain of origins is whole, from a PubMed file to a cell of a table."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import yaml

from compactbio.digests import sha256_of_file
from compactbio.files import write_manifest
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.pretraining.inputs import RECIPE
from compactbio.provenance import gather_provenance, write_provenance
from compactbio.training.checkpoints import fingerprint

TASK, DATASET, MODEL, TEACHER = "ner", "Genes", "Small", "big"
SCORES = {"seed1": 0.5, "seed2": 0.75}
PUBMED = "pubmed26n0001.xml.gz"
CONFIGURATION = {
    "run": {"models": [MODEL], "datasets": [DATASET], "seeds": [1, 2]},
    "corpus": {"source": "baseline", "baseline": {"base_url": "https://nlm/baseline/", "year": 2026, "as_of": None}},
    "tokenizers": {"cased": {"checkpoint": TEACHER}},
    "checkpoints": {TEACHER: {"source": "hub", "hub": {"repository": "someone/big", "revision": "main"}}},
    "models": {
        MODEL: {"source": "train", "teacher": TEACHER, "tokenizer": "cased", "student": {"teacher_layers": [0]}}
    },
    "datasets": {DATASET: {"task": TASK, "source": "archive", "folder": "genes"}},
    "data_urls": {},
    "reporting": {"compare_with_paper": True},
}
SOURCES = [
    ["name", "member", "url", "mirrors", "version", "sha256", "licence", "citation", "language", "generated", "note"],
    [
        "archive",
        "",
        "https://bench/genes.tar.gz",
        "",
        "v1",
        "",
        "terms of the corpus",
        "Archivist 2020",
        "en",
        "",
        "an archive",
    ],
    ["archive", "genes/train.tsv", "", "", "v1", "", "CC0", "Curator 2014", "", "", ""],
    [
        "pubmed_baseline",
        "",
        "https://nlm/baseline/",
        "",
        "yearly",
        "",
        "NLM terms",
        "Courtesy of NLM",
        "en",
        "",
        "not current",
    ],
    ["someone/big", "", "https://hub/someone/big", "", "main", "", "MIT", "Someone 2019", "en", "", ""],
]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def write(path: Path, content: Any) -> Path:
    """Write bytes, text, or a value as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = (
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    path.write_bytes(data)
    return path


def made(folder: Path, inputs: dict[str, str], manifest: dict[str, Any], **facts: Any) -> None:
    write_provenance(folder, inputs, 1.5, outputs={"manifest.json": manifest["digest"]}, **facts)


def write_sources(path: Path) -> Path:
    """A table of sources."""
    return write(path, "".join("\t".join(row) + "\n" for row in SOURCES))


def write_chain(root: Path) -> Path:
    """Write everything under root/results, what was downloaded beside it; return the results folder."""
    results = root / "results"
    _write_corpus(root, results)
    teacher = _write_model(results / "students/fetched" / TEACHER, "big", {"source": "hub", "commit": "c" * 40})
    made(results / "students/fetched" / TEACHER, {"model.safetensors": sha256(b"published")}, teacher)
    origin = {"source": "teacher_layers", "model": MODEL, "seed": 1, "from": TEACHER, "digest": teacher["digest"]}
    student = _write_model(results / "students/initialised" / MODEL, "cut", origin)
    made(results / "students/initialised" / MODEL, {"teacher": teacher["digest"]}, student)
    _write_pretraining(results, teacher["digest"], student["digest"])
    _write_task(root, results)
    _write_finetuning(results)
    _write_tables(results)
    return results


def _write_model(folder: Path, name: str, origin: dict[str, Any]) -> dict[str, Any]:
    for file in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
        write(folder / file, f"{file} of {name}")
    return write_manifest(folder, kind="checkpoint", architecture="bert", tokenizer_digest="t" * 64, origin=origin)


def _write_corpus(root: Path, results: Path) -> None:
    pubmed = write(root / "mirror" / PUBMED, b"<PubmedArticleSet/>")
    facts = {"name": PUBMED, "path": str(pubmed), "bytes": pubmed.stat().st_size}
    digests = {"md5": hashlib.md5(pubmed.read_bytes()).hexdigest(), "sha256": sha256(pubmed.read_bytes())}
    batch = {"base_url": "https://nlm/baseline/", "year": 2026, "files": [facts | digests]}
    write(results / "corpus/baseline/0001.json", batch)
    text = write(results / "corpus/text/0001.parquet", b"texts")
    record = gather_provenance({PUBMED: digests["sha256"]}, 2.0, outputs={text.name: sha256(b"texts")})
    counts = {"kind": "citations", "citations": 12, "kept": 10, "sources": [{"name": PUBMED}], "provenance": record}
    write(results / "corpus/text/0001.counts.json", counts)
    store = results / "corpus/tokens/cased/0001"
    write(store / "ids.npy", b"ids")
    write(store / "offsets.npy", b"offsets")
    manifest = write_manifest(store, documents=10, tokens=100, truncated=0, max_length=128)
    made(store, {"0001.parquet": sha256(b"texts"), "tokenizer": "t" * 64}, manifest)


def _write_pretraining(results: Path, teacher: str, student: str) -> None:
    folder = results / "pretraining" / MODEL
    optimisation = {"steps": 6, "global_batch_size": 4, "peak_learning_rate": 1e-4, "schedule": "linear"}
    optimisation |= {"warmup_steps": 1, "weight_decay": 0.0, "precision": "fp32", "attention_dropout": None}
    optimisation |= {"adam_betas": [0.9, 0.999], "adam_epsilon": 1e-8, "max_gradient_norm": 1.0}
    run = {
        "model": MODEL,
        "architecture": "bert",
        "tokenizer": "cased",
        "teacher": TEACHER,
        "student": {"teacher_layers": [0]},
        "seed": 1,
    }
    run |= {"optimisation": optimisation, "objective": [{"term": "mlm", "weight": 1.0}], "quirks": {"text": "sound"}}
    run |= {"masked_fraction": 0.15, "max_length": 128}
    write(folder / "run.yaml", yaml.safe_dump(run))
    store = json.loads((results / "corpus/tokens/cased/0001/manifest.json").read_text())["digest"]
    inputs = {"student": student, "teacher": teacher, "tokens/0001": store}
    mark = fingerprint(run, inputs, RECIPE)
    training = {"model": MODEL, "fingerprint": mark, "step": 6, "total_steps": 6, "seconds": 60.0}
    write(
        folder / "training.json",
        training | {"loss_first": 9.0, "loss_last": 7.0, "checkpoint": "step-1", "metrics": "metrics.jsonl"},
    )
    write(folder / "metrics.jsonl", '{"step": 6, "loss": 7.0}\n')
    tries = [{"started": "2026-01-01T00:00:00+00:00", "host": "node1", "job": "7", "processes": 1, "gpus": 2}]
    tries[0] |= {"from_step": 0, "to_step": 6, "seconds": 60.0, "reason": "finished"}
    facts = {"model": MODEL, "fingerprint": mark, "recipe": RECIPE, "seed": 1, "steps": 6, "submissions": tries}
    write_provenance(folder, inputs, 60.0, gpu_hours=0.5, **facts)
    exported = _write_model(folder / "model", MODEL, {"source": "train", "model": MODEL, "fingerprint": mark})
    made(folder / "model", {"training": mark, "student": student}, exported)


def _write_task(root: Path, results: Path) -> None:
    data = {"train.tsv": b"gene\tB\n", "test.tsv": b"cell\tO\n"}
    downloaded = root / "downloads/genes"
    for name, content in data.items():
        write(downloaded / "genes" / name, content)
    archive = write(root / "mirror/genes.tar.gz", b"archive")
    files = {f"genes/{name}": {"bytes": len(content), "sha256": sha256(content)} for name, content in data.items()}
    source = {"source": "archive", "version": "v1", "url": "https://bench/genes.tar.gz", "folder": str(downloaded)}
    source |= {"archive": {"path": str(archive), "sha256": sha256(b"archive")}, "digest": "d" * 64, "files": files}
    write(results / "tasks/sources/archive.json", source)
    folder = results / "tasks" / DATASET
    write(folder / "data/train/data.arrow", b"rows")
    inputs = {name: sha256(content) for name, content in data.items()}
    manifest = write_manifest(folder, dataset=DATASET, task=TASK, counts={"train": {"rows": 1}}, inputs=inputs)
    made(folder, {"definition": "e" * 64, **inputs, "source": "d" * 64}, manifest, source="archive")


def write_stage(results: Path, stage: str) -> None:
    """Let the fine-tuning of a written chain start from one on another dataset, of which nothing is scored."""
    shutil.copytree(results / "tasks" / DATASET, results / "tasks" / stage)
    model, task = model_digest(results / "pretraining" / MODEL / "model"), dataset_digest(results / "tasks" / stage)
    folder = results / "finetuning" / MODEL / stage
    for file in ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        write(folder / "model" / file, f"{file} of {stage}")
    write_manifest(folder / "model", kind="finetuned")
    weights = model_digest(folder / "model")
    _write_runs(folder, {"model": model, "dataset": task}, seeds=(1,), settings={"keep_weights": True}, weights=weights)
    inputs = {"model": weights, "dataset": dataset_digest(results / "tasks" / DATASET)}
    _write_runs(folder.with_name(DATASET), inputs, seeds=(1, 2), settings={"starts_from": stage})


def _write_finetuning(results: Path) -> None:
    folder = results / "finetuning" / MODEL / DATASET
    model, task = model_digest(results / "pretraining" / MODEL / "model"), dataset_digest(results / "tasks" / DATASET)
    outputs = _write_runs(folder, {"model": model, "dataset": task}, seeds=(1, 2), settings={})
    rows = [("task", "dataset", "model", "run", "protocol", "metric", "value")]
    rows += [(TASK, DATASET, MODEL, run, "reference", "f1", str(value)) for run, value in SCORES.items()]
    table = write(folder.parent / "scores.tsv", "".join("\t".join(row) + "\n" for row in rows))
    write(results / "reporting/scores.tsv", table.read_text())
    scored = {f"{DATASET}/predictions.parquet": outputs["predictions.parquet"], f"{DATASET}/dataset": task}
    write_provenance(folder.parent, scored, 1.0, outputs={"scores.tsv": sha256_of_file(table)})


def _write_runs(
    folder: Path, inputs: dict[str, str], *, seeds: tuple[int, ...], settings: dict[str, Any], **training: Any
) -> dict[str, str]:
    """Write what a fine-tuning leaves, and return the digests of its outputs.

    Args:
        settings: further keys of run.yaml.
        training: further keys of training.json.
    """
    runs = [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in seeds]
    settings |= {"model": MODEL, "dataset": folder.name, "task": TASK, "labels": ["O", "B"], "positive_labels": []}
    settings |= {"runs": runs, "hyperparameters": {"learning_rate": 1e-4, "epochs": 2}}
    write(folder / "run.yaml", yaml.safe_dump(settings))
    planned = plan_runs(settings, inputs, Path())
    done = [
        {**run, "fingerprint": plan.fingerprint, "steps": 8, "seconds": 4.0, "loss_last_epoch": 0.5}
        | {"train": {}, "validation": None, "test": {}}
        for run, plan in zip(runs, planned, strict=True)
    ]
    training |= {"fingerprint": "f" * 64, "steps": 16, "seconds": 8.0, "grid": [], "runs": done}
    write(folder / "training.json", training)
    write(folder / "metrics.jsonl", "")
    write(folder / "predictions.parquet", b"predictions")
    records = {
        run["run"]: gather_provenance({}, run["seconds"], fingerprint=run["fingerprint"], tries=1) for run in done
    }
    outputs = {"predictions.parquet": sha256(b"predictions")}
    write_provenance(folder, inputs, 8.0, fingerprint="f" * 64, outputs=outputs, runs=records, gpu_hours=0.25)
    return outputs


def _write_tables(results: Path) -> None:
    columns = ["table", "dataset", "model", "protocol", "metric", "unit", "mean", "std", "runs", "reason"]
    cells = {
        "ner": [columns, ["ner", DATASET, MODEL, "reference", "f1", "percent", "62.5", "17.67766952966369", "2", ""]],
        "sizes": [["model", "encoder", "embeddings", "weights_bytes"], [MODEL, "1000", "300", "4000"]],
        "efficiency": [
            ["model", "form", "dataset", "protocol", "quantity", "unit", "median", "hardware"],
            [MODEL, "", "", "", "latency", "ms", "1.5", "a CPU"],
            [MODEL, "torch fp32", DATASET, "", "file size", "bytes", "4000000", ""],
            [MODEL, "ONNX int8", DATASET, "", "file size", "bytes", "1250000", ""],
            [MODEL, "ONNX int8", DATASET, "", "latency", "ms", "0.75", "a CPU"],
            [MODEL, "ONNX int8", DATASET, "reference", "f1", "%", "61.25", ""],
        ],
    }
    for name, rows in cells.items():
        path = write(results / "tables" / f"{name}.csv", "")
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
