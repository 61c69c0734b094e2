"""All tables of a run, built by their records and written as CSV, Markdown, LaTeX and HTML."""

from __future__ import annotations

from pathlib import Path

from compactbio.reporting.material import Material
from compactbio.reporting.render import FORMS, write_document, write_rows
from compactbio.reporting.report_records import INDEX, TABLES


def write_tables(folder: Path, material: Material) -> None:
    """Write all tables as <name>.{csv,md,tex,html}, and the index as {md,html}, into a folder."""
    for table in TABLES:
        document, rows = table.build(material)
        write_document(document, folder, table.name, FORMS)
        write_rows(folder / f"{table.name}.csv", table.columns, rows)
    write_document(INDEX.build(material), folder, INDEX.name)
