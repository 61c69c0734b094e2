"""All tables of a run, written as CSV, Markdown, LaTeX and HTML."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compactbio.files import replacing_file
from compactbio.kinds import KINDS
from compactbio.reporting import trainings
from compactbio.reporting.explanations import explanation_document
from compactbio.reporting.published import Assignment
from compactbio.reporting.render import Document, to_html, to_latex, to_markdown
from compactbio.reporting.score_cells import ScoreCells
from compactbio.reporting.statistics.estimates import Estimate
from compactbio.reporting.tables import comparisons, deployed_forms, kind_scores, model_costs, replication, summary


def write_tables(
    folder: Path,
    scored: ScoreCells,
    assignment: Assignment,
    measured: dict[str, dict[str, Any]],
    deployed: deployed_forms.Deployment | None,
    quirks: Mapping[str, str],
    trained: trainings.Trainings,
    estimates: Sequence[Estimate],
) -> None:
    """Write all tables of `explanations.FILES` as {csv,md,tex,html}, and index.{md,html}, into a folder."""
    for task in KINDS:
        records = kind_scores.task_records(task, scored, estimates)
        document = kind_scores.task_document(task, scored, assignment, estimates)
        _write(folder, task, document, kind_scores.RECORD_COLUMNS, records)
    _write(
        folder,
        "comparisons",
        comparisons.comparisons_document(scored, estimates),
        comparisons.RECORD_COLUMNS,
        comparisons.comparison_records(estimates),
    )
    _write(
        folder,
        "replication",
        replication.replication_document(scored, assignment),
        replication.RECORD_COLUMNS,
        replication.replication_records(scored, assignment, estimates),
    )
    _write(
        folder,
        "summary",
        summary.summary_document(scored, assignment),
        summary.RECORD_COLUMNS,
        summary.summary_records(scored),
    )
    models = scored.models
    _write(
        folder,
        "finetuning",
        trainings.trainings_document(models, scored.datasets, trained),
        trainings.RECORD_COLUMNS,
        trainings.trainings_records(models, scored.datasets, trained),
    )
    _write(
        folder,
        "sizes",
        model_costs.sizes_document(models, measured),
        model_costs.SIZE_COLUMNS,
        model_costs.sizes_records(models, measured),
    )
    efficiency = model_costs.efficiency_document(models, measured)
    efficiency.sections += deployed_forms.deployment_sections(models, deployed)
    records = model_costs.efficiency_records(models, measured) + deployed_forms.deployment_records(models, deployed)
    _write(folder, "efficiency", efficiency, model_costs.EFFICIENCY_COLUMNS, records)
    explanation = explanation_document(scored, assignment, quirks)
    _write_text(folder / "index.md", to_markdown(explanation))
    _write_text(folder / "index.html", to_html(explanation))


def _write(
    folder: Path, name: str, document: Document, columns: Sequence[str], records: Sequence[Mapping[str, Any]]
) -> None:
    """Write one table in its four forms."""
    _write_text(folder / f"{name}.md", to_markdown(document))
    _write_text(folder / f"{name}.tex", to_latex(document))
    _write_text(folder / f"{name}.html", to_html(document))
    path = folder / f"{name}.csv"
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)


def _write_text(path: Path, text: str) -> None:
    with replacing_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
