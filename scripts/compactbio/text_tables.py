"""Tables of text for a terminal: columns as wide as their widest cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def padded_cells(rows: Sequence[Sequence[str]], right: Iterable[int] = ()) -> list[list[str]]:
    """Return rows, all of the same number of cells, with each cell padded to the width of its column.

    Args:
        rows: the header included.
        right: numbers of the columns that are aligned to the right.
    """
    to_right = frozenset(right)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [cell.rjust(widths[n]) if n in to_right else cell.ljust(widths[n]) for n, cell in enumerate(row)]
        for row in rows
    ]


def aligned_columns(rows: Iterable[Sequence[str]]) -> str:
    """Return the rows, all of the same number of cells, as lines of columns that are two blanks apart."""
    return "".join("  ".join(cells).rstrip() + "\n" for cells in padded_cells(list(rows)))
