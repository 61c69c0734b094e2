"""The best epoch and early stopping, and the choice in a grid, on values made up."""

from __future__ import annotations

import json

import pytest
import torch

from compactbio.errors import UserError
from compactbio.finetuning.runs.best_epoch import BestEpoch
from compactbio.finetuning.runs.grid import at_point, choose_point, grid_points, plan_trials
from compactbio.finetuning.runs.planning import plan_runs


class Stop:
    reason = None


def module_of(value: float) -> torch.nn.Module:
    module = torch.nn.Linear(1, 1)
    torch.nn.init.constant_(module.weight, value)
    return module


def after(folder, values, metric="f1", patience=None, stop=None):
    """The best epoch after evaluations at steps 10, 20, ..., whose module holds the step."""
    best = BestEpoch(folder, metric, patience, stop)
    for number, value in enumerate(values, start=1):
        best.add(10 * number, {"loss": value, "f1": value}, module_of(10.0 * number))
    return best


@pytest.mark.parametrize(
    ("metric", "values", "step"),
    [("f1", [0.1, 0.5, 0.3], 20), ("f1", [0.2, 0.5, 0.5], 20), ("loss", [3.0, 1.0, 2.0], 20), ("f1", [0.0], 10)],
)
def test_the_best_epoch_s_weights_are_kept_the_earlier_of_equal_ones(metric, values, step, tmp_path):
    best = after(tmp_path, values, metric)
    loaded = module_of(0.0)
    assert best.load(loaded) == step == loaded.weight.item()


@pytest.mark.parametrize(
    ("values", "patience", "over"),
    [
        ([0.5, 0.4, 0.3], 2, True),
        ([0.5, 0.4, 0.6], 2, False),
        ([0.5, 0.5, 0.5], 2, True),  # equal is not better
        ([0.5, 0.4], 2, False),
        ([], 1, False),
        ([0.5, 0.4, 0.3], None, False),
    ],
)
def test_it_is_over_when_no_epoch_was_better_for_the_patience(values, patience, over, tmp_path):
    best = after(tmp_path, values, patience=patience, stop=Stop())
    assert best.is_over is over
    assert best.reason == ("early stopping" if over else None)


def test_a_signal_is_told_first(tmp_path):
    stop = Stop()
    best = after(tmp_path, [0.5, 0.4], patience=1, stop=stop)
    stop.reason = "SIGTERM"
    assert best.reason == "SIGTERM"


def test_a_resumed_run_knows_the_evaluations_up_to_its_checkpoint(tmp_path):
    after(tmp_path, [0.1, 0.5, 0.3])
    lines = [{"step": 10 * number, "evaluation": {"f1": value}} for number, value in enumerate([0.1, 0.5, 0.3], 1)]
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text("".join(json.dumps(line) + "\n" for line in [{"step": 5, "loss": 1.0}, *lines]))
    resumed = BestEpoch(tmp_path, "f1", 1, None)
    resumed.resume(metrics, 30)
    assert resumed.is_over and resumed.load(module_of(0.0)) == 20
    # from the checkpoint of step 10 on, step 20 is run again and its weights are written again
    earlier = BestEpoch(tmp_path, "f1", 1, None)
    earlier.resume(metrics, 10)
    with pytest.raises(UserError, match="holds the weights of step 20, but the best is step 10"):
        earlier.load(module_of(0.0))
    earlier.add(20, {"f1": 0.5}, module_of(20.0))
    assert earlier.load(module_of(0.0)) == 20


def test_an_unknown_metric_is_named(tmp_path):
    with pytest.raises(UserError, match=r"best_epoch_by is 'mrr'; the validation metrics are loss, f1"):
        after(tmp_path, [0.1], metric="mrr")


# ---- grids

SETTINGS = {
    "task": "ner",
    "runs": [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in (1, 2)],
    "hyperparameters": {"epochs": 3, "learning_rate": 0.1, "grid": {"learning_rate": [0.1, 0.2], "epochs": [3, 4]}},
}


def finish(run, value, *, epoch=1):
    """Write what a finished run leaves, its validation F1 in the epoch given."""
    run.finished.mkdir(parents=True)
    lines = [
        {"epoch": n, "step": 10 * n, "loss": 1.0, "validation": {"f1": value if n == epoch else 0.99}} for n in (1, 2)
    ]
    (run.finished / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    notes = {"rows": 1}
    result = {"steps": 20, "epoch": epoch, "loss_last_epoch": 1.0, "train": notes, "validation": notes, "test": notes}
    result |= {"fingerprint": run.fingerprint, "seed": 1, "fold": 0, "seconds": 1.0}
    (run.finished / "result.json").write_text(json.dumps(result))


def test_points_are_all_combinations_and_trials_are_plain_first_runs(tmp_path):
    points = grid_points(SETTINGS)
    assert points == [{"learning_rate": rate, "epochs": epochs} for rate in (0.1, 0.2) for epochs in (3, 4)]
    trials = plan_trials(SETTINGS, {}, tmp_path)
    assert [run.name for run in trials] == ["seed1"] * 4
    plain = {**SETTINGS, "hyperparameters": {"epochs": 4, "learning_rate": 0.2}}
    assert at_point(SETTINGS, points[3])["hyperparameters"] == plain["hyperparameters"]
    assert trials[3].fingerprint == plan_runs(plain, {}, tmp_path)[0].fingerprint
    assert plan_trials(plain, {}, tmp_path) == []
    assert choose_point(plain, []) == (plain, [])


def test_the_best_validation_score_of_the_epoch_taken_decides(tmp_path):
    trials = plan_trials(SETTINGS, {}, tmp_path)
    for run, value in zip(trials, [0.5, 0.7, 0.7, 0.1], strict=True):
        finish(run, value, epoch=2)
    chosen, tried = choose_point(SETTINGS, trials)
    assert chosen["hyperparameters"] == {"epochs": 4, "learning_rate": 0.1}
    assert [(row["f1"], row["chosen"]) for row in tried] == [(0.5, False), (0.7, True), (0.7, False), (0.1, False)]


def test_a_grid_without_validation_is_refused(tmp_path):
    trials = plan_trials(SETTINGS, {}, tmp_path)
    for run in trials:
        finish(run, 0.5)
        (run.finished / "metrics.jsonl").write_text('{"epoch": 1, "step": 10, "loss": 1.0, "validation": null}\n')
    with pytest.raises(UserError, match="needs validation data"):
        choose_point(SETTINGS, trials)
