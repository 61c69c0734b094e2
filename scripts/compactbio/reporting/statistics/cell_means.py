"""Means of estimates as the cells of tables have them, so that one number is printed of a cell wherever it stands.

compare_models adds the counts of test examples up in 32 bits, which gives the means of the scores but for the last
digits; at a half of the last printed digit that shows.
"""

from __future__ import annotations

from collections.abc import Iterable

from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.statistics.estimates import Estimate

_TOLERANCE = 1e-4  # percent


def with_cell_means(estimates: Iterable[Estimate], scored: ScoreCells) -> list[Estimate]:
    """Return estimates with the means of the cells, and their differences, in the place of their own.

    Estimates of models that the tables leave out stay as they are, and those that are of other scores: check_results
    names these.
    """
    return [one._replace(value=_value(one, scored)) for one in estimates]


def _value(one: Estimate, scored: ScoreCells) -> float:
    """Return the mean or difference of an estimate by the cells, or its own."""
    places = [(one.dataset, model, one.protocol, one.metric) for model in (one.model, one.other) if model]
    means = [cell.mean for place in places if (cell := scored.cells.get(place)) and cell.mean is not None]
    value = means[0] - sum(means[1:]) if len(means) == len(places) else one.value
    return value if abs(value - one.value) < _TOLERANCE else one.value
