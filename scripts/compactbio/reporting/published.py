"""Published values: what other papers print, one row a value, each with its source."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from compactbio.errors import UserError
from compactbio.kinds import KINDS
from compactbio.kinds.kind import REFERENCE, STANDARD

# The paper's own datasets and models: a row may name them even where a configuration leaves them out.
PAPER_DATASETS: dict[str, str] = {name: kind.name for kind in KINDS.values() for name in kind.paper_datasets}
PAPER_MODELS = (
    "BioBERT-v1.1",
    "DistilBioBERT",
    "CompactBioBERT",
    "TinyBioBERT",
    "BioDistilBERT-cased",
    "BioDistilBERT-uncased",
    "BioTinyBERT",
    "BioMobileBERT",
)
CONFIDENCES = ("confirmed", "unconfirmed")
SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """One printed number, in percent; an empty `model` is a row that no model can be assigned to."""

    table: str
    dataset: str
    model: str
    metric: str
    protocol: str
    value: float
    confidence: str
    source: str

    @property
    def cell(self) -> tuple[str, str, str, str]:
        """The cell of our tables that it belongs to: dataset, model, protocol, metric."""
        return (self.dataset, self.model, self.protocol, self.metric)

    @property
    def is_comparable(self) -> bool:
        """Whether it is the paper's own and scored as ours; for a kind without that protocol it is not known."""
        return self.protocol == REFERENCE


COLUMNS = tuple(field.name for field in fields(PublishedValue))


def read_published(
    path: Path, *, datasets: dict[str, str] | None = None, models: Collection[str] = ()
) -> list[PublishedValue]:
    """Return all rows of a table of published values, each checked.

    Args:
        path: tab-separated, columns `COLUMNS`; lines that begin with `#` are comments.
        datasets: the datasets that the configuration defines, name to task, known beside the paper's.
        models: the models that the configuration defines, known beside the paper's.

    Raises:
        UserError: a row without source, with an unknown table, dataset, model, metric, protocol or confidence, with
            a value outside 0..100, or twice; the message names file and line.
    """
    known_datasets = PAPER_DATASETS | (datasets or {})
    known_models = {*PAPER_MODELS, *models}
    values: list[PublishedValue] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: give the table of published values") from None
    numbered = [(n, text) for n, text in enumerate(lines, start=1) if text.strip() and not text.startswith("#")]
    if not numbered or tuple(numbered[0][1].split("\t")) != COLUMNS:
        raise UserError(f"{path} must begin with the tab-separated column names {', '.join(COLUMNS)}")
    for number, text in numbered[1:]:
        value = _published_value(text.split("\t"), f"{path}, line {number}", known_datasets, known_models)
        if value.model and any(value.cell == other.cell for other in values):
            raise UserError(f"{path}, line {number}: a second value for {' / '.join(value.cell)}; keep one")
        values.append(value)
    return values


def _published_value(cells: list[str], where: str, datasets: dict[str, str], models: Collection[str]) -> PublishedValue:
    """Return one checked row; `where` begins the message of a refusal."""
    if len(cells) != len(COLUMNS):
        raise UserError(f"{where}: {len(cells)} columns, but {len(COLUMNS)} are needed: {', '.join(COLUMNS)}")
    row = dict(zip(COLUMNS, (cell.strip() for cell in cells), strict=True))
    if not row["source"]:
        raise UserError(f"{where}: no source; say which paper and which table the value was read in")
    if row["confidence"] not in CONFIDENCES:
        raise UserError(f"{where}: confidence {row['confidence']!r}; it is one of {', '.join(CONFIDENCES)}")
    _check_place(row, where, datasets)
    if row["model"] and row["model"] not in models:
        raise UserError(
            f"{where}: unknown model {row['model']!r}; known are {', '.join(sorted(models))} "
            "(leave it empty where the source does not say which)"
        )
    try:
        value = float(row["value"])
    except ValueError:
        raise UserError(f"{where}: value {row['value']!r} is not a number") from None
    if not (math.isfinite(value) and 0 <= value <= 100):
        raise UserError(f"{where}: value {row['value']} is not a percentage between 0 and 100")
    words = {name: text for name, text in row.items() if name != "value"}
    return PublishedValue(**words, value=value)


def _check_place(row: dict[str, str], where: str, datasets: dict[str, str]) -> None:
    """Refuse a row whose table, dataset, metric and protocol do not belong together."""
    if row["table"] == SUMMARY:
        place = (row["dataset"], row["metric"])
        if place != ("all", "retained"):
            raise UserError(f"{where}: a row of table {SUMMARY} has dataset all and metric retained, not {place}")
        if row["protocol"] not in ("unknown", REFERENCE, STANDARD):
            raise UserError(f"{where}: unknown protocol {row['protocol']!r}")
        return
    task = datasets.get(row["dataset"])
    if task is None:
        raise UserError(f"{where}: unknown dataset {row['dataset']!r}; known are {', '.join(sorted(datasets))}")
    if row["table"] != task:
        raise UserError(f"{where}: {row['dataset']} belongs to table {task}, not to {row['table']!r}")
    for word, known in (("metric", KINDS[task].known_metrics()), ("protocol", KINDS[task].protocol_names)):
        if row[word] not in known:
            raise UserError(f"{where}: unknown {word} {row[word]!r}; task {task} has {', '.join(known)}")


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where each published row went; every row is in exactly one list."""

    matched: list[PublishedValue]  # confirmed, and a cell of this run's tables
    unconfirmed: list[PublishedValue]  # shown apart with our difference, decide nothing
    unassigned: list[PublishedValue]  # no model is known
    outside: list[PublishedValue]  # its model or dataset is not part of this run

    @property
    def is_empty(self) -> bool:
        """Return whether there is no row at all: this run is not compared with the paper."""
        return not (self.matched or self.unconfirmed or self.unassigned or self.outside)

    def in_order(self, protocols: Sequence[str]) -> tuple[str, ...]:
        """Return protocols in the order that serves a reader: where values of the paper are compared, theirs first."""
        return tuple(sorted(protocols, key=lambda name: (name == REFERENCE) == self.is_empty))

    def by_cell(self) -> dict[tuple[str, str, str, str], PublishedValue]:
        """Return the matched rows by dataset, model, protocol and metric."""
        return {value.cell: value for value in self.matched}


def assign(values: Iterable[PublishedValue], *, models: Collection[str], datasets: Collection[str]) -> Assignment:
    """Sort published rows by what can be done with them in a run of these models and datasets."""
    assignment = Assignment([], [], [], [])
    for value in values:
        if not value.model:
            assignment.unassigned.append(value)
        elif value.model not in models or value.dataset not in datasets:
            assignment.outside.append(value)
        elif value.confidence != "confirmed":
            assignment.unconfirmed.append(value)
        else:
            assignment.matched.append(value)
    return assignment
