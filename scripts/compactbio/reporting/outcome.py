"""What a finished run came to, in a few lines for a terminal: from its tables, which keep everything else."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from compactbio.kinds import KINDS
from compactbio.kinds.kind import REFERENCE, STANDARD
from compactbio.reporting.render import number
from compactbio.settings.results import Results
from compactbio.settings.runs import finetuning_run
from compactbio.text_tables import padded_cells


def outcome_lines(config: dict[str, Any], results: Results, notice: str, report: str) -> list[str]:
    """Return the lines.

    Args:
        notice: what stands over everything that is made from generated data; "" where none is.
        report: the command that makes the report.
    """
    models, datasets = config["run"]["models"], config["run"]["datasets"]
    runs = sum(len(finetuning_run(config, model, dataset)["runs"]) for model in models for dataset in datasets)
    head = f"{len(models)} models were fine-tuned on {len(datasets)} datasets: {runs} runs."
    checks = Path(results.reporting.checks).read_text(encoding="utf-8").splitlines()[0]
    ways = [
        ["first page", str(results.tables.index("html"))],
        ["tables here", f"python scripts/show_tables.py {results.tables.folder}"],
        ["report", report],
    ]
    lines = [head, *([notice] if notice else []), *_numbers(config, results), f"Checks of scores and tables: {checks}"]
    return [*lines, *("  ".join(cells).rstrip() for cells in padded_cells(ways))]


def _numbers(config: dict[str, Any], results: Results) -> list[str]:
    """Return a line for each kind of task: the baseline's average score, and the highest of the other models."""
    reporting = config["reporting"]
    baseline, protocol = reporting["baseline_model"], REFERENCE if reporting["compare_with_paper"] else STANDARD
    with Path(results.tables.table("summary", "csv")).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["protocol"] == protocol and row["average"]]
    cells = []
    for task, kind in KINDS.items():
        known = {row["model"]: float(row["average"]) for row in rows if row["task"] == task}
        others = {model: value for model, value in known.items() if model != baseline}
        if not known:
            continue
        best = max(others or known, key=lambda model: known[model])
        name = f"{kind.short}, {kind.titles[kind.headline]} (%)"
        first = f"{baseline} {number(known[baseline])}" if baseline in known else ""
        cells.append([name, first, f"highest of the others: {best} {number(known[best])}" if others else ""])
    return ["  ".join(row).rstrip() for row in padded_cells(cells)] if cells else []
