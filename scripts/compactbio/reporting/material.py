"""What tables and figures are made of, gathered once by the program that makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from compactbio.reporting.efficiency.measurements import Deployment, MeasuredEncoder
from compactbio.reporting.published import Assignment
from compactbio.reporting.render import Document
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.statistics.estimates import Estimate
from compactbio.reporting.trainings import Trainings
from compactbio.scoring.score_rows import Score
from compactbio.style import Look

if TYPE_CHECKING:  # reads curves with numpy, which tables do not need
    from compactbio.reporting.pretrainings import Pretraining

Row = dict[str, object]  # of a CSV file, by column
Built = tuple[Document, list[Row]]  # what the builder of a table returns


@dataclass(frozen=True)
class Material:
    """What a builder may read.

    Attributes:
        scored: the cells of models and datasets.
        assignment: where each published value belongs.
        measured: encoders by model; a model that was not measured is missing.
        trainings: fine-tunings by model and dataset.
        deployed: measurements of fine-tuned models; None where there are none.
        estimates: comparisons of models.
        quirks: switches and their values.
        scores: every run's.
        pretrainings: by model.
        looks: how each model is drawn.
    """

    scored: ScoreCells
    assignment: Assignment
    measured: Mapping[str, MeasuredEncoder]
    trainings: Trainings
    deployed: Deployment | None = None
    estimates: Sequence[Estimate] = ()
    quirks: Mapping[str, str] = field(default_factory=dict)
    scores: Sequence[Score] = ()
    pretrainings: Mapping[str, Pretraining] = field(default_factory=dict)
    looks: Mapping[str, Look] = field(default_factory=dict)
