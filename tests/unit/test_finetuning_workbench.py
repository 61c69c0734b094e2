"""What runs of one process share, and what none of them finds of another."""

from __future__ import annotations

import weakref

import torch
from helpers.finetuning import re_rows, run_settings, write_dataset, write_model

from compactbio.finetuning.runs.planning import plan_runs
from compactbio.finetuning.runs.workbench import Job, Workbench
from compactbio.training import devices, processes

torch.set_num_threads(1)


def a_job(folder):
    rows = {"train": re_rows(16, 1), "test": re_rows(4, 2)}
    runs = [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in (1, 2)]
    settings = run_settings("re", ["no", "yes"], runs=runs, epochs=1)
    model, task = write_model(folder / "model"), write_dataset(folder / "task", "re", rows, ["no", "yes"])
    return Job(settings, model, task, None, None), plan_runs(settings, {}, folder / "runs")


def test_every_run_begins_with_the_scale_that_the_first_begins_with(tmp_path, monkeypatch):
    """Of loss scaling in fp16, here on a CPU, with a scale that doubles at each step."""
    start = processes.start_accelerator

    def scaling(*arguments, **options):
        accelerator = start(*arguments, **options)
        accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=1)
        return accelerator

    monkeypatch.setattr(processes, "start_accelerator", scaling)
    job, planned = a_job(tmp_path)
    bench = Workbench(job, None)
    scales: list[list[float]] = []
    for run in planned:
        scales.append([])
        assert bench.do(run, gained=False, at_step=lambda _: scales[-1].append(bench.accelerator.scaler.get_scale()))
    assert scales == [[8.0, 16.0], [8.0, 16.0]]


def test_memory_goes_back_behind_each_run_once_its_model_is_gone(tmp_path, monkeypatch):
    models, given = [], []

    def give_back(device):
        devices.give_back_memory(device)
        given.append((device.type, [model() for model in models]))

    job, planned = a_job(tmp_path)
    bench = Workbench(job, None)
    make = bench.make

    def watched(*arguments):
        one = make(*arguments)
        models.append(weakref.ref(one.step))
        return one

    monkeypatch.setattr(bench, "make", watched)
    monkeypatch.setattr(bench, "give_back", give_back)
    for run in planned:
        assert bench.do(run, gained=False)
    assert given == [("cpu", [None]), ("cpu", [None, None])]
