"""The table of one kind of task in the layout that papers print: datasets and metrics down, models across."""

from __future__ import annotations

from collections.abc import Sequence

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.render import Document, Section
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.tables.kind_scores import UNITS_NOTE
from compactbio.reporting.tables.score_columns import ROW_MARKS_NOTE, Line, cell_record, gap_notes, side_by_side


def build(material: Material, task: str) -> Built:
    """Return the table of one kind of task, a section per protocol."""
    scored, kind = material.scored, KINDS[task]
    datasets = scored.datasets_of(task)
    document = Document(f"{kind.title}, models side by side", [UNITS_NOTE], [])
    rows: list[Row] = []
    for protocol in material.assignment.in_order(kind.protocol_names):
        lines = [
            Line(dataset, METRIC_TITLES[metric], scored.column(dataset, protocol, metric))
            for dataset in datasets
            for metric in kind.metrics_of(protocol)
        ]
        cells = [cell for line in lines for cell in line.cells]
        notes = [*runs_note(datasets, scored), ROW_MARKS_NOTE, *gap_notes(cells, scored)]
        label = f"{task}-{protocol}-overview"
        block = side_by_side("All datasets", label, ("dataset", "metric"), lines, scored, notes)
        text = kind.explanation(protocol, compared=not material.assignment.is_empty)
        document.sections.append(Section(f"{protocol.capitalize()} protocol", [text], [block]))
        rows += [cell_record(cell) for cell in cells]
    return document, rows


def runs_note(datasets: Sequence[str], scored: ScoreCells) -> list[str]:
    """Return what the numbers are and how many runs stand behind them; nothing where there is none."""
    counts = {name: " or ".join(map(str, sorted(set(scored.run_counts(name))))) for name in datasets}
    of_count = grouped((count, name) for name, count in counts.items() if count)
    parts = [f"{count} ({', '.join(names)})" if len(of_count) > 1 else count for count, names in of_count.items()]
    return [f"Percent, mean ± sample standard deviation over the runs: {'; '.join(parts)}."] if parts else []
