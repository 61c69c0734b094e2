"""A model's rows of the tables, read back from their CSV files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.document_files import read_rows
from compactbio.reporting.efficiency.measurements import INT8
from compactbio.reporting.render import number
from compactbio.reporting.score_cells import Cell
from compactbio.settings.results import Tables

_UNITS = {"bytes": "B", "FLOP": "FLOP"}  # counted, and so written with a prefix
_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class ModelScores:
    """The cells of one model by dataset, protocol and metric, in the tables' order, and sentences on size and speed."""

    cells: dict[tuple[str, str, str], Cell]
    costs: list[str]


def read_model_scores(tables: Tables[Path], model: str) -> ModelScores:
    """Return what the tables say of a model.

    Raises:
        UserError: a table that every run has is missing.
    """
    cells = {}
    written = {
        task: path for task in KINDS if (path := tables.table(task, "csv")).is_file()
    }  # those of the run's kinds
    for task, path in written.items():
        kind = KINDS[task]
        for line in read_rows(path):
            if line["model"] == model and line["metric"] in kind.metric_names:
                mean, std = (float(line[name]) if line[name] else None for name in ("mean", "std"))
                dataset, protocol, metric = (line[name] for name in ("dataset", "protocol", "metric"))
                place, runs = (task, dataset, model, protocol, metric), int(line["runs"] or 0)
                cells[dataset, protocol, metric] = Cell(*place, mean, std, runs, None, None, line["reason"])
    return ModelScores(cells, _costs(tables, model))


def quantity_text(value: float, unit: str) -> str:
    """Return an amount for readers: `117.5 MFLOP`, `40.7 MB`, `61.25 %`, else four digits and the unit."""
    if unit == "%":
        return f"{number(value)} %"
    if unit not in _UNITS:
        return f"{value:,.4g} {unit}"
    size, prefix = next((one for one in _PREFIXES if value >= one[0]), _PREFIXES[-1])
    return f"{value / size:,.1f} {prefix}{_UNITS[unit]}"


def _costs(tables: Tables[Path], model: str) -> list[str]:
    """Return size and speed of a model in words."""
    texts = []
    for line in read_rows(tables.table("sizes", "csv")):
        if line["model"] == model and line["encoder"]:
            encoder, embeddings, weights = (int(line[name]) for name in ("encoder", "embeddings", "weights_bytes"))
            size = quantity_text(weights, "bytes")
            texts.append(f"{encoder:,} parameters ({embeddings:,} of them embeddings), {size} of weights")
    measured = [line for line in read_rows(tables.table("efficiency", "csv")) if line["model"] == model]
    for line in measured:
        if line["median"] and not line["form"]:
            hardware = f" on {line['hardware']}" if line["hardware"] else ""
            texts.append(f"{line['quantity']}: {quantity_text(float(line['median']), line['unit'])}{hardware}")
    return texts + _costs_in_int8([line for line in measured if line["form"] == INT8])


def _costs_in_int8(lines: list[dict[str, str]]) -> list[str]:
    """Return a sentence on a model as fine-tuned on one dataset and quantised; none where that was not measured."""
    parts = []
    for line in lines:
        amount = quantity_text(float(line["median"]), line["unit"])
        protocol = f" ({line['protocol']} protocol)" if line["protocol"] else ""
        parts.append(f"{METRIC_TITLES.get(line['quantity'], line['quantity'])}{protocol} {amount}")
    hardware = "".join(f" on {name}" for name in sorted({line["hardware"] for line in lines} - {""}))
    return [f"{INT8}, fine-tuned on {lines[0]['dataset']}: {'; '.join(parts)}{hardware}"] if lines else []
