"""The multi-bootstrap: runs and test examples resampled together (Sellam et al. 2022, "The MultiBERTs", section 3).

The statistic is a model's mean over its runs of a metric over the test examples. A resample draws test examples
with replacement, the same ones for all models and runs, and for each model runs with replacement, whose metrics over
the drawn examples are averaged. So examples are paired between models and runs are not (Sellam's unpaired seeds):
runs of two models share a seed and with it the order of the training data, but no weights; what they have in common
is not made use of. Where runs are folds, fold k of all models has the same train and test data: then the same folds
are drawn for all models, and the examples of each fold among themselves. Folds are runs and test examples in one, so
that this counts the examples' variation twice and errs towards "no difference shown"; drawing examples alone would
leave the variation between trainings out.

One thing is done otherwise than there: of R runs, R - 1 are drawn. The variance of a mean of R - 1 draws is that of
the mean of R runs without bias (Rao and Wu 1988, JASA 83, 231-241), where R draws fall short of it by 1/R: a third,
with three runs. One run cannot be resampled; then the test examples alone are, and the result is about that training.

By hand, since scipy.stats.bootstrap resamples along one axis, not runs and examples together.
tests/unit/test_reporting_bootstrap.py checks the coverage of intervals and the rate of false positives by simulation.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import numpy as np

from compactbio.reporting.statistics.paired_units import DatasetUnits

LEVEL = 0.95
WEIGHTS_AT_ONCE = 2_000_000  # resamples times examples of one step: some 50 MB of working memory
DECIMALS = 6  # of fractions: reciprocal ranks add up to no more in float32, and equal models have to be equal


def resampled_means(units: DatasetUnits, resamples: int, seed: int) -> dict[tuple[str, str], np.ndarray]:
    """Return by protocol and model the mean over runs in each resample, fractions, float64 [resamples].

    The draws depend on the seed, the dataset and the model's own name, never on which other models are there.
    """
    examples = np.random.default_rng([seed, zlib.crc32(units.dataset.encode())])
    shares = {key: _run_shares(units, *key, resamples, seed) for key in units.counts}
    means = {key: np.empty(resamples) for key in units.counts}
    step = max(1, WEIGHTS_AT_ONCE // max(units.sizes))
    for begin in range(0, resamples, step):
        here = slice(begin, min(begin + step, resamples))
        for key, metric in _metrics(units, examples, here.stop - here.start):
            means[key][here] = np.einsum("br,br->b", metric, shares[key][here])
    return means


def observed_means(units: DatasetUnits) -> dict[tuple[str, str], float]:
    """Return by protocol and model the mean over runs of the metric itself, fractions."""
    means = {}
    for key, parts in units.counts.items():
        sums = np.concatenate([part.sum(axis=0, dtype=np.float64) for part in parts])
        means[key] = float(units.metric(sums).mean())
    return means


def _metrics(
    units: DatasetUnits, generator: np.random.Generator, resamples: int
) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
    """Yield by protocol and model the metric of every run in each resample, float64 [resamples, runs]."""
    sums: dict[tuple[str, str], list[np.ndarray]] = {key: [] for key in units.counts}
    for fold, size in enumerate(units.sizes):
        weights = example_weights(generator, size, resamples)
        columns = [parts[fold].reshape(size, -1) for parts in units.counts.values()]
        # One product for all models: whole numbers, which float32 adds exactly up to 2^24, or what is in float64.
        product = weights @ np.concatenate(columns, axis=1)
        bounds = np.cumsum([part.shape[1] for part in columns])[:-1]
        for key, part in zip(units.counts, np.split(product, bounds, axis=1), strict=True):
            sums[key].append(part.reshape(resamples, -1, units.counts[key][fold].shape[-1]))
    for key, parts in sums.items():
        yield key, units.metric(np.concatenate(parts, axis=1))


def example_weights(generator: np.random.Generator, examples: int, resamples: int) -> np.ndarray:
    """Return how often each example is drawn in each resample, float32 [resamples, examples]; rows sum to `examples`.

    Draws that are counted take a tenth of the time of the multinomial generator.
    """
    drawn = generator.integers(0, examples, size=(resamples, examples), dtype=np.int32)
    drawn += np.arange(resamples, dtype=np.int32)[:, None] * np.int32(examples)
    counts = np.bincount(drawn.ravel(), minlength=resamples * examples)
    return counts.reshape(resamples, examples).astype(np.float32)


def _run_shares(units: DatasetUnits, protocol: str, model: str, resamples: int, seed: int) -> np.ndarray:
    """Return each run's share of the mean in each resample, float64 [resamples, runs]; rows sum to 1."""
    runs = units.runs(protocol, model)
    whose = "" if units.is_folded else model  # folds are drawn for all models alike
    generator = np.random.default_rng([seed, zlib.crc32(units.dataset.encode()), zlib.crc32(whose.encode()), runs])
    draws = max(runs - 1, 1)
    return generator.multinomial(draws, np.full(runs, 1 / runs), size=resamples) / draws


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the percentile interval of level `LEVEL`."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def two_sided_p(differences: np.ndarray) -> float:
    """Return twice the share of resampled differences on the rarer side of 0, at most 1, at least 2 / (resamples + 1).

    It is below 1 - `LEVEL` where the percentile interval leaves 0 out. A difference of 0 stands on both sides.
    """
    rounded = np.round(differences, DECIMALS)
    rarer = min((rounded <= 0).sum(), (rounded >= 0).sum())
    return float(min(1.0, 2 * (1 + rarer) / (1 + len(rounded))))


def holm(values: Sequence[float]) -> list[float]:
    """Return p-values corrected by Holm's step-down method (1979, Scand. J. Statist. 6, 65-70), in the given order.

    By hand: scipy has other corrections only, and statsmodels would be a large dependency for six lines.
    """
    corrected = [0.0] * len(values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda index: values[index])):
        highest = max(highest, min(1.0, (len(values) - rank) * values[index]))
        corrected[index] = highest
    return corrected
