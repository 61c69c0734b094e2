"""A small results folder made by the programs themselves, and which program reads which of its files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from helpers import finetuning, students, tasks
from helpers import pretraining as tiny
from helpers.corpus import awkward_records, write_baseline
from helpers.damage import start

MODEL, DATASET = "Small", "Genes"
DOCUMENTS = [{"text": "a cell and a gene"}, {"text": "tnf and a cell"}, {"text": "naive cells"}]


class Program(NamedTuple):
    """A program's command line in the world, the files whose digests it must compare, and others that it reads."""

    line: Callable[[Path], list[Any]]
    guarded: tuple[str, ...]
    others: tuple[str, ...] = ()


def write_world(root: Path) -> Path:
    """Make a corpus, models, their training, a dataset, a fine-tuning, scores and tables; return the folder."""
    write_baseline(root / "pubmed26n0001.xml.gz", awkward_records(1, 12))
    (root / "documents.jsonl").write_text("".join(json.dumps(one) + "\n" for one in DOCUMENTS))
    students.write_published(root / "published", students.random_model("bert", "AutoModelForMaskedLM"))
    made = {"model": MODEL, "architecture": "bert", "tokenizer": "tiny", "teacher": "big"}
    run = tiny.run_settings(tiny.DISTIL, student={"teacher_layers": [0, 2]}, steps=2, warmup_steps=1, **made)
    (root / "results/pretraining" / MODEL).mkdir(parents=True)
    (root / "results/pretraining" / MODEL / "run.yaml").write_text(yaml.safe_dump(run))
    tasks.write_ner(root / "own")
    settings = finetuning.run_settings("ner", ["O", "B", "I"], model=MODEL, dataset=DATASET, epochs=1, max_length=24)
    (root / "results/finetuning" / MODEL / DATASET).mkdir(parents=True)
    (root / "results/finetuning" / MODEL / DATASET / "run.yaml").write_text(yaml.safe_dump(settings))
    _list_downloads(root)
    for name, program in PROGRAMS.items():
        ended = start(name, program.line(root))
        assert ended.code == 0, (name, ended)
    return root


def _list_downloads(root: Path) -> None:
    """Write the lists that download_baseline and fetch_task_data leave."""
    from compactbio.corpus.baseline_files import fetch_baseline_files
    from compactbio.files import write_json, write_manifest

    listed = fetch_baseline_files(root.as_uri(), 2026, [1], root / "downloads")
    write_json(root / "results/corpus/baseline/0001.json", listed)
    manifest = write_manifest(root / "own")
    source = {"source": "own", "version": "1", "url": "", "archive": {"path": str(root / "own"), "sha256": ""}}
    source |= {"folder": str(root / "own"), "digest": manifest["digest"], "files": manifest["files"]}
    write_json(root / "results/tasks/sources/own.json", source | {"licence": "", "citation": ""})


def _options(root: Path, **options: Any) -> list[Any]:
    """Return options; what ends in a slash or has a dot is a path under the root."""
    line: list[Any] = []
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        line += [f"--{name.replace('_', '-')}", *(root / one if isinstance(one, Path) else one for one in values)]
    return line


R = Path("results")
TEXT, COUNTS, STORE = R / "corpus/text/0001.parquet", R / "corpus/text/0001.counts.json", R / "corpus/tokens/tiny/0001"
TEACHER, STUDENT = R / "students/fetched/big", R / "students/initialised" / MODEL
TRAINED, TUNED = R / "pretraining" / MODEL, R / "finetuning" / MODEL / DATASET
TASK, CHECKPOINTS = R / "tasks" / DATASET, R / "checkpoints"
MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json", "manifest.json")
STORE_FILES = ("ids.npy", "offsets.npy", "manifest.json")
DATA_FILES = ("manifest.json", "data/dataset_dict.json", "data/train/data-00000-of-00001.arrow", "data/test/state.json")


def _in(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(str(folder / name) for name in names)


# Records without which a program takes its inputs as a user's own, and the files that then have to be read with care.
BARE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "tokenize_shard": (
        (str(COUNTS), str(TEACHER / "manifest.json")),
        (str(TEXT), *_in(TEACHER, ("tokenizer.json", "tokenizer_config.json"))),
    ),
    "finetune_model": (
        (str(TRAINED / "model/manifest.json"), str(TASK / "manifest.json")),
        (*_in(TRAINED / "model", (*MODEL_FILES[:3], "tokenizer_config.json")), *_in(TASK, DATA_FILES[1:])),
    ),
    "score_model": ((str(TUNED / "provenance.json"),), (str(TUNED / "predictions.parquet"),)),
    "compare_models": ((str(TUNED.parent / "provenance.json"),), (str(TUNED.parent / "units.parquet"),)),
    "collect_scores": ((str(TUNED.parent / "provenance.json"),), (str(TUNED.parent / "scores.tsv"),)),
    "measure_efficiency": ((str(TRAINED / "model/manifest.json"),), _in(TRAINED / "model", MODEL_FILES[:2])),
    "build_tables": (
        (str(TUNED / "provenance.json"), *_in(R / "reporting", ("comparisons.tsv.sha256", "efficiency.json.sha256"))),
        (
            *_in(TUNED, ("training.json", "metrics.jsonl")),
            *_in(R / "reporting", ("comparisons.tsv", "efficiency.json")),
        ),
    ),
}

# In the order in which the world is made.
PROGRAMS: dict[str, Program] = {
    "parse_baseline": Program(
        lambda root: _options(
            root, manifest=R / "corpus/baseline/0001.json", text="full", as_of="", output=TEXT, counts=COUNTS
        ),
        ("pubmed26n0001.xml.gz",),
        (str(R / "corpus/baseline/0001.json"),),
    ),
    "import_documents": Program(
        lambda root: [root / "documents.jsonl", *_options(root, output=Path("own.parquet"), counts=Path("own.json"))],
        (),
        ("documents.jsonl",),
    ),
    "fetch_checkpoint": Program(
        lambda root: _options(
            root,
            name="big",
            definition=json.dumps(students.definition("bert", root / "published")),
            tokenizer_definition=json.dumps(students.DEFINITION),
            cache=Path("downloads/hub"),
            lock=Path("downloads/revisions.lock.json"),
            output=TEACHER,
        ),
        (),
        _in(Path("published"), ("config.json", "pytorch_model.bin", "vocab.txt")),
    ),
    "tokenize_shard": Program(
        lambda root: [root / TEXT, *_options(root, tokenizer=TEACHER, max_length=24, output=STORE)],
        (str(TEXT), *_in(TEACHER, ("tokenizer.json", "tokenizer_config.json", "manifest.json"))),
        (str(COUNTS),),
    ),
    "summarise_corpus": Program(
        lambda root: _options(
            root,
            corpus=R / "corpus",
            shards=1,
            tokenizers="tiny",
            table=[R / "corpus/summary.csv", R / "corpus/summary.md"],
            lengths_figure=R / "corpus/lengths.svg",
            files_figure=R / "corpus/files.svg",
        ),
        _in(STORE, STORE_FILES),
        (str(COUNTS),),
    ),
    "initialise_student": Program(
        lambda root: _options(root, run=TRAINED / "run.yaml", teacher=TEACHER, output=STUDENT),
        _in(TEACHER, MODEL_FILES),
        (str(TRAINED / "run.yaml"),),
    ),
    "pretrain_model": Program(
        lambda root: _options(
            root,
            run=TRAINED / "run.yaml",
            student=STUDENT,
            teacher=TEACHER,
            tokens=STORE,
            checkpoints=CHECKPOINTS / "pretraining" / MODEL,
            output=TRAINED / "training.json",
            provenance=TRAINED / "provenance.json",
            micro_batch_tokens=72,
        ),
        (*_in(STORE, STORE_FILES), *_in(STUDENT, MODEL_FILES[1:]), *_in(TEACHER, MODEL_FILES[1:2])),
    ),
    "export_model": Program(
        lambda root: _options(
            root,
            run=TRAINED / "run.yaml",
            training=TRAINED / "training.json",
            student=STUDENT,
            output=TRAINED / "model",
            metrics=TRAINED / "metrics.jsonl",
        ),
        (*_in(STUDENT, MODEL_FILES), "results/checkpoints/pretraining/Small/*/step-*2/model.safetensors"),
        (str(TRAINED / "training.json"), "results/checkpoints/pretraining/Small/*/metrics.jsonl"),
    ),
    "prepare_task": Program(
        lambda root: _options(
            root,
            dataset=DATASET,
            definition=json.dumps(tasks.NER | {"source": "own"}),
            data=R / "tasks/sources/own.json",
            output=TASK,
        ),
        ("own/ner/train.tsv", "own/manifest.json"),
        (str(R / "tasks/sources/own.json"),),
    ),
    "finetune_model": Program(
        lambda root: _options(
            root,
            run=TUNED / "run.yaml",
            model=TRAINED / "model",
            task=TASK,
            checkpoints=CHECKPOINTS / "finetuning" / MODEL / DATASET,
            output_dir=TUNED,
        ),
        (*_in(TRAINED / "model", MODEL_FILES), *_in(TASK, DATA_FILES)),
    ),
    "score_model": Program(
        lambda root: _options(
            root,
            model=MODEL,
            results=TUNED,
            tasks=TASK,
            output=TUNED.parent / "scores.tsv",
            classes=TUNED.parent / "classes.tsv",
            units=TUNED.parent / "units.parquet",
        ),
        (str(TUNED / "predictions.parquet"), *_in(TASK, DATA_FILES)),
        (str(TUNED / "run.yaml"), str(TUNED / "provenance.json")),
    ),
    "collect_scores": Program(
        lambda root: [root / TUNED.parent / "scores.tsv", *_options(root, output=R / "reporting/scores.tsv")],
        (str(TUNED.parent / "scores.tsv"),),
        (str(TUNED.parent / "provenance.json"),),
    ),
    "compare_models": Program(
        lambda root: _options(
            root,
            units=TUNED.parent / "units.parquet",
            baseline=MODEL,
            resamples=10,
            seed=1,
            output=R / "reporting/comparisons.tsv",
        ),
        (str(TUNED.parent / "units.parquet"),),
    ),
    "measure_efficiency": Program(
        lambda root: [
            *("--models", f"{MODEL}={root / TRAINED / 'model'}", "--sequence-length", 8, "--batch-size", 1),
            *("--repetitions", 1, "--warmup", 1, "--threads", 1, "--flop-lengths", 8),
            *_options(root, output=R / "reporting/efficiency.json"),
        ],
        _in(TRAINED / "model", MODEL_FILES[:2]),
    ),
    "build_tables": Program(
        lambda root: _options(
            root,
            scores=R / "reporting/scores.tsv",
            classes=TUNED.parent / "classes.tsv",
            trainings=TUNED / "training.json",
            comparisons=R / "reporting/comparisons.tsv",
            efficiency=R / "reporting/efficiency.json",
            published=Path(__file__).parents[2] / "config/published_values.tsv",
            baseline=MODEL,
            output_dir=R / "tables",
        ),
        (
            *_in(TUNED, ("training.json", "metrics.jsonl")),
            str(TUNED.parent / "classes.tsv"),
            *_in(R / "reporting", ("scores.tsv", "comparisons.tsv", "efficiency.json")),
        ),
        (str(R / "reporting/scores.tsv.sha256"),),
    ),
    "verify_results": Program(
        lambda root: _options(root, results=R, downloads=Path("downloads")),
        (
            *_in(STORE, STORE_FILES),
            str(TEXT),
            str(TUNED / "predictions.parquet"),
            str(TUNED.parent / "units.parquet"),
            str(TASK / DATA_FILES[2]),
            str(TRAINED / "model/model.safetensors"),
        ),
        (str(COUNTS), str(R / "tasks/sources/own.json"), str(TUNED / "provenance.json")),
    ),
}


def find(root: Path, name: str) -> Path:
    """Return a file of the world by its path in it, of which parts may be patterns."""
    [path] = root.glob(name)
    return path
