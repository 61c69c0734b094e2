"""Room for a workflow's files: what its stages will leave, and what file systems and a user's quotas have left."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from compactbio.corpus.tokens import id_type
from compactbio.errors import UserError
from compactbio.settings.results import Results
from compactbio.settings.runs import finetuning_run
from compactbio.settings.selection import (
    baseline_numbers,
    corpus_shards,
    corpus_tokenizers,
    finetuned_datasets,
    kept_weights,
)
from compactbio.slurm import output_of
from compactbio.students.parameters import estimated_parameters, estimated_vocabulary

# per file of the PubMed baseline, which holds 30,000 citations: downloaded, its texts
DOWNLOAD_BYTES, TEXT_BYTES = 30e6, 15e6
TOKENS = 5e6  # of such a file, for one tokenizer
DOCUMENT_GROWTH = 2.0  # texts and tokens of documents of one's own, for each byte of theirs
WEIGHT_BYTES, STATE_BYTES = 4, 12  # of a parameter: in a model; in a checkpoint, with the optimizer's two moments
SNAPSHOT_FILES, CACHE_FILES = 8, 25  # of a checkpoint in the common form; in the hub's cache, links and locks included
PRETRAINING_STATES, PRETRAINING_FILES = 3, 35  # two are kept while one is written
FINETUNING_STATES, FINETUNING_FILES, AT_ONCE = 2, 15, 32  # of a model on a dataset, of which so many may be in progress
RUN_FILES = 7  # of one of its runs, of which only the results are kept
WEIGHT_COPIES = 2  # of kept weights: beside the checkpoints, and published
TASK_BYTES, TASK_FILES = 50e6, 20
JOB_BYTES, JOB_FILES = 1e5, 6  # logs, benchmark, and what Snakemake notes of outputs

SECONDS = 20.0  # a file server that is down does not answer at all
HOLDER = re.compile(r"Disk quotas for (user|usr|group|grp) (\S+) \(")
# file system, then used, soft limit, hard limit and grace of space (kibibytes) and of files; a long name has a line of
# its own, `*` marks what is over its soft limit, brackets what Lustre is not sure of
_AMOUNTS = r"\s+\[?(\d+)\]?\*?\s+\[?(\d+)\]?\s+\[?(\d+)\]?\s+(?:\S+)"
ROW = re.compile(rf"(\S+){_AMOUNTS}{_AMOUNTS}")


@dataclass(frozen=True)
class Need:
    """What a stage will leave, and the folders that it leaves it in."""

    stage: str
    bytes: float
    files: int
    folders: tuple[Path, ...]


def stages(config: dict[str, Any], trained: list[str]) -> list[Need]:
    """Return what each stage leaves when all is done, rather too much; `trained` are the models that are trained."""
    results, downloads = Results(Path(config["results_dir"])), Path(config["downloads_dir"])
    models, datasets, names = config["run"]["models"], finetuned_datasets(config), corpus_tokenizers(config)
    tokenizers = len(names)
    given = [name for name in models if config["models"][name]["source"] != "train"]
    fetched = given + (list(config["checkpoints"]) if trained else [])
    files, shards, texts, tokens = _corpus(config, names) if trained else (0, 0, 0.0, 0.0)

    def parameters(names: Iterable[str]) -> int:
        return sum(estimated_parameters(config, name) for name in names)

    weights = WEIGHT_BYTES * parameters(fetched)
    needs = [
        Need("downloads", weights + DOWNLOAD_BYTES * files, CACHE_FILES * len(fetched) + 2 * files, (downloads,)),
        Need("tasks", TASK_BYTES * len(datasets), TASK_FILES * len(datasets), (results.tasks.folder,)),
        _finetuning(config, results),
    ]
    students, student_files = weights + WEIGHT_BYTES * parameters(trained), SNAPSHOT_FILES * len([*fetched, *trained])
    needs.append(Need("students", students, student_files, (results.students.folder,)))
    if trained:
        needs.append(Need("corpus", texts + tokens, (3 + 4 * tokenizers) * shards, (results.corpus.folder,)))
        size = (PRETRAINING_STATES * STATE_BYTES + WEIGHT_BYTES) * parameters(trained)
        folders = (results.pretrainings, results.checkpoints.pretrainings)
        needs.append(Need("pretraining", size, PRETRAINING_FILES * len(trained), folders))
    jobs = shards * (2 + tokenizers) + 5 * len(trained) + 3 * len(models) * len(datasets) + 2 * len(fetched) + 20
    notes = (results.logs, results.benchmarks, Path(".snakemake"))
    return [*needs, Need("logs", JOB_BYTES * jobs, JOB_FILES * jobs, notes)]


def _corpus(config: dict[str, Any], tokenizers: list[str]) -> tuple[int, int, float, float]:
    """Return the files to fetch, the shards, and the bytes of texts and of tokens."""
    corpus, shards = config["corpus"], len(corpus_shards(config))
    if corpus["source"] != "baseline":
        found = sum(path.stat().st_size for path in map(Path, corpus["documents"]) if path.is_file())
        return 0, shards, DOCUMENT_GROWTH * found, 0.0
    files = len(baseline_numbers(config))
    id_bytes = sum(id_type(estimated_vocabulary(config, name)).itemsize for name in tokenizers)
    to_fetch = 0 if corpus["baseline"]["base_url"].startswith("file:") else files
    return to_fetch, shards, TEXT_BYTES * files, TOKENS * files * id_bytes


def _finetuning(config: dict[str, Any], results: Results[Path]) -> Need:
    """Return what the runs of all models on all datasets leave, and hold while they are in progress."""
    models, datasets = config["run"]["models"], finetuned_datasets(config)
    runs = sum(len(finetuning_run(config, name, dataset)["runs"]) for name in models for dataset in datasets)
    kept = WEIGHT_COPIES * len(kept_weights(config))
    sizes = [estimated_parameters(config, name) for name in models]
    states = sorted((STATE_BYTES * size for size in sizes for _ in datasets), reverse=True)
    return Need(
        "finetuning",
        FINETUNING_STATES * sum(states[:AT_ONCE]) + kept * WEIGHT_BYTES * sum(sizes),
        FINETUNING_FILES * len(states) + RUN_FILES * runs + SNAPSHOT_FILES * kept * len(models),
        (results.finetunings, results.checkpoints.finetunings),
    )


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


@dataclass(frozen=True)
class Room:
    """What a file system has left for this user; `files` is None where it does not count them."""

    bytes: float
    files: int | None


@dataclass(frozen=True)
class Quota:
    """What a quota leaves its holder (`user alice`, `group lab`); None where it sets no limit."""

    holder: str
    file_system: str
    bytes_left: float | None
    files_left: int | None


def room_in(folder: Path) -> Room:
    """Return what the file system of a folder has left."""
    facts = os.statvfs(folder)
    counted = facts.f_files > 0  # 0 on file systems that make inodes as they need them
    return Room(float(facts.f_bavail * facts.f_frsize), facts.f_favail if counted else None)


def ask_quotas(folder: Path) -> tuple[list[Quota], str]:
    """Return the quotas that hold in a folder for this user and the folder's group, and why none is known.

    Asked are the commands of Linux and NFS (`quota`) and of Lustre (`lfs`); other file systems have others.
    """
    asked, quotas = [], []
    try:
        if shutil.which("lfs"):
            asked.append("lfs")
            for option, holder in (("-u", getpass.getuser()), ("-g", _group_of(folder))):
                text = output_of("lfs", "quota", option, holder, str(folder), seconds=SECONDS, check=False)
                quotas += read_quotas(text)
        if shutil.which("quota") and not quotas:
            asked.append("quota")
            text = output_of(*("quota", "--no-wrap", "--raw-grace", "-u", "-g"), seconds=SECONDS, check=False)
            source = output_of("df", "--output=source", str(folder), seconds=SECONDS).splitlines()[-1].strip()
            quotas += [quota for quota in read_quotas(text) if quota.file_system == source]
    except UserError as error:
        return quotas, str(error)
    if not asked:
        return [], "neither `quota` nor `lfs` is here"
    return quotas, "" if quotas else f"none for this folder by {' and '.join(f'`{name}`' for name in asked)}"


def read_quotas(text: str) -> list[Quota]:
    """Return the quotas in what `quota --raw-grace` and `lfs quota` print, of users and groups."""
    quotas = []
    _, *parts = HOLDER.split(text)
    for kind, name, rows in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
        holder = f"{'user' if kind in ('user', 'usr') else 'group'} {name}"
        for file_system, *amounts in ROW.findall(rows):
            space_left, files_left = _left(*map(int, amounts[:3])), _left(*map(int, amounts[3:]))
            quotas.append(Quota(holder, file_system, None if space_left is None else 1024.0 * space_left, files_left))
    return quotas


def _left(used: int, soft: int, hard: int) -> int | None:
    """Return what is left below the lower limit (0 is none): above the soft one, writing stops within days."""
    limits = [limit for limit in (soft, hard) if limit > 0]
    return max(0, min(limits) - used) if limits else None


def _group_of(folder: Path) -> str:
    """Return the name of a folder's group, its number where it has none."""
    try:
        return folder.group()
    except KeyError:
        return str(folder.stat().st_gid)
