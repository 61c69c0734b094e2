"""The trees of results and downloads: each folder and file that one part of the project leaves for another.

A room is a folder; what it holds are its attributes. Rooms over text give text, with Snakemake's wildcards where a name
is "{model}"; rooms over a `Path` give paths, with a pattern for `find` where a name is "*":

    Results("results").finetuning("{model}", "{dataset}").run   "results/finetuning/{model}/{dataset}/run.yaml"
    Results(Path("results")).pretraining("TinyBioBERT").model.manifest
    Finetuning(folder).run                                      where only that room's folder is known
    Finetuning.run.name                                         "run.yaml"

No other file writes a name that stands here. Names inside an artefact whose whole folder is read and written by one
package (weights and tokenizer of a model, states of a checkpoint, rows of a prepared dataset) are constants of the
module that writes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from compactbio.files import MANIFEST
from compactbio.provenance import PROVENANCE
from compactbio.temporaries import is_temporary

P = TypeVar("P", str, Path)
R = TypeVar("R")

CORPUS, STUDENTS, PRETRAINING, TASKS, FINETUNING = "corpus", "students", "pretraining", "tasks", "finetuning"
REPORTING, TABLES, FIGURES = "reporting", "tables", "figures"
TABLES_SO_FAR = "tables_so_far"  # made beside a running workflow, apart from those that the workflow makes
CHECKPOINTS, LOGS, BENCHMARKS = "checkpoints", "logs", "benchmarks"
MODEL = "model"  # what a training leaves, beside its records
INT8_FILE = "model.int8.onnx"
SLURM_LOGS = "results/logs/slurm"  # slurm-logdir of profiles/slurm/config.yaml, the same for all configurations


class Entry:
    """A file or folder of a fixed name: of a room its path, of the room's class this object with its `name`."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, room: None, owner: type) -> Entry: ...

    @overload
    def __get__(self, room: Room[P], owner: type) -> P: ...

    def __get__(self, room: Room[P] | None, owner: type) -> P | Entry:
        """Return the path in a room."""
        return self if room is None else room.at(self.name)


class Room(Generic[P]):
    """A folder, as text or as a path; its contents are of the same type."""

    def __init__(self, folder: P) -> None:
        self.folder: P = folder

    def at(self, *names: str) -> P:
        """Return the path of something in the folder."""
        return type(self.folder)("/".join([os.fspath(self.folder), *names]))


class Inside(Generic[R]):
    """A room of a fixed name in another: of a room that room, over the same type of folder."""

    def __init__(self, kind: Callable[[Any], R], name: str) -> None:
        self.kind, self.name = kind, name

    def __get__(self, room: Room[Any], owner: type) -> R:
        """Return the room in a room."""
        return self.kind(room.at(self.name))


class Artefact(Room[P]):
    """A folder with a list of its files and their digests, as `files.write_manifest` leaves it."""

    manifest = Entry(MANIFEST)
    provenance = Entry(PROVENANCE)


class TokenStoreFolder(Artefact[P]):
    """The token ids of one shard of texts."""

    ids = Entry("ids.npy")
    offsets = Entry("offsets.npy")


class Corpus(Room[P]):
    """Texts, tokens and counts of the corpus, by shard."""

    summary_csv = Entry("summary.csv")
    summary_md = Entry("summary.md")

    def baseline(self, shard: str) -> P:
        """Return the list of a shard's downloaded files."""
        return self.at("baseline", f"{shard}.json")

    def text(self, shard: str) -> P:
        """Return a shard's texts."""
        return self.at("text", f"{shard}.parquet")

    def counts(self, shard: str) -> P:
        """Return what was read, kept and dropped for a shard's texts."""
        return self.at("text", f"{shard}.counts.json")

    def token_store(self, tokenizer: str, shard: str) -> TokenStoreFolder[P]:
        """Return the tokens of a shard."""
        return TokenStoreFolder(self.at("tokens", tokenizer, shard))


class Students(Room[P]):
    """Models that are given, and models before their first step."""

    def fetched(self, name: str) -> Artefact[P]:
        """Return a checkpoint or model as it was published, in the common form."""
        return Artefact(self.at("fetched", name))

    def initialised(self, model: str) -> Artefact[P]:
        """Return a trained model as it is before its first step."""
        return Artefact(self.at("initialised", model))


class TrainingResults(Room[P]):
    """What a pre-training, or the fine-tuning of one model on one dataset, leaves."""

    run = Entry("run.yaml")
    training = Entry("training.json")
    metrics = Entry("metrics.jsonl")
    provenance = Entry(PROVENANCE)
    # always of a pre-training, of a fine-tuning where its weights are kept
    model: Inside[Artefact[P]] = Inside(Artefact, MODEL)


class Finetuning(TrainingResults[P]):
    """What the fine-tuning of one model on one dataset leaves."""

    predictions = Entry("predictions.parquet")

    def bioasq(self, run: str, protocol: str) -> P:
        """Return a run's answers in the form of BioASQ's official scorer."""
        return self.at(f"bioasq_{run}_{protocol}.json")


class ModelScores(Room[P]):
    """The scores of one model on all datasets."""

    scores = Entry("scores.tsv")
    classes = Entry("classes.tsv")
    units = Entry("units.parquet")
    provenance = Entry(PROVENANCE)


class Tasks(Room[P]):
    """Benchmark data."""

    def source(self, source: str) -> P:
        """Return the list of a source's downloaded files."""
        return self.at("sources", f"{source}.json")

    def dataset(self, name: str) -> Artefact[P]:
        """Return a prepared dataset."""
        return Artefact(self.at(name))


class Checkpoints(Room[P]):
    """Folders that hold one folder a fingerprint: where trainings continue from. No output of a rule."""

    pretrainings = Entry(PRETRAINING)
    finetunings = Entry(FINETUNING)

    def pretraining(self, model: str) -> P:
        """Return the folder of a model's pre-trainings."""
        return self.at(PRETRAINING, model)

    def finetuning(self, model: str, dataset: str) -> P:
        """Return the folder of the runs of a model on a dataset."""
        return self.at(FINETUNING, model, dataset)


class Deployment(Room[P]):
    """What the fine-tuned models of one dataset cost on a CPU in each form."""

    measurements = Entry("measurements.json")
    provenance = Entry(PROVENANCE)

    def int8(self, model: str) -> P:
        """Return a model's weights as int8."""
        return self.at(model, INT8_FILE)


class Reporting(Room[P]):
    """Scores of all models, measurements, checks and pages."""

    scores = Entry("scores.tsv")
    comparisons = Entry("comparisons.tsv")
    efficiency = Entry("efficiency.json")
    checks = Entry("checks.txt")
    configuration = Entry("configuration.yaml")
    deployment: Inside[Deployment[P]] = Inside(Deployment, "deployment")

    def page(self, name: str, form: str) -> P:
        """Return a page on the run."""
        return self.at("pages", f"{name}.{form}")

    def citations(self, form: str) -> P:
        """Return the list of sources."""
        return self.at(f"citations.{form}")

    def model_card(self, model: str) -> P:
        """Return a model's card."""
        return self.at("model_cards", f"{model}.md")


class Tables(Room[P]):
    """Tables in several forms, and the first page."""

    verdict = Entry("verdict.rst")  # its first sentences, for the report's first page

    def table(self, name: str, form: str) -> P:
        """Return a table."""
        return self.at(f"{name}.{form}")

    def index(self, form: str) -> P:
        """Return the first page of the results."""
        return self.table("index", form)


class Figures(Room[P]):
    """Figures in several forms."""

    def figure(self, name: str, form: str) -> P:
        """Return a figure."""
        return self.at(f"{name}.{form}")

    def losses(self, model: str, form: str) -> P:
        """Return the figure of a pre-training's losses, term by term."""
        return self.at(PRETRAINING, f"{model}.{form}")


class Results(Room[P]):
    """Everything that one configuration makes, under its `results_dir`."""

    research_object = Entry("ro-crate-metadata.json")
    workflow = Entry("workflow/Snakefile")
    measured_trainings = Entry("preflight/trainings.json")  # remove it to measure steps anew
    measured_in_half = Entry("preflight/trainings_in_half_precision.json")  # as config/fast.yaml would have them
    pretrainings = Entry(PRETRAINING)
    finetunings = Entry(FINETUNING)
    logs = Entry(LOGS)
    benchmarks = Entry(BENCHMARKS)
    corpus: Inside[Corpus[P]] = Inside(Corpus, CORPUS)
    students: Inside[Students[P]] = Inside(Students, STUDENTS)
    tasks: Inside[Tasks[P]] = Inside(Tasks, TASKS)
    checkpoints: Inside[Checkpoints[P]] = Inside(Checkpoints, CHECKPOINTS)
    reporting: Inside[Reporting[P]] = Inside(Reporting, REPORTING)
    tables: Inside[Tables[P]] = Inside(Tables, TABLES)
    tables_so_far: Inside[Tables[P]] = Inside(Tables, TABLES_SO_FAR)
    figures: Inside[Figures[P]] = Inside(Figures, FIGURES)

    def pretraining(self, model: str) -> TrainingResults[P]:
        """Return the pre-training of a model."""
        return TrainingResults(self.at(PRETRAINING, model))

    def finetuning(self, model: str, dataset: str) -> Finetuning[P]:
        """Return the fine-tuning of a model on a dataset."""
        return Finetuning(self.at(FINETUNING, model, dataset))

    def model_scores(self, model: str) -> ModelScores[P]:
        """Return the scores of a model, beside its fine-tunings."""
        return ModelScores(self.at(FINETUNING, model))

    def log(self, rule: str, *names: str) -> P:
        """Return the log of a rule's job by its wildcards; "all" of a rule with one job."""
        return self.at(LOGS, rule, *names[:-1], f"{names[-1] if names else 'all'}.log")

    def rank_logs(self, rule: str, model: str) -> P:
        """Return the folder of what each process of a training reports."""
        return self.at(LOGS, rule, f"{model}.ranks")

    def benchmark(self, rule: str, *names: str) -> P:
        """Return Snakemake's measurements of a rule's job by its wildcards; "all" of a rule with one job."""
        return self.at(BENCHMARKS, rule, *names[:-1], f"{names[-1] if names else 'all'}.tsv")


class Downloads(Room[P]):
    """The cache of verified downloads, which configurations share, under `downloads_dir`."""

    hub = Entry("hub")
    revisions = Entry("revisions.lock.json")
    tasks = Entry("tasks")
    pubmed = Entry("pubmed")


def find(results: Results[Path], pattern: Path) -> list[Path]:
    """Return the files and folders of a results folder that fit a path of its with "*" for names, sorted."""
    found = results.folder.glob(str(pattern.relative_to(results.folder)))
    return sorted(path for path in found if not is_temporary(path))
