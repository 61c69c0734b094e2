"""What a record of a kind of task says: its data, labels, predictions, scores and words; nothing here needs torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from compactbio.kinds.counts import Counts

REFERENCE, STANDARD = "reference", "standard"  # how the paper's scripts score, and how the literature does
# Before the names of metrics: unweighted over classes; over all folds as one set; over test units not in train.
MACRO_PREFIX, POOLED_PREFIX, UNSEEN_PREFIX = "macro_", "pooled_", "unseen_"
SUPPORT = "support"  # how many gold examples or entities of a class there are
# How many units of the test data (see Leak) also stand in train: of a run's, and in the counts of a dataset.
SEEN_IN_TRAIN, ALSO_IN_TRAIN = "seen_in_train", "also_in_train"

# The type of a column: a word of Arrow's (`int32`, `string`, ...), `label` for the id of one of the dataset's labels,
# a list of one type for a list of any length, or a mapping for a struct.
ColumnType: TypeAlias = "str | list[ColumnType] | dict[str, ColumnType]"


@dataclass(frozen=True)
class Layout:
    """One form of a dataset's files, and what `prepare_task` reads out of it.

    Attributes:
        name: the value of `layout` in a configuration.
        reader: `module.function` under compactbio.tasks, from a Definition to a Prepared.
        describes: its form and what a definition must say, for the help of prepare_task.
        files: parts that a definition must name a file for; empty where the file names are fixed.
        splits: of a layout whose file names are fixed.
        folds: numbers of its folds, none where it has no folds.
        counted: names that a split's counts have, those of labels apart, in the order of the file.
        counted_in_test: names that the counts of the test split have after these.
        golden: names that the counts of the golden answers have.
        roles: of a layout whose columns a definition may name (`columns`).
        options: keys of a definition that not every layout knows.
        fault: what is wrong with a definition for this layout, beginning with its key; None where nothing is.
        drawn: whether splits are drawn by `split_seed` where the definition has no `files`.
    """

    name: str
    reader: str
    describes: str
    counted: tuple[str, ...]
    files: frozenset[str] = frozenset({"train", "test"})
    splits: frozenset[str] = frozenset()
    folds: range = range(0)
    counted_in_test: tuple[str, ...] = (ALSO_IN_TRAIN,)
    golden: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    options: frozenset[str] = frozenset()
    fault: Callable[[Mapping[str, Any]], str | None] = lambda definition: None
    drawn: bool = False


@dataclass(frozen=True)
class Labels:
    """The labels of a kind of task that has some.

    Attributes:
        column: of the prepared dataset, which holds their ids.
        nested: whether a row has a list of them (one a word) or one.
        fault: what is wrong with a list of label names for this kind, None where nothing is.
        positive: whether a dataset names those over which scores are computed (`positive_labels`).
    """

    column: str
    nested: bool = False
    fault: Callable[[Sequence[str]], str | None] = lambda names: None
    positive: bool = False


@dataclass(frozen=True)
class Leak:
    """What of test data may stand in train too: counted when data are prepared, and left out of scores of their own.

    Attributes:
        units: what is counted, at the beginning of a sentence.
        keys: sets of columns; a test row stands in train where a row of train has the same in all columns of one set.
        loose: columns whose texts are compared without case and white space.
        unit: the column whose equal values are one unit, in train where one of its rows is; None: each row is one.
    """

    units: str
    keys: tuple[tuple[str, ...], ...]
    loose: frozenset[str] = frozenset()
    unit: str | None = None


@dataclass(frozen=True)
class Predictions:
    """The columns of predictions.parquet, `run` first.

    Attributes:
        columns: name to type.
        unscored: those that are stored for the reader only: scoring does not read them.
    """

    columns: Mapping[str, ColumnType]
    unscored: frozenset[str] = frozenset()

    @property
    def scored(self) -> tuple[str, ...]:
        """Return the columns that scoring reads beside `run`."""
        return tuple(name for name in self.columns if name != "run" and name not in self.unscored)


@dataclass(frozen=True)
class Metric:
    """A score: its name in files, its title in tables, and its lowest value; the highest is 1."""

    name: str
    title: str
    lowest: float = 0.0


@dataclass(frozen=True)
class Protocol:
    """A way of scoring a kind of task.

    Attributes:
        name: REFERENCE or STANDARD.
        explanation: what it computes and what its values compare with, for readers of the tables.
        metrics: those that only this protocol has, after those of the kind.
        beside_paper: what is said of it too where values of the paper are compared.
    """

    name: str
    explanation: str
    metrics: tuple[Metric, ...] = ()
    beside_paper: str = ""


@dataclass(frozen=True)
class Usage:
    """How a fine-tuned model is used: programs that its card shows, and that tests run.

    Attributes:
        transformers: the whole program, by transformers; `folder` is where the model lies.
        encode: of the program by ONNX Runtime, from `tokenizer` (of the package tokenizers) to `encoded`.
        decode: from `logits` of one sequence without its batch, `encoded` and `labels` to what is printed.
    """

    transformers: str
    encode: str
    decode: str


@dataclass(frozen=True)
class Kind:
    """All facts about a kind of task that need no torch; what needs it is finetuning/kinds/<name>.py.

    Attributes:
        name: the value of `task` in a configuration and in every file.
        title, short: for readers.
        hub_task: the hub's name of such a task.
        layouts: of its files.
        columns: of a prepared dataset, name to type.
        leak: what of its test data may stand in train too.
        kept_together: the column whose rows of equal value are not parted when validation data are cut from train, and
            what such a group is called; None: rows are drawn singly.
        labels: None where it has none.
        options: JSON Schema of the hyper-parameters that this kind has beside those of every kind.
        required_options: those of them that a configuration must say.
        denominator: what the training loss is a mean over.
        loss_over_padding: whether the loss of the authors' script runs over padding (quirk qa_loss_over_padding).
        reads_first_token: whether the head reads one state a text, in most architectures the first position's.
        predictions: the stored table.
        counts: of a test example.
        metrics: of every protocol, in the order of the tables' columns; fractions.
        optional: of the standard protocol, for datasets that they say something of; a run may lack them.
        class_metrics: those of each class (types of entities, evaluated labels), beside its support; empty where it has
            no classes.
        headline: the one of them that stands for the task in overviews, and chooses among epochs and grid points.
        protocols: the one that is compared with the paper first.
        variants: prefixes of metrics that repeat the ones above in another way; a dataset has those that say something.
        counted: names of numbers that are counts, with their titles.
        paper_datasets: those of the paper that belong to its table.
        usage: of its fine-tuned models.
    """

    name: str
    title: str
    short: str
    hub_task: str
    layouts: tuple[Layout, ...]
    columns: Mapping[str, ColumnType]
    leak: Leak
    predictions: Predictions
    counts: Counts
    metrics: tuple[Metric, ...]
    headline: str
    protocols: tuple[Protocol, ...]
    denominator: str
    usage: Usage
    labels: Labels | None = None
    kept_together: tuple[str, str] | None = None
    loss_over_padding: bool = False
    reads_first_token: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    required_options: tuple[str, ...] = ()
    optional: tuple[Metric, ...] = ()
    class_metrics: tuple[Metric, ...] = ()
    variants: tuple[str, ...] = (UNSEEN_PREFIX,)
    counted: tuple[Metric, ...] = ()
    paper_datasets: tuple[str, ...] = ()

    @property
    def has_folds(self) -> bool:
        """Return whether its rows belong to folds (0 where a dataset has none)."""
        return "fold" in self.columns

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Return the metrics that every protocol must have."""
        return tuple(metric.name for metric in self.metrics)

    @property
    def count_names(self) -> tuple[str, ...]:
        """Return the names of numbers that are counts, not fractions."""
        return (*(count.name for count in self.counted), SEEN_IN_TRAIN)

    @property
    def protocol_names(self) -> tuple[str, ...]:
        """Return its protocols, the one that is compared with the paper first."""
        return tuple(protocol.name for protocol in self.protocols)

    @property
    def titles(self) -> dict[str, str]:
        """Return the titles of its metrics, those of one protocol and optional ones included, by their names."""
        special = (metric for protocol in self.protocols for metric in protocol.metrics)
        return {metric.name: metric.title for metric in (*self.metrics, *special, *self.optional)}

    def metrics_of(self, protocol: str) -> tuple[str, ...]:
        """Return the metrics of a protocol in the order of the tables' columns."""
        special = [metric.name for one in self.protocols if one.name == protocol for metric in one.metrics]
        return (*self.metric_names, *special)

    def explanation(self, protocol: str, *, compared: bool) -> str:
        """Return what a protocol of this kind computes, and where values of the paper are compared, how they relate."""
        [one] = [one for one in self.protocols if one.name == protocol]
        return f"{one.explanation} {one.beside_paper}".strip() if compared else one.explanation

    def lowest(self, metric: str) -> float:
        """Return the lowest value that one of its numbers may have, in whatever variant."""
        plain = next((metric.removeprefix(prefix) for prefix in self.variants if metric.startswith(prefix)), metric)
        return next((one.lowest for one in self.metrics if one.name in (metric, plain)), 0.0)

    def known_metrics(self) -> tuple[str, ...]:
        """Return every number that a run of this kind may have, those that it must have first."""
        variants = (prefix + metric for prefix in self.variants for metric in self.metric_names)
        special = list(self.titles)[len(self.metrics) :]  # of one protocol, and optional ones
        return (*self.metric_names, *self.count_names, *variants, *special)

    def known_class_metrics(self) -> tuple[str, ...]:
        """Return every number that a class in a run of this kind has; none where it has no classes."""
        return (*(metric.name for metric in self.class_metrics), SUPPORT) if self.class_metrics else ()

    def layout(self, name: object) -> Layout | None:
        """Return a layout of this kind by its name, as a configuration has it."""
        return next((layout for layout in self.layouts if layout.name == name), None)

    def hyperparameters(self) -> dict[str, Any]:
        """Return the JSON Schema of the hyper-parameters that other kinds have not, or have other values of."""
        others = [name for name in self.metric_names if name != self.headline]
        best = "The validation score whose best epoch is taken; null takes the last epoch."
        return {
            **self.options,
            "best_epoch_by": {"description": best, "enum": [self.headline, *others, "loss", None]},
        }


PRECISION, RECALL, F1 = Metric("precision", "precision"), Metric("recall", "recall"), Metric("f1", "F1")
CLASS_WEIGHTS = {
    "description": "Weights of the loss by label: balanced (by frequencies in train), a list in their order, or "
    "null, all equal.",
    "$ref": "#/$defs/class_weights",
}
