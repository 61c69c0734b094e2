"""A diverging loss stops the run, a healthy one never does; a resumed run decides as an uninterrupted one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_training_loop import Regression, batches_of

from compactbio.errors import UserError
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.divergence import LossWatch
from compactbio.training.interface import LoopSettings
from compactbio.training.loop import run_training
from compactbio.training.progress import MetricsLog, read_metrics


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def stopped_at(losses, every=50):
    """Return the step of the line that a run would stop at, or None; the first line is of one step."""
    watch = LossWatch()
    for number, loss in enumerate(losses):
        step = number * every if every > 1 else number + 1
        watch.add(max(1, step), loss)
        if watch.diverged:
            return step
    return None


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([2.0, 1.9, 9.0, 9.0, 9.0], 200),  # never learnt: twice the first
        ([2.0, 1.9, 1e4, 1e6, 1e9], 200),
        ([2.0, 7.5, 16.0, 300.0, 1e4], 200),  # from the first update on
        ([10.0, 8.0, 4.0, 10.5, 10.5, 10.5], 250),  # had learnt: back above where it started
    ],
)
def test_a_loss_that_has_left_stops_at_the_third_line(losses, expected):
    assert stopped_at(losses) == expected


@pytest.mark.parametrize(
    "losses",
    [
        [10.4, 7.0, 6.5, 6.0, 5.5, 3.0, 2.0],  # from nothing
        [2.0, 2.1, 2.6, 2.4, 2.0, 1.9],  # another corpus at first
        [1.0, 2.6, 2.6, 2.6, 2.5, 2.4],  # a lucky first batch
        [2.0, 1.9, 9.0, 9.0, 1.9, 1.8],  # a spike of two lines
        [1.1, 0.4, 0.0004, 0.5, 0.9, 1.0, 0.9, 0.0001],  # fine-tuning: large ratios near 0
        [1.6, 0.7, 0.2, 1.55, 1.55, 1.55, 1.55],  # a fine-tuning that collapsed to a guess is a result, not an error
        [0.0, 0.0, 0.5, 0.9, 0.4, 0.3, 0.2],  # a student that starts as its teacher's equal
        [1e-7, 1e-3, 0.8, 0.9, 0.7],
    ],
)
def test_a_healthy_loss_is_left_alone(losses):
    assert stopped_at(losses) is None


@pytest.mark.parametrize("every", [1, 20, 50])
def test_noise_of_single_batches_does_not_stop_a_run(every):
    draw = np.random.default_rng(3)
    steps = np.arange(2000)
    for first, last in ((8.0, 1.5), (2.0, 2.0), (0.7, 0.01), (30.0, 6.0)):
        for _ in range(50):
            losses = (last + (first - last) * np.exp(-steps / 1000)) * draw.lognormal(0.0, 0.5, len(steps))
            means = [losses[0], losses[1:every].mean()] if every > 1 else []
            means += losses[every * len(means) // 2 :].reshape(-1, every).mean(axis=1).tolist()
            assert stopped_at(means, every) is None


def test_short_lines_need_a_hundred_steps():
    assert stopped_at([2.0] * 60 + [9.0] * 300, every=1) == 160


class Leaving(Regression):
    """Grows its loss by a factor from some step on; gradients stay finite."""

    def __init__(self, leaves_after):
        super().__init__(dropout=0.1)
        self.leaves_after = leaves_after
        self.step = 0

    def forward(self, tensors, denominators):
        loss = super().forward(tensors, denominators)
        factor = 1e6 if int(tensors["step"]) > self.leaves_after else 1.0
        return factor * (1.0 + loss)


def numbered(step):
    made = batches_of(12)(step)
    for batch in made:
        batch.tensors["step"] = torch.tensor(step)
    return made


def train(folder, leaves_after, *, total=300, batches=numbered, every=20, **changes):
    module = Leaving(leaves_after)
    return run_training(
        module=module,
        optimizer=torch.optim.AdamW(module.parameters()),
        learning_rate_at=lambda step: 1e-3,
        batches=batches,
        settings=LoopSettings(
            **{"total_steps": total, "log_every_steps": every, "checkpoint_every_steps": 7} | changes
        ),
        checkpoints=CheckpointFolder(folder),
        metrics=MetricsLog(folder / "metrics.jsonl"),
        seed=3,
    )


def test_a_diverging_run_stops_and_keeps_the_checkpoint_from_before(tmp_path):
    with pytest.raises(
        UserError, match=r"high since step 60 and .* at step 160; .*step-00000063\..*learning rate"
    ) as e:
        train(tmp_path, leaves_after=64)
    assert "warmup_steps" in str(e.value)
    assert sorted(path.name for path in tmp_path.glob("step-*")) == ["step-00000056", "step-00000063"]
    assert [line["step"] for line in read_metrics(tmp_path / "metrics.jsonl")] == [
        1,
        20,
        40,
        60,
        80,
        100,
        120,
        140,
        160,
    ]


class CutError(Exception):
    pass


def test_a_resumed_run_writes_the_same_lines_and_stops_at_the_same_step(tmp_path):
    def lines(folder):
        return [(line["step"], line["loss"], line["terms"]) for line in read_metrics(folder / "metrics.jsonl")]

    def cut_at(last):
        def batches(step):
            if step > last:
                raise CutError
            return numbered(step)

        return batches

    with pytest.raises(UserError) as whole:
        train(tmp_path / "whole", leaves_after=90)
    for last in (33, 75, 120):
        with pytest.raises(CutError):
            train(tmp_path / "cut", leaves_after=90, batches=cut_at(last))
    with pytest.raises(UserError) as cut:
        train(tmp_path / "cut", leaves_after=90)
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole")
    assert str(cut.value) == str(whole.value).replace("whole", "cut")


def test_leaving_while_the_loss_is_high_keeps_the_good_checkpoint_and_its_step(tmp_path, caplog):
    class Stop:
        reason = None

    stop = Stop()

    def batches(step):
        if step == 100:
            stop.reason = "SIGTERM"
        return numbered(step)

    result = train(tmp_path, leaves_after=64, batches=batches, stop=stop)
    assert (result.step, result.reason, result.finished) == (63, "signal", False)
    assert CheckpointFolder(tmp_path).latest_step() == CheckpointFolder(tmp_path).read_state()["step"] == 63
    assert "where the loss is high" in caplog.text


def test_a_run_that_ends_before_it_counts_as_diverged_is_finished(tmp_path):
    assert train(tmp_path, leaves_after=64, total=100).finished
    assert CheckpointFolder(tmp_path).latest_step() == 100
