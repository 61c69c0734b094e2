"""Tables, figures and pages: a record each, which rules, index, terminal, checks and builders read.

One is added by its record here, its builder and its caption, rules/report/<name>.rst. A table of a kind of task is made
in runs that have it, that of a benchmark where the configuration has one, and all others in every run: where there is
nothing to show, because nothing was pre-trained, deployed or compared with the paper, they say so in words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from compactbio.kinds import KINDS
from compactbio.kinds.kind import REFERENCE, STANDARD

TABLE_CATEGORY, FIGURE_CATEGORY = "3 Tables", "4 Figures"


@dataclass(frozen=True, slots=True)
class Record:
    """What a reader finds in Snakemake's report."""

    name: str  # of its files
    label: str  # in the report's menu
    category: str
    builder: str = ""  # `module.function` under compactbio.reporting
    arguments: tuple[str, ...] = ()  # of the builder, after the material that all get
    subcategory: str | None = None
    shared_caption: str = ""  # of a record that is one of several alike

    @property
    def caption(self) -> str:
        """The file of its caption, seen from the rules."""
        return f"report/{self.shared_caption or self.name}.rst"

    def build(self, *material: object) -> Any:
        """Return what the builder makes."""
        module, _, function = self.builder.rpartition(".")
        builder: Callable[..., Any] = getattr(import_module(f"compactbio.reporting.{module}"), function)
        return builder(*material, *self.arguments)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRecord(Record):
    """A document of one or more tables, and its rows with every digit."""

    holds: str  # what stands in it, for the index; tables of the same words share a line there
    columns: tuple[str, ...]  # of <name>.csv
    wide: bool = False  # a column for each model: more than a terminal has room for
    printed_last: bool = False  # it is what a reader of the terminal looks for first, and so stays on the screen


BOTH = (REFERENCE, STANDARD)  # a section for each protocol
OPTIONS = ("learning_rate", "batch_size", "epochs")  # hyper-parameters that the table of fine-tuning shows
PLACE = ("dataset", "model", "protocol", "metric")

BENCHMARK = "benchmark"

INDEX = Record("index", "First page of the results", "1 What was run", "first_page.build")

TABLES = (
    TableRecord(
        "replication",
        "The paper's values and ours",
        "2 Replication",
        "tables.replication.build",
        holds="the paper's values beside ours, with verdicts, and the order of the models in both",
        columns=(
            *("table", "dataset", "model", "metric", "protocol", "published", "confidence", "mean", "std", "runs"),
            *("difference", "prediction_low", "prediction_high", "mean_low", "mean_high", "standard_mean", "verdict"),
            *("reason", "source"),
        ),
        printed_last=True,
    ),
    *(
        TableRecord(
            kind.name,
            kind.title,
            TABLE_CATEGORY,
            "tables.kind_scores.build",
            (kind.name,),
            holds="the scores of one kind of task, a section per protocol",
            columns=(
                *("table", *PLACE, "unit", "mean", "std", "runs", "low", "high", "published", "published_source"),
                *("difference", "reason"),
            ),
        )
        for kind in KINDS.values()
    ),
    *(
        TableRecord(
            f"{kind.name}_overview",
            f"{kind.title}, models side by side",
            TABLE_CATEGORY,
            "tables.overviews.build",
            (kind.name,),
            holds="the same scores in one table a protocol, a column for each model",
            columns=(*PLACE, "unit", "mean", "std", "runs", "reason"),
            shared_caption="overview",
            wide=True,
        )
        for kind in KINDS.values()
    ),
    TableRecord(
        "classes",
        "Scores by class",
        TABLE_CATEGORY,
        "tables.class_scores.build",
        holds="precision, recall, F1 and support of each class: types of entities, evaluated relations, labels",
        columns=("kind", *PLACE, "class", "unit", "run", "mean", "std", "runs", "reason"),
        wide=True,
    ),
    TableRecord(
        "comparisons",
        "Comparisons with the baseline",
        TABLE_CATEGORY,
        "tables.comparisons.build",
        holds="every model against the baseline: differences, intervals, p-values, verdicts",
        columns=(
            *("kind", "dataset", "protocol", "metric", "model", "other", "value", "low", "high", "p", "holm", "runs"),
            *("other_runs", "examples", "resamples", "resampled", "verdict"),
        ),
        printed_last=True,
    ),
    TableRecord(
        BENCHMARK,
        "Benchmark",
        TABLE_CATEGORY,
        "tables.benchmark.build",
        holds="a benchmark as its leaderboard has it: every dataset, means of groups, and its score",
        columns=("kind", "group", "column", "dataset", "metric", "model", "value", "reason"),
        printed_last=True,
    ),
    TableRecord(
        "summary",
        "Summary",
        TABLE_CATEGORY,
        "tables.averages.build",
        holds="averages per kind of task and over them, and the share of the baseline's",
        columns=("protocol", "model", "task", "metric", "datasets", "average", "percent_of_baseline", "reason"),
        printed_last=True,
    ),
    TableRecord(
        "finetuning",
        "Fine-tuning",
        TABLE_CATEGORY,
        "tables.hyperparameters.build",
        holds="hyper-parameters, epochs and validation scores of the runs, and the grids that were tried",
        columns=(
            *("kind", "dataset", "model", "run", *OPTIONS, "epoch", "steps", "seconds", "metric", "validation"),
            "chosen",
        ),
    ),
    TableRecord(
        "sizes",
        "Model sizes",
        TABLE_CATEGORY,
        "tables.model_costs.build_sizes",
        holds="exact numbers of parameters and file sizes",
        columns=(
            *("model", "encoder", "encoder_with_pooler", "encoder_without_embeddings", "embeddings", "pooler", "head"),
            *("weights_bytes", "reason"),
        ),
    ),
    TableRecord(
        "efficiency",
        "Efficiency",
        TABLE_CATEGORY,
        "tables.model_costs.build_efficiency",
        holds="operations, latency and throughput; size, speed and scores as ONNX and in int8",
        columns=(
            *("model", "form", "dataset", "run", "protocol", "quantity", "device", "unit", "median", "q1", "q3"),
            *("repetitions", "hardware", "reason"),
        ),
    ),
)


def _figure(subcategory: str, name: str, label: str, builder: str, *arguments: str) -> Record:
    """Return the record of a figure."""
    return Record(name, label, FIGURE_CATEGORY, f"figures.{builder}", arguments, subcategory)


FIGURES = (
    _figure("1 Scores", "scores", "Every run, reference protocol", "score_dots.build", REFERENCE),
    _figure("1 Scores", "scores_standard", "Every run, standard protocol", "score_dots.build", STANDARD),
    _figure("1 Scores", "paper_and_replication", "Paper against replication", "agreement.build"),
    _figure("2 Scores against cost", "score_by_parameters", "Score against parameters", "tradeoffs.by_parameters"),
    _figure("2 Scores against cost", "score_by_latency", "Score against latency", "tradeoffs.by_latency"),
    _figure("3 Trainings", "pretraining_losses", "Loss of all pre-trainings", "loss_curves.build"),
    _figure("3 Trainings", "learning_curves", "Learning curves of fine-tuning", "learning_curves.build"),
)

PAGES = (
    Record("run", "Models, runs, checks", "1 What was run"),
    Record("corpus", "Counts", "5 Corpus"),
    Record("costs", "Time, GPU-hours, memory", "6 Costs"),
    Record("deviations", "Switches and configuration", "7 Deviations"),
    Record("environment", "Code, packages, hardware", "8 Environment"),
)


def made_tables(tasks: Collection[str], *, benchmark: bool) -> tuple[TableRecord, ...]:
    """Return the tables of a run: of the kinds of its `tasks`, of a benchmark where it has one, and all others."""
    return tuple(
        table
        for table in TABLES
        if (benchmark or table.name != BENCHMARK) and all(kind in tasks for kind in table.arguments if kind in KINDS)
    )


def in_print_order(tables: Collection[TableRecord]) -> list[str]:
    """Return the names of tables in the order in which a terminal shows them; wide ones only when asked for."""
    return [table.name for table in sorted(tables, key=lambda table: table.printed_last) if not table.wide]
