"""Models compared: intervals of their means and differences between them, from the units of all models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from compactbio.kinds import KINDS
from compactbio.reporting.statistics.bootstrap import holm, interval, observed_means, resampled_means, two_sided_p
from compactbio.reporting.statistics.estimates import BASELINE, MEAN, PAIR, Estimate
from compactbio.reporting.statistics.paired_units import DatasetUnits, files_by_dataset, read_dataset


def compare(paths: Sequence[Path], *, baseline: str, resamples: int, seed: int) -> list[Estimate]:
    """Return the estimates of all datasets in files of units; models and datasets may be missing in any of them.

    Args:
        paths: one file for each model, in the order of the rows.
        baseline: the model that all others are compared with; nothing is, where it has no units.
        resamples: of the multi-bootstrap.
        seed: of its draws.

    Raises:
        UserError: a file is none of score_model's, or models have different test examples.
    """
    estimates = []
    for dataset, files in files_by_dataset(paths).items():
        estimates += _of_dataset(read_dataset(files, dataset), baseline, resamples, seed)
    return estimates


def _of_dataset(units: DatasetUnits, baseline: str, resamples: int, seed: int) -> list[Estimate]:
    """Return the estimates of one dataset; models that were scored on other gold entities are not compared."""
    observed, resampled = observed_means(units), resampled_means(units, resamples, seed)
    metric, last = KINDS[units.task].headline, (sum(units.sizes), resamples)
    estimates = []
    for protocol in dict.fromkeys(protocol for protocol, _ in units.counts):
        models = units.models(protocol)
        for model in models:
            low, high = interval(100 * resampled[protocol, model])
            value, runs = 100 * observed[protocol, model], units.runs(protocol, model)
            place = (units.dataset, protocol, metric, model, "")
            estimates.append(Estimate(MEAN, *place, value, low, high, None, None, runs, 0, *last))
        others = [(model, baseline) for model in models if model != baseline and baseline in models]
        for kind, pairs in ((BASELINE, others), (PAIR, list(combinations(models, 2)))):
            alike = [pair for pair in pairs if len({units.gold[protocol, model] for model in pair}) == 1]
            differences = [_difference(kind, units, protocol, pair, observed, resampled, metric) for pair in alike]
            estimates += _corrected(differences)
    return estimates


def _difference(
    kind: str,
    units: DatasetUnits,
    protocol: str,
    pair: tuple[str, str],
    observed: Mapping[tuple[str, str], float],
    resampled: Mapping[tuple[str, str], np.ndarray],
    metric: str,
) -> Estimate:
    """Return the first model of a pair less the second, its p-value not corrected yet."""
    one, other = (protocol, pair[0]), (protocol, pair[1])
    differences = resampled[one] - resampled[other]
    low, high = interval(100 * differences)
    p = two_sided_p(differences)
    runs = (units.runs(*one), units.runs(*other))
    place = (units.dataset, protocol, metric, *pair)
    value, last = 100 * (observed[one] - observed[other]), (sum(units.sizes), len(differences))
    return Estimate(kind, *place, value, low, high, p, p, *runs, *last)


def _corrected(family: Sequence[Estimate]) -> list[Estimate]:
    """Return the comparisons of one kind, dataset and protocol with Holm's correction."""
    values = holm([estimate.p for estimate in family if estimate.p is not None])
    return [estimate._replace(holm=value) for estimate, value in zip(family, values, strict=True)]
