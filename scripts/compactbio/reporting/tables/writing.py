"""All tables of a run, written as CSV, Markdown, LaTeX and HTML."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from compactbio.files import replacing_file
from compactbio.kinds import KINDS
from compactbio.reporting import trainings
from compactbio.reporting.cells import Results
from compactbio.reporting.explanations import explanation_document
from compactbio.reporting.published import Assignment
from compactbio.reporting.render import Document, to_html, to_latex, to_markdown
from compactbio.reporting.statistics.estimates import Estimate
from compactbio.reporting.tables import comparisons, costs, deployment, replication, summary, tasks


def write_tables(
    folder: Path,
    results: Results,
    assignment: Assignment,
    measured: dict[str, dict[str, Any]],
    deployed: deployment.Deployment | None,
    quirks: Mapping[str, str],
    trained: trainings.Trainings,
    estimates: Sequence[Estimate],
) -> None:
    """Write all tables of `explanations.FILES` as {csv,md,tex,html}, and index.{md,html}, into a folder."""
    for task in KINDS:
        records = tasks.task_records(task, results, estimates)
        document = tasks.task_document(task, results, assignment, estimates)
        _write(folder, task, document, tasks.RECORD_COLUMNS, records)
    _write(
        folder,
        "comparisons",
        comparisons.comparisons_document(results, estimates),
        comparisons.RECORD_COLUMNS,
        comparisons.comparison_records(estimates),
    )
    _write(
        folder,
        "replication",
        replication.replication_document(results, assignment),
        replication.RECORD_COLUMNS,
        replication.replication_records(results, assignment, estimates),
    )
    _write(
        folder,
        "summary",
        summary.summary_document(results, assignment),
        summary.RECORD_COLUMNS,
        summary.summary_records(results),
    )
    models = results.models
    _write(
        folder,
        "finetuning",
        trainings.trainings_document(models, results.datasets, trained),
        trainings.RECORD_COLUMNS,
        trainings.trainings_records(models, results.datasets, trained),
    )
    _write(
        folder,
        "sizes",
        costs.sizes_document(models, measured),
        costs.SIZE_COLUMNS,
        costs.sizes_records(models, measured),
    )
    efficiency = costs.efficiency_document(models, measured)
    efficiency.sections += deployment.deployment_sections(models, deployed)
    records = costs.efficiency_records(models, measured) + deployment.deployment_records(models, deployed)
    _write(folder, "efficiency", efficiency, costs.EFFICIENCY_COLUMNS, records)
    explanation = explanation_document(results, assignment, quirks)
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
