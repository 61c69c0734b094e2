"""The program pretrain_model.py on tiny models: its command line, called here or started as processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pretrain_model
import torch
import yaml

from compactbio.pretraining import layout
from compactbio.training.deadlines import STOPPING
from compactbio.training.progress import read_metrics
from helpers import pretraining as tiny

SCRIPTS = Path(pretrain_model.__file__).parent


def write_world(folder):
    """Write students, teachers and tokens; return the folder."""
    tiny.write_store(folder / "tokens" / "0001", count=30, seed=1)
    tiny.write_store(folder / "tokens" / "0002", count=20, seed=2)
    for name, dropout in (("", 0.1), ("-plain", 0.0)):
        tiny.write_checkpoint(folder / f"teacher{name}", tiny.bert(layers=4, dropout=dropout, seed=1))
        tiny.write_checkpoint(folder / f"student{name}", tiny.bert(layers=2, dropout=dropout, seed=2))
        tiny.write_checkpoint(folder / f"narrow{name}", tiny.bert(layers=2, hidden=16, dropout=dropout, seed=3))
    return folder


def arguments(world, output, objective=tiny.DISTIL, *, student="student", teacher="teacher", more=(), **changes):
    """The command line of a run whose run.yaml is written here."""
    output.mkdir(parents=True, exist_ok=True)
    run = tiny.run_settings(objective, **changes)
    (output / "run.yaml").write_text(yaml.safe_dump(run))
    line = ["--run", output / "run.yaml", "--student", world / student]
    if run["teacher"] is not None:
        line += ["--teacher", world / teacher]
    line += ["--tokens", world / "tokens" / "0001", world / "tokens" / "0002" / "manifest.json"]
    line += ["--checkpoints", output / "checkpoints", "--output", output / "training.json"]
    line += ["--provenance", output / "provenance.json"]
    line += ["--micro-batch-tokens", "72", "--log-every-steps", "1"]
    return [str(part) for part in (*line, *more)]


def call(line, monkeypatch):
    """Run main() here; return its exit code."""
    torch.set_num_threads(1)
    monkeypatch.setattr(sys, "argv", ["pretrain_model.py", *line])
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    try:
        pretrain_model.main()
    except SystemExit as end:
        return end.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def run_folder(output):
    [folder] = [path for path in (output / "checkpoints").iterdir() if path.is_dir()]
    return folder


def losses(output):
    return [line["loss"] for line in read_metrics(run_folder(output) / "metrics.jsonl")]


def environment():
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""}


def launched(line, output, processes):
    """Run through launch.py; return the finished process."""
    state = output / "checkpoints" / "state.json"
    command = [sys.executable, SCRIPTS / "launch.py", "--processes", str(processes), "--run-state", state, "--"]
    return subprocess.run(
        [*command, SCRIPTS / "pretrain_model.py", *line],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def one_shape():
    """Have micro-batches of one shape, as on a GPU, with plain attention in place of its kernels."""
    layout.packed_layout = lambda *arguments, **options: "unpacked"
    layout.PACKED_TOKENS_ON_CPU = 128


def start_ranks(line, count, prepare=None):
    """Start the processes of a run without a launcher, forked from one that has torch: seconds less a start.

    `prepare` is called in each before it begins.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "transformers", "accelerate"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ranks = [context.Process(target=_run_rank, args=(line, rank, count, port, prepare)) for rank in range(count)]
    for rank in ranks:
        rank.start()
    return ranks


def _run_rank(line, rank, count, port, prepare):
    if prepare is not None:
        prepare()
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    sys.argv = ["pretrain_model.py", *line]
    pretrain_model.main()
