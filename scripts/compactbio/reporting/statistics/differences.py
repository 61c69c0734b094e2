"""Models compared: intervals of their means and differences between them, from the units of all models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from compactbio.kinds import KINDS
from compactbio.reporting.statistics.bootstrap import holm, interval, observed_means, resampled_means, two_sided_p
from compactbio.reporting.statistics.estimates import BASELINE, MEAN, PAIR, Estimate
from compactbio.reporting.statistics.paired_units import DatasetUnits, files_by_dataset, read_dataset


def compare(paths: Sequence[Path], *, baseline: str, resamples: int, seed: int) -> list[Estimate]:
    """Return the estimates of all datasets in files of units; models and datasets may be missing in any of them.

    Args:
        paths: one file for each model, in the order of the rows.
        baseline: the model that all others are compared with; nothing is, where it has no units.

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

    def estimate(kind: str, protocol: str, one: str, other: str = "") -> Estimate:
        """Return a model's mean, or its mean less another's with a p-value that is not corrected yet."""
        value, draws, p, runs = observed[protocol, one], resampled[protocol, one], None, 0
        if other:
            value, draws = value - observed[protocol, other], draws - resampled[protocol, other]
            p, runs = two_sided_p(draws), units.runs(protocol, other)
        place = (units.dataset, protocol, KINDS[units.task].headline, one, other)
        sizes = (units.runs(protocol, one), runs, sum(units.sizes), resamples)
        return Estimate(kind, *place, 100 * value, *interval(100 * draws), p, p, *sizes)

    estimates = []
    for protocol in dict.fromkeys(protocol for protocol, _ in units.counts):
        models = units.models(protocol)
        estimates += [estimate(MEAN, protocol, model) for model in models]
        others = [(model, baseline) for model in models if model != baseline and baseline in models]
        for kind, pairs in ((BASELINE, others), (PAIR, list(combinations(models, 2)))):
            alike = [pair for pair in pairs if len({units.gold[protocol, model] for model in pair}) == 1]
            family = [estimate(kind, protocol, *pair) for pair in alike]
            corrected = holm([one.p for one in family if one.p is not None])
            estimates += [one._replace(holm=value) for one, value in zip(family, corrected, strict=True)]
    return estimates
