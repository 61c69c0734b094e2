"""The multi-bootstrap: against closed forms, scipy, a worked example, and simulations whose truth is known."""

import numpy as np
import pytest
from helpers.units import Simulation
from scipy.stats import bootstrap

from compactbio.reporting.statistics.bootstrap import (
    example_weights,
    holm,
    interval,
    observed_means,
    resampled_means,
    two_sided_p,
)
from compactbio.reporting.statistics.paired_units import DatasetUnits


def accuracies(right, task="qa", **sizes):
    """Units of models given as {name: [examples, runs]}, whose metric is the mean over examples."""
    counts = {
        ("standard", model): [np.stack([values, np.ones_like(values)], axis=2).astype(np.float32)]
        for model, values in right.items()
    }
    examples = len(next(iter(right.values())))
    return DatasetUnits(task, "D", [examples], counts)


def test_each_resample_draws_as_many_examples_as_there_are():
    weights = example_weights(np.random.default_rng(1), 50, 4000)
    assert weights.shape == (4000, 50)
    assert (weights.sum(axis=1) == 50).all()
    # counts of a multinomial draw: mean 1, variance 1 - 1/50
    assert weights.mean(axis=0) == pytest.approx(np.ones(50), abs=0.08)
    assert weights.var() == pytest.approx(1 - 1 / 50, abs=0.02)


def test_holm_of_a_published_worked_example():
    # The four hypotheses of Wikipedia's article on the method: at 0.05 the fourth and the first are rejected.
    # 4 x 0.005, 3 x 0.01, 2 x 0.03, and 0.04, which may not be below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.5]) == [1.0, 1.0]
    assert holm([]) == []


def test_variation_of_examples_alone_is_that_of_a_mean():
    """All runs are alike: the variance of the mean over n examples, that of the population / n."""
    one = np.random.default_rng(2).random((60, 1))
    means = resampled_means(accuracies({"A": np.repeat(one, 4, axis=1)}), 20000, 0)["standard", "A"]
    assert means.mean() == pytest.approx(one.mean(), abs=0.002)
    assert means.var() == pytest.approx(one.var() / 60, rel=0.04)


def test_variation_of_runs_alone_is_that_of_a_mean_without_bias():
    """All examples are alike: the sample variance (R - 1) over R, which R draws would miss by a third."""
    runs = np.array([0.2, 0.5, 0.6])
    means = resampled_means(accuracies({"A": np.tile(runs, (40, 1))}), 20000, 0)["standard", "A"]
    assert means.var() == pytest.approx(runs.var(ddof=1) / 3, rel=0.04)


def test_one_run_gives_the_interval_of_scipy():
    generator = np.random.default_rng(3)
    gold = generator.poisson(1.2, 300)
    correct = generator.binomial(gold, 0.8)
    both = gold + correct + generator.binomial(1, 0.2, 300)
    units = DatasetUnits("ner", "D", [300], {("standard", "A"): [np.stack([2 * correct, both], 1)[:, None]]})
    ours = interval(resampled_means(units, 20000, 5)["standard", "A"])
    theirs = bootstrap(
        (correct, both),
        lambda c, b, axis: 2 * c.sum(axis) / b.sum(axis),
        paired=True,
        method="percentile",
        n_resamples=20000,
        rng=np.random.default_rng(6),
    ).confidence_interval
    assert observed_means(units)["standard", "A"] == pytest.approx(2 * correct.sum() / both.sum(), abs=1e-12)
    assert ours == pytest.approx(theirs, abs=0.001)


def test_a_model_draws_the_same_beside_any_others():
    right = np.random.default_rng(4).random((30, 3, 3)) < 0.7
    models = {"A": right[0:30, :, 0], "B": right[:, :, 1], "C": right[:, :, 2]}
    alone = resampled_means(accuracies({"B": models["B"]}), 500, 7)
    beside = resampled_means(accuracies(models), 500, 7)
    assert beside["standard", "B"].tolist() == alone["standard", "B"].tolist()
    assert resampled_means(accuracies(models), 500, 8)["standard", "B"].tolist() != alone["standard", "B"].tolist()


def test_equal_and_wholly_different_models():
    right = (np.random.default_rng(5).random((80, 1)) < 0.6).astype(float) / 3  # a third is no exact number
    means = resampled_means(accuracies({"A": right, "B": right, "C": right + 0.5}), 999, 1)
    same = means["standard", "A"] - means["standard", "B"]
    assert two_sided_p(same) == 1.0
    assert interval(same) == pytest.approx((0, 0), abs=1e-6)
    better = means["standard", "C"] - means["standard", "A"]  # by 0.5 on every example: nothing varies
    assert interval(better) == pytest.approx((0.5, 0.5), abs=1e-6)
    assert two_sided_p(better) == two_sided_p(-better) == 2 / 1000


def test_p_by_hand():
    # 2 of 9 at or below 0: 2 x (1 + 2) / (1 + 9)
    assert two_sided_p(np.array([-1, 0, 1, 1, 1, 1, 1, 1, 1])) == pytest.approx(0.6)
    assert two_sided_p(np.array([0.0, 0.0])) == 1.0


def test_metrics_without_a_denominator_are_zero():
    units = DatasetUnits("ner", "D", [4], {("standard", "A"): [np.zeros((4, 2, 2), np.float32)]})
    assert resampled_means(units, 10, 0)["standard", "A"].tolist() == [0.0] * 10
    assert observed_means(units)["standard", "A"] == 0.0


def simulate(simulation, shift, data_sets, seed):
    """Shares of data sets whose intervals (of model B, of the difference) hold the truth, and whose p is below 0.05."""
    generator = np.random.default_rng(seed)
    truth = simulation.truth(shift), simulation.truth(shift) - simulation.truth(0)
    held, called = [], []
    for number in range(data_sets):
        means = resampled_means(simulation.draw(generator, {"A": 0.0, "B": shift}), 400, number)
        differences = means["standard", "B"] - means["standard", "A"]
        intervals = interval(means["standard", "B"]), interval(differences)
        held.append([low <= value <= high for (low, high), value in zip(intervals, truth, strict=True)])
        called.append(two_sided_p(differences) < 0.05)
    return (*np.mean(held, axis=0), np.mean(called))


@pytest.mark.parametrize("runs", [3, 5, 10])
def test_intervals_hold_the_truth_and_equal_models_are_seldom_called_different(runs):
    """Runs that scatter by half a standard error of the test set: F1 by about 1.1 points, with 250 examples."""
    mean, difference, called = simulate(Simulation(runs, quality=0.1), 0.0, 400, seed=runs)
    # of 400 data sets a share of 0.95 is missed by 0.022 once in twenty simulations
    assert 0.92 <= mean <= 0.99
    assert 0.92 <= difference <= 0.99
    assert called <= 0.08


def test_a_true_difference_is_found_and_its_size_is_held():
    _, difference, called = simulate(Simulation(5, quality=0.1), 0.8, 200, seed=9)
    assert 0.9 <= difference <= 1.0
    assert called >= 0.9


def test_folds_err_towards_no_difference():
    """Each run has test examples of its own, whose variation is counted twice."""
    simulation = Simulation(1, quality=0.1, examples=100, folds=10)
    _, difference, called = simulate(simulation, 0.0, 300, seed=4)
    assert difference >= 0.95
    assert called <= 0.05
    assert simulate(simulation, 0.8, 50, seed=5)[2] >= 0.9


def test_folds_are_drawn_together_for_all_models():
    """Folds of different difficulty, one model better by the same in each: only paired folds show it."""
    level = np.array([0.1, 0.3, 0.5, 0.7, 0.9])
    parts = {
        ("standard", model): [np.tile([value + shift, 1.0], (20, 1, 1)).astype(np.float32) for value in level]
        for model, shift in (("A", 0.0), ("B", 0.05))
    }
    means = resampled_means(DatasetUnits("re", "D", [20] * 5, parts), 300, 0)
    assert interval(means["standard", "B"] - means["standard", "A"]) == pytest.approx((0.05, 0.05), abs=1e-5)
    assert np.ptp(means["standard", "A"]) > 0.2
