"""The bytes and files that the stages of a workflow will leave, estimated from its configuration, rather too many."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compactbio.settings.results import Results
from compactbio.settings.runs import finetuning_run
from compactbio.settings.selection import finetuned_datasets, kept_weights
from compactbio.students.parameters import estimated_parameters

# per file of the PubMed baseline, which holds 30,000 citations: downloaded, its texts, its tokens for one tokenizer
DOWNLOAD_BYTES, TEXT_BYTES, TOKEN_BYTES = 30e6, 15e6, 10e6
DOCUMENT_GROWTH = 2.0  # texts and tokens of documents of one's own, for each byte of theirs
WEIGHT_BYTES, STATE_BYTES = 4, 12  # of a parameter: in a model; in a checkpoint, with the optimizer's two moments
SNAPSHOT_FILES, CACHE_FILES = 8, 25  # of a checkpoint in the common form; in the hub's cache, links and locks included
PRETRAINING_STATES, PRETRAINING_FILES = 3, 35  # two are kept while one is written
FINETUNING_STATES, FINETUNING_FILES, AT_ONCE = 2, 15, 32  # of a model on a dataset, of which so many may be in progress
RUN_FILES = 7  # of one of its runs, of which only the results are kept
WEIGHT_COPIES = 2  # of kept weights: beside the checkpoints, and published
TASK_BYTES, TASK_FILES = 50e6, 20
JOB_BYTES, JOB_FILES = 1e5, 6  # logs, benchmark, and what Snakemake notes of outputs


@dataclass(frozen=True)
class Need:
    """What a stage will leave, and the folders that it leaves it in."""

    stage: str
    bytes: float
    files: int
    folders: tuple[Path, ...]


def stages(config: dict[str, Any], trained: list[str]) -> list[Need]:
    """Return what each stage leaves when all is done; `trained` are the models that the workflow trains."""
    results, downloads = Results(Path(config["results_dir"])), Path(config["downloads_dir"])
    models, datasets = config["run"]["models"], finetuned_datasets(config)
    given = [name for name in models if config["models"][name]["source"] != "train"]
    fetched = given + (list(config["checkpoints"]) if trained else [])
    weights = sum(WEIGHT_BYTES * estimated_parameters(config, name) for name in fetched)
    files, shards, texts, tokens = _corpus(config, trained)
    needs = [
        Need("downloads", weights + DOWNLOAD_BYTES * files, CACHE_FILES * len(fetched) + 2 * files, (downloads,)),
        Need("tasks", TASK_BYTES * len(datasets), TASK_FILES * len(datasets), (results.tasks.folder,)),
        _finetuning(config, results),
    ]
    students = weights + sum(WEIGHT_BYTES * estimated_parameters(config, name) for name in trained)
    student_files = SNAPSHOT_FILES * (len(fetched) + len(trained))
    needs.append(Need("students", students, student_files, (results.students.folder,)))
    tokenizers = len({config["models"][name]["tokenizer"] for name in trained})
    if trained:
        needs.append(Need("corpus", texts + tokens, (3 + 4 * tokenizers) * shards, (results.corpus.folder,)))
        per_parameter = PRETRAINING_STATES * STATE_BYTES + WEIGHT_BYTES
        size = sum(per_parameter * estimated_parameters(config, name) for name in trained)
        folders = (results.pretrainings, results.checkpoints.pretrainings)
        needs.append(Need("pretraining", size, PRETRAINING_FILES * len(trained), folders))
    jobs = shards * (2 + tokenizers) + 5 * len(trained) + 3 * len(models) * len(datasets) + 2 * len(fetched) + 20
    notes = (results.logs, results.benchmarks, Path(".snakemake"))
    return [*needs, Need("logs", JOB_BYTES * jobs, JOB_FILES * jobs, notes)]


def still_to_come(need: Need) -> Need:
    """Return what is left of a need after what is in its folders already."""
    sizes = []
    for path in (path for folder in need.folders for path in folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):  # a workflow in progress removes files
            sizes.append(path.stat().st_size)
    return replace(need, bytes=max(0.0, need.bytes - sum(sizes)), files=max(0, need.files - len(sizes)))


def by_file_system(needs: Iterable[Need]) -> dict[Path, list[Need]]:
    """Return the needs by a folder, which exists, on the file system that they will be on."""
    places: dict[int, Path] = {}
    grouped: dict[Path, list[Need]] = {}
    for need in needs:
        folder = next(path for path in (need.folders[0], *need.folders[0].absolute().parents) if path.is_dir())
        grouped.setdefault(places.setdefault(folder.stat().st_dev, folder), []).append(need)
    return grouped


def _corpus(config: dict[str, Any], trained: list[str]) -> tuple[int, int, float, float]:
    """Return the files to fetch, the shards, and the bytes of texts and tokens; nothing where no model is trained."""
    corpus = config["corpus"]
    if not trained:
        return 0, 0, 0.0, 0.0
    if corpus["source"] != "baseline":
        found = sum(path.stat().st_size for path in map(Path, corpus["documents"]) if path.is_file())
        return 0, len(corpus["documents"]), DOCUMENT_GROWTH * found, 0.0
    baseline = corpus["baseline"]
    files = len(baseline["numbers"] or []) or baseline["files"]
    to_fetch = 0 if baseline["base_url"].startswith("file:") else files
    tokenizers = len({config["models"][name]["tokenizer"] for name in trained})
    return to_fetch, -(-files // corpus["files_per_job"]), TEXT_BYTES * files, TOKEN_BYTES * files * tokenizers


def _finetuning(config: dict[str, Any], results: Results[Path]) -> Need:
    """Return what the runs of all models on all datasets leave, and hold while they are in progress."""
    models, datasets = config["run"]["models"], finetuned_datasets(config)
    runs = sum(len(finetuning_run(config, name, dataset)["runs"]) for name in models for dataset in datasets)
    kept = WEIGHT_COPIES * len(kept_weights(config))
    weights = kept * sum(WEIGHT_BYTES * estimated_parameters(config, name) for name in models)
    states = sorted(
        (STATE_BYTES * estimated_parameters(config, name) for name in models for _ in datasets), reverse=True
    )
    return Need(
        "finetuning",
        FINETUNING_STATES * sum(states[:AT_ONCE]) + weights,
        FINETUNING_FILES * len(states) + RUN_FILES * runs + SNAPSHOT_FILES * kept * len(models),
        (results.finetunings, results.checkpoints.finetunings),
    )
