"""Documents and rows as files: in every form, and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from compactbio.errors import UserError, reading
from compactbio.files import replacing_file, write_text
from compactbio.reporting.latex import to_latex
from compactbio.reporting.render import Document, to_html, to_markdown

FORMS: dict[str, Callable[[Document], str]] = {"md": to_markdown, "tex": to_latex, "html": to_html}


def write_document(
    document: Document,
    folder: Path,
    name: str,
    forms: Iterable[str] = ("md", "html"),
    *,
    notice: str = "",
    home: str = "",
) -> None:
    """Write a document as <name>.<form> for each of the forms, keys of `FORMS`, with its notice and link home."""
    document = replace(document, notice=notice, home=home)
    for form in forms:
        write_text(folder / f"{name}.{form}", FORMS[form](document))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV with a header; what a row lacks is empty."""
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file that `write_rows` wrote, by column.

    Raises:
        UserError: it is missing.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist: build_tables writes it")
    with reading(path, "run build_tables again"), path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, strict=True))
