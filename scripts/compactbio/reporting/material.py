"""What tables and figures are made of, gathered once by the program that makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from compactbio.reporting.efficiency.measurements import Deployment, MeasuredEncoder
from compactbio.reporting.published import Assignment
from compactbio.reporting.render import Document
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.statistics.estimates import Estimate
from compactbio.reporting.trainings import Trainings
from compactbio.scoring.score_rows import ClassScore, Score
from compactbio.settings.benchmarks import Benchmark
from compactbio.style import Look

if TYPE_CHECKING:  # reads curves with numpy, which tables do not need
    from compactbio.reporting.pretrainings import Pretraining

Row = dict[str, object]  # of a CSV file, by column
Built = tuple[Document, list[Row]]  # what the builder of a table returns


@dataclass(frozen=True)
class Material:
    """What a builder may read."""

    scored: ScoreCells
    assignment: Assignment  # where each published value belongs
    measured: Mapping[str, MeasuredEncoder]  # by model; one that was not measured is missing
    trainings: Trainings  # by model and dataset
    deployed: Deployment | None = None  # measurements of fine-tuned models
    estimates: Sequence[Estimate] = ()  # comparisons of models
    benchmark: Benchmark | None = None  # of the configuration
    config: dict[str, Any] | None = None  # the checked configuration
    complete: bool = True  # figures, pages and cards are made beside the tables
    scores: Sequence[Score] = ()  # every run's
    classes: Sequence[ClassScore] = ()  # every run's
    pretrainings: Mapping[str, Pretraining] = field(default_factory=dict)  # by model
    looks: Mapping[str, Look] = field(default_factory=dict)  # how each model is drawn
