"""The table of scores by class: types of entities, evaluated relations, labels of one's own data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from compactbio.kinds import COUNTS, KINDS, METRIC_TITLES
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.render import Document, Section
from compactbio.reporting.report_records import BOTH
from compactbio.reporting.score_cells import Cell, ScoreCells, cell_of
from compactbio.reporting.tables.overviews import runs_note
from compactbio.reporting.tables.score_columns import ROW_MARKS_NOTE, Line, cell_record, gap_notes, side_by_side
from compactbio.scoring.score_rows import ClassScore

ABOUT = (
    "Each class by itself: the types of a dataset's entities, or the labels that its scores are computed over. "
    "Support: gold entities or examples of the class in the test data; where it is 0, recall is not defined and shown "
    "as 0. A dataset with one class is left out, since its scores are that class's; classes.csv has it, and every run."
)
NO_CLASSES = "No dataset of this run has several classes."
OLD_SCORES = "scored before classes were: snakemake --forcerun score_model"


Lines = Mapping[tuple[str, str], Sequence[Line]]  # by dataset and protocol


def build(material: Material) -> Built:
    """Return the table, a section per protocol; its rows hold the runs beside the means."""
    lines = class_lines(material.scored, material.classes)
    protocols = material.assignment.in_order(BOTH)
    return _document(material.scored, lines, protocols), _records(lines, material.classes)


def class_lines(scored: ScoreCells, classes: Sequence[ClassScore]) -> Lines:
    """Return the metrics of each class with a cell for each model; scores of other models or datasets are left out."""
    values = grouped((((one.dataset, one.model, one.protocol, one.metric), one.label), one.value) for one in classes)
    labels = grouped(((one.dataset, one.protocol), one.label) for one in classes if one.dataset in scored.datasets)

    def cell(label: str, dataset: str, model: str, protocol: str, metric: str) -> Cell:
        """Return the cell of a class."""
        task, place = scored.datasets[dataset], (dataset, model, protocol, metric)
        gap = scored.cell(dataset, model, protocol, KINDS[task].headline).reason or OLD_SCORES
        return cell_of(task, place, values.get((place, label), []), None, gap, label)

    return {
        (dataset, protocol): [
            Line(label, METRIC_TITLES[name], [cell(label, dataset, model, protocol, name) for model in scored.models])
            for label in dict.fromkeys(labels[dataset, protocol])
            for name in KINDS[task].known_class_metrics()
        ]
        for dataset, task in scored.datasets.items()
        for protocol in BOTH
        if (dataset, protocol) in labels
    }


def _document(scored: ScoreCells, lines: Lines, protocols: Sequence[str]) -> Document:
    """Return the tables of the datasets with several classes."""
    document = Document("Scores by class", [ABOUT], [])
    for protocol in protocols:
        blocks = []
        for dataset in scored.datasets:
            shown = lines.get((dataset, protocol), [])
            if len({line.group for line in shown}) > 1:
                gaps = gap_notes([cell for line in shown for cell in line.cells], scored)
                notes = [*runs_note([dataset], scored), ROW_MARKS_NOTE, *gaps]
                label = f"classes-{protocol}-{dataset}".lower()
                blocks.append(side_by_side(dataset, label, ("class", "metric"), shown, scored, notes))
        if blocks:
            document.sections.append(Section(f"{protocol.capitalize()} protocol", [], blocks))
    document.text += [] if document.sections else [NO_CLASSES]
    return document


def _records(lines: Lines, classes: Sequence[ClassScore]) -> list[Row]:
    """Return the tidy rows of cells, the mean first and then each run; every digit kept."""
    runs = grouped((one.key[:2] + one.key[3:], (one.run, one.value)) for one in classes)
    rows: list[Row] = []
    for cell in (cell for of_dataset in lines.values() for line in of_dataset for cell in line.cells):
        mean = cell_record(cell) | {"class": cell.label}
        rows.append(mean | {"kind": "mean"})
        for run, value in runs.get((cell.dataset, cell.model, cell.protocol, cell.label, cell.metric), []):
            shown = value if cell.metric in COUNTS else 100 * value
            rows.append(mean | {"kind": "run", "run": run, "mean": shown, "std": None, "runs": 1})
    return rows
