"""The shared loop on a toy regression: accumulation, resume, NaN, deadline, signals, metrics."""

from __future__ import annotations

import time

import pytest
import torch
from helpers.training import Regression

from compactbio.errors import UserError
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.deadlines import StopSignal, deadline_after
from compactbio.training.interface import LoopSettings, MicroBatch
from compactbio.training.loop import run_training
from compactbio.training.optimizer_settings import GroupRule, OptimizerSettings
from compactbio.training.optimizers import build_optimizer
from compactbio.training.progress import MetricsLog, read_metrics
from compactbio.training.schedules import learning_rate_schedule

STEPS = 8


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def batches_of(size):
    def batches(step):
        generator = torch.Generator().manual_seed(step)
        x = torch.randn(12, 4, generator=generator)
        parts = zip(x.split(size), x.sum(1).split(size), strict=True)
        return [MicroBatch({"x": x, "y": y}, {"rows": float(len(x)), "tokens": 4.0 * len(x)}) for x, y in parts]

    return batches


def train(folder, *, module=None, size=12, batches=None, **changes):
    module = module or Regression()
    evaluate = changes.pop("evaluate", None)
    result = run_training(
        module=module,
        optimizer=build_optimizer(module, changes.pop("optimizer", OptimizerSettings(0.01))),
        learning_rate_at=learning_rate_schedule("linear", peak=0.1, warmup_steps=2, total_steps=STEPS),
        batches=batches or batches_of(size),
        settings=LoopSettings(**{"total_steps": STEPS, "log_every_steps": 1} | changes),
        checkpoints=CheckpointFolder(folder),
        metrics=MetricsLog(folder / "metrics.jsonl"),
        evaluate=evaluate,
        evaluate_at={3} if evaluate else frozenset(),
        seed=5,
    )
    return result, module, [line["loss"] for line in read_metrics(folder / "metrics.jsonl") if "loss" in line]


def test_a_run_finishes_and_learns(tmp_path):
    result, _, losses = train(tmp_path)
    assert (result.step, result.finished, result.reason) == (STEPS, True, "finished")
    state = CheckpointFolder(tmp_path).read_state()
    assert (state["step"], state["total_steps"], state["finished"]) == (STEPS, STEPS, True)
    assert losses[-1] < losses[0]
    line = read_metrics(tmp_path / "metrics.jsonl")[-1]
    assert line["terms"] == {"squares": pytest.approx(line["loss"])}
    assert line["tokens_per_second"] > 0
    assert line["eta_seconds"] == 0
    assert {"learning_rate", "gradient_norm", "peak_memory_mb", "seconds_per_step"} <= line.keys()


@pytest.mark.parametrize("size", [1, 5])
def test_accumulation_changes_nothing(tmp_path, size):
    _, whole, losses = train(tmp_path / "whole")
    _, parts, same = train(tmp_path / "parts", size=size)
    assert same == pytest.approx(losses, rel=1e-5)
    for ours, theirs in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        OptimizerSettings(0.01),
        OptimizerSettings(0.01, optimizer={"name": "transformers_adamw"}),
        OptimizerSettings(0.01, 0.1, optimizer={"name": "muon", "learning_rate": 0.02}),
        OptimizerSettings(0.01, groups=[GroupRule("bias", 0.5), GroupRule("0", 2.0, 0.1)]),
    ],
    ids=["adamw", "transformers_adamw", "muon", "groups"],
)
def test_a_run_cut_at_any_step_ends_in_the_same_bits(tmp_path, optimizer):
    _, whole, losses = train(tmp_path / "whole", module=Regression(dropout=0.3), optimizer=optimizer)

    class CutError(Exception):
        pass

    def cut_at(step_to_cut):
        def batches(step):
            if step == step_to_cut:
                raise CutError
            return batches_of(12)(step)

        return batches

    for cut in (3, 6):
        with pytest.raises(CutError):
            again = {"module": Regression(dropout=0.3), "optimizer": optimizer}
            train(tmp_path / "cut", batches=cut_at(cut), checkpoint_every_steps=2, **again)
    result, resumed, same = train(tmp_path / "cut", module=Regression(dropout=0.3), optimizer=optimizer)
    assert result.started_at == 4
    assert same == losses
    for ours, theirs in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_finished_run_started_again_takes_no_step(tmp_path):
    train(tmp_path)
    module = Regression()
    result, _, losses = train(tmp_path, module=module)
    assert (result.finished, result.started_at, module.calls, len(losses)) == (True, STEPS, 0, STEPS)


def test_not_a_number_stops_with_step_and_last_checkpoint(tmp_path):
    with pytest.raises(UserError, match=r"at step 6 \(seen at step 8\).*step-00000004.*peak_learning_rate"):
        train(tmp_path, module=Regression(poison_at=6), log_every_steps=100, checkpoint_every_steps=4)
    assert CheckpointFolder(tmp_path).latest_step() == 4


def test_a_deadline_in_the_past_leaves_at_once_and_the_next_try_goes_on(tmp_path):
    result, _, _ = train(tmp_path, deadline=time.monotonic())
    assert (result.step, result.finished, result.reason) == (0, False, "deadline")

    def slow(step):
        time.sleep(0.3)
        return batches_of(12)(step)

    result, _, _ = train(tmp_path, deadline=time.monotonic() + 1.5, batches=slow)
    assert 0 < result.step < STEPS
    assert result.reason == "deadline"
    assert CheckpointFolder(tmp_path).latest_step() == result.step
    assert CheckpointFolder(tmp_path).read_state()["finished"] is False
    again, _, losses = train(tmp_path)
    assert again.started_at == result.step
    assert again.finished
    assert len(losses) == STEPS


def test_a_signal_saves_and_leaves(tmp_path):
    stop = StopSignal()

    def batches(step):
        if step == 5:
            stop.reason = "SIGTERM"
        return batches_of(12)(step)

    result, _, _ = train(tmp_path, stop=stop, batches=batches)
    assert result.reason == "signal"
    assert result.step in (3, 4)
    assert CheckpointFolder(tmp_path).latest_step() == result.step


def test_checkpoints_by_minutes(tmp_path):
    def slow(step):
        time.sleep(0.1)
        return batches_of(12)(step)

    seen = []

    class Spy(CheckpointFolder):
        def save(self, step, *rest, **more):
            seen.append(step)
            return super().save(step, *rest, **more)

    module = Regression()
    run_training(
        module=module,
        optimizer=build_optimizer(module, OptimizerSettings(0.0)),
        learning_rate_at=lambda step: 0.01,
        batches=slow,
        settings=LoopSettings(total_steps=STEPS, checkpoint_every_minutes=0.25 / 60),
        checkpoints=Spy(tmp_path),
        metrics=MetricsLog(tmp_path / "metrics.jsonl"),
        seed=1,
    )
    assert 1 < len(seen) < STEPS
    assert seen[-1] == STEPS


def test_evaluations_go_to_the_metrics_and_training_goes_on(tmp_path):
    module = Regression()

    def evaluate(step):
        module.eval()
        return {"f1": 0.5, "step_seen": step}

    _, module, _ = train(tmp_path, module=module, evaluate=evaluate)
    assert [line for line in read_metrics(tmp_path / "metrics.jsonl") if "evaluation" in line] == [
        {"step": 3, "evaluation": {"f1": 0.5, "step_seen": 3}}
    ]
    assert module.training


def test_a_term_that_nothing_contributes_to_is_zero(tmp_path):
    class Empty(Regression):
        def forward(self, tensors, denominators):
            return super().forward(tensors, denominators) + 0.0 * self.layers[0].weight.sum() / denominators["none"]

    def batches(step):
        made = batches_of(12)(step)
        for batch in made:
            batch.counts["none"] = 0.0
        return made

    result, _, _ = train(tmp_path, module=Empty(), batches=batches)
    assert result.finished


def test_deadlines_keep_a_margin():
    assert deadline_after(None, started=0.0) is None
    assert deadline_after(1.0, started=100.0) == pytest.approx(154.0)
    assert deadline_after(1440.0, started=0.0) == pytest.approx(86400 - 120)
