"""Every kind of writer on a few rows: each writes all that it writes below <folder>/out, the same bytes every time."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import yaml

from compactbio.corpus.parsing import parse_baseline
from compactbio.files import write_json
from compactbio.pretraining.distillation import Distillation
from compactbio.scoring.units import write_units
from compactbio.students.checkpoints import import_checkpoint
from compactbio.terms.objective import read_objective
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.optimizer_settings import OptimizerSettings
from compactbio.training.optimizers import build_optimizer
from helpers import pretraining as tiny
from helpers.corpus import awkward_records, write_baseline
from helpers.students import DEFINITION, definition, random_model, write_published
from helpers.tasks import NER, write, write_ner, write_sources, write_tar
from helpers.units import run_units

OUT = "out"
Write = Callable[[], None]


def call(program: str, *arguments: object) -> Write:
    """Return a call of a program's main function in this process."""

    def write() -> None:
        before, sys.argv = sys.argv, [f"{program}.py", *map(str, arguments)]
        try:
            importlib.import_module(program).main()
        finally:
            sys.argv = before

    return write


def prepare_task(folder: Path) -> Write:
    data = write_ner(folder / "data")
    given = ("--dataset", "mine", "--definition", json.dumps(NER), "--data", data)
    return call("prepare_task", *given, "--output", folder / OUT / "mine")


def fetch_task_data(folder: Path) -> Write:
    archive = write_tar(folder / "data.tar.gz", {"d/a.tsv": "A" * 5000})
    table = write_sources(folder / "t.tsv", {"name": "s", "version": "1"}, {"name": "s", "member": "d/a.tsv"})
    given = ("--source", "s", "--table", table, "--url", f"file://{archive}")
    return call("fetch_task_data", *given, "--cache", folder / OUT / "cache", "--output", folder / OUT / "s.json")


def parse(folder: Path) -> Write:
    write_baseline(folder / "pubmed26n0001.xml.gz", awkward_records(1, 40))

    def write() -> None:
        files, shard = [folder / "pubmed26n0001.xml.gz"], folder / OUT / "text.parquet"
        write_json(folder / OUT / "counts.json", parse_baseline(files, shard, mode="full", as_of=None)["dropped"])

    return write


def _model(folder: Path, name: str) -> Path:
    """A model with its tokenizer, as fetch_checkpoint leaves it."""
    source = write_published(folder / f"{name} as published", random_model("bert"))
    import_checkpoint(source, definition("bert"), DEFINITION, {}, folder / name)
    return folder / name


def fetch_checkpoint(folder: Path) -> Write:
    source = write_published(folder / "published", random_model("bert"))
    given = (
        "--name",
        "mine",
        "--definition",
        json.dumps(definition("bert", source)),
        "--tokenizer-definition",
        json.dumps(DEFINITION),
    )
    where = ("--cache", folder / "cache", "--lock", folder / "lock.json", "--output", folder / OUT / "mine")
    return call("fetch_checkpoint", *given, *where)


def tokenize_shard(folder: Path) -> Write:
    parse(folder)()
    texts = (folder / OUT / "text.parquet").rename(folder / "text.parquet")
    (folder / OUT / "counts.json").unlink()
    given = ("--tokenizer", _model(folder, "teacher"), "--max-length", 24, texts)
    return call("tokenize_shard", *given, "--output", folder / OUT / "store")


def initialise_student(folder: Path) -> Write:
    made = {"model": "Mine", "teacher": "big", "student": {"teacher_layers": [0, 2]}}
    run = tiny.run_settings([*tiny.MLM, {"term": "logit_kl", "weight": 1.0}], **made)
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    given = ("--run", folder / "run.yaml", "--teacher", _model(folder, "teacher"))
    return call("initialise_student", *given, "--output", folder / OUT / "student")


def _trained() -> tuple[Distillation, torch.optim.Optimizer]:
    run = tiny.run_settings(tiny.MLM)
    facts = {"max_length": run["max_length"], "seed": run["seed"]}
    terms = read_objective(tiny.MLM, run["quirks"])
    model = Distillation(random_model("bert", "AutoModelForMaskedLM"), None, terms, run["quirks"], **facts)
    return model, build_optimizer(model, OptimizerSettings(0.0))


def export_model(folder: Path) -> Write:
    student = _model(folder, "student")
    saved = CheckpointFolder(folder / "checkpoints").save(6, *_trained())
    write(folder / "checkpoints" / "metrics.jsonl", json.dumps({"step": 6, "loss": 4.0, "terms": {"mlm": 4.0}}) + "\n")
    training = {"model": "Small", "fingerprint": "f" * 64, "step": 6, "total_steps": 6, "checkpoint": str(saved)}
    training |= {"metrics": str(saved.parent / "metrics.jsonl"), "seconds": 1.0, "loss_first": 4.9, "loss_last": 4.4}
    write_json(folder / "training.json", training)
    (folder / "run.yaml").write_text(yaml.safe_dump(tiny.run_settings(tiny.MLM, model="Small")))
    given = ("--run", folder / "run.yaml", "--training", folder / "training.json", "--student", student)
    written = ("--output", folder / OUT / "model", "--metrics", folder / OUT / "metrics.jsonl")
    return call("export_model", *given, *written)


def save_checkpoint(folder: Path) -> Write:
    module = torch.nn.Linear(64, 64)
    with torch.no_grad():
        module.weight.fill_(0.5)

    def write() -> None:
        CheckpointFolder(folder / OUT).save(6, module, torch.optim.SGD(module.parameters()))

    return write


def store_units(folder: Path) -> Write:
    return lambda: write_units(folder / OUT / "units.parquet", run_units("NCBI-disease", "Small", 2, 0.5))


PROGRAMS = {
    make.__name__: make for make in (prepare_task, tokenize_shard, initialise_student, export_model, fetch_task_data)
}
WRITERS = PROGRAMS | {make.__name__: make for make in (fetch_checkpoint, parse, save_checkpoint, store_units)}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files below a folder by their path, without those that hold times; hidden ones are left-overs."""
    out = folder / OUT
    return {
        str(path.relative_to(out)): b"" if path.name == "provenance.json" else path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def in_child(work: Callable[[], None]) -> int:
    """Start `work` in a process of its own, a copy of this one, and return its number; it exits with 0 or 1."""
    child = os.fork()
    if child:
        return child
    code = 1
    with contextlib.suppress(BaseException):
        torch.set_num_threads(1)  # the threads of the parent's pools are not in a copy
        work()
        code = 0
    os._exit(code)
