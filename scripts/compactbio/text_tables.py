"""Tables of text for a terminal: columns as wide as their widest cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def aligned_columns(rows: Iterable[Sequence[str]]) -> str:
    """Return the rows, all of the same number of cells, as lines of columns that are two blanks apart."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "".join(f"{line}\n" for line in lines)
