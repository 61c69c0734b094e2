"""Means of estimates as the cells of tables have them, so that one number is printed of a cell wherever it stands.

compare_models adds the counts of test examples up in 32 bits, which gives the means of the scores but for the last
digits; at a half of the last printed digit that shows.
"""

from __future__ import annotations

from collections.abc import Iterable

from compactbio.errors import UserError
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.statistics.estimates import Estimate

_TOLERANCE = 1e-4  # percent


def with_cell_means(estimates: Iterable[Estimate], scored: ScoreCells) -> list[Estimate]:
    """Return estimates with the means of the cells, and their differences, in the place of their own.

    Estimates of models or datasets that the tables leave out stay as they are.

    Raises:
        UserError: a mean is not that of the scores: the estimates are of other scores.
    """
    found = []
    for one in estimates:
        places = [(one.dataset, model, one.protocol, one.metric) for model in (one.model, one.other) if model]
        means = [cell.mean for place in places if (cell := scored.cells.get(place)) and cell.mean is not None]
        if len(means) == len(places):
            value = means[0] - sum(means[1:])
            if abs(value - one.value) > _TOLERANCE:
                what = " less ".join(filter(None, (one.model, one.other)))
                raise UserError(
                    f"comparisons: {what} on {one.dataset} by the {one.protocol} protocol is {one.value}, but the "
                    f"scores give {value}: run compare_models again"
                )
            one = one._replace(value=value)
        found.append(one)
    return found
