"""A model's rows of the tables, read back from their CSV files."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from compactbio.errors import UserError
from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.efficiency.measurements import INT8
from compactbio.settings.results import Tables


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of a table of scores; `mean` and `std` are percentages, None where there is none."""

    task: str
    dataset: str
    protocol: str
    metric: str
    mean: float | None
    std: float | None
    runs: int


@dataclass(frozen=True)
class ModelScores:
    """The cells of one model, and sentences on its size and speed."""

    rows: list[Row]
    costs: list[str]

    def places(self, task: str) -> list[tuple[str, str]]:
        """Return the (dataset, protocol) pairs of a kind of task, in the tables' order."""
        return list(dict.fromkeys((row.dataset, row.protocol) for row in self.rows if row.task == task))

    def row(self, dataset: str, protocol: str, metric: str) -> Row | None:
        """Return a cell."""
        found = (row for row in self.rows if (row.dataset, row.protocol, row.metric) == (dataset, protocol, metric))
        return next(found, None)


def read_model_scores(tables: Tables[Path], model: str) -> ModelScores:
    """Return what the tables say of a model.

    Raises:
        UserError: a table is missing.
    """
    rows = [
        Row(
            task,
            line["dataset"],
            line["protocol"],
            line["metric"],
            _number(line["mean"]),
            _number(line["std"]),
            int(line["runs"] or 0),
        )
        for task, kind in KINDS.items()
        for line in read_table(tables.table(task, "csv"))
        if line["model"] == model and line["metric"] in kind.metric_names
    ]
    return ModelScores(rows, _costs(tables, model))


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV table by column.

    Raises:
        UserError: it is missing.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: build_tables writes it")
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _costs(tables: Tables[Path], model: str) -> list[str]:
    """Return size and speed of a model in words."""
    texts = []
    for line in read_table(tables.table("sizes", "csv")):
        if line["model"] == model and line["encoder"]:
            encoder, embeddings, weights = (int(line[name]) for name in ("encoder", "embeddings", "weights_bytes"))
            texts.append(
                f"{encoder:,} parameters ({embeddings:,} of them embeddings), {weights / 1e6:,.1f} MB of weights"
            )
    for line in read_table(tables.table("efficiency", "csv")):
        if line["model"] == model and line["median"] and not line["form"]:
            hardware = f" on {line['hardware']}" if line["hardware"] else ""
            texts.append(f"{line['quantity']}: {float(line['median']):,.4g} {line['unit']}{hardware}")
    return texts + _costs_in_int8(tables, model)


def _costs_in_int8(tables: Tables[Path], model: str) -> list[str]:
    """Return a sentence on the model as fine-tuned on one dataset and quantised; none where that was not measured."""
    lines = [
        line for line in read_table(tables.table("efficiency", "csv")) if (line["model"], line["form"]) == (model, INT8)
    ]
    parts = []
    for line in lines:
        value, unit = float(line["median"]), line["unit"]
        value, unit = (value / 1e6, "MB") if unit == "bytes" else (value, unit)
        protocol = f" ({line['protocol']} protocol)" if line["protocol"] else ""
        parts.append(f"{METRIC_TITLES.get(line['quantity'], line['quantity'])}{protocol} {value:,.4g} {unit}")
    hardware = "".join(f" on {name}" for name in sorted({line["hardware"] for line in lines} - {""}))
    return [f"{INT8}, fine-tuned on {lines[0]['dataset']}: {'; '.join(parts)}{hardware}"] if lines else []


def _number(text: str) -> float | None:
    """Return a cell's number, None where it is empty."""
    return float(text) if text else None
