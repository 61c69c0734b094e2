"""Markdown tables as a terminal shows them best: narrow columns, marks without tags."""

from __future__ import annotations

import re
import textwrap

WIDTH = 100  # characters of a line of text; tables take what they need
_BEST = re.compile(r"\*\*(.+?)\*\*")
_SECOND = re.compile(r"<u>(.+?)</u>")
_ESCAPE = re.compile(r"\\([\\|*<`])")
_STYLES = {"best": ("\033[1m", "\033[0m"), "second": ("\033[4m", "\033[0m")}


def for_terminal(markdown: str, *, styled: bool) -> str:
    """Return Markdown with its pipe tables laid out anew.

    Args:
        styled: bold and underlined by the terminal's own codes; else `*` stands after the best value of a column
            and `'` after the second.
    """
    lines, table = [], []
    for line in [*markdown.splitlines(), ""]:
        if line.startswith("|"):
            table.append(line)
            continue
        if table:
            lines.extend(_lay_out(table, styled))
            table = []
        if line.startswith("Bold: highest") and not styled:
            line = "* highest mean of its column, ' second highest. The marks say nothing about significance."
        lines.extend(_wrap(line))
    return "\n".join(lines)


def _wrap(line: str) -> list[str]:
    """Return a paragraph or list item in lines of a terminal's width."""
    indent = "  " if line.startswith("- ") else ""
    return textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False) or [""]


def _lay_out(table: list[str], styled: bool) -> list[str]:
    """Return the lines of one pipe table with columns as wide as what is seen in them."""
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table]
    cells = [[_plain(cell) for cell in row] for i, row in enumerate(rows) if i != 1]
    suffixes = {"best": "*", "second": "'", "": " "}
    marked = [any(row[i][1] for row in cells) and not styled for i in range(len(rows[0]))]
    texts = [[text + (suffixes[mark] if marked[i] else "") for i, (text, mark) in enumerate(row)] for row in cells]
    widths = [max(len(row[i]) for row in texts) for i in range(len(rows[0]))]
    lines = []
    for row, marks in zip(texts, cells, strict=True):
        padded = [
            row[0].ljust(widths[0]),
            *(text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)),
        ]
        if styled:
            padded = [_style(text, mark) for text, (_, mark) in zip(padded, marks, strict=True)]
        lines.append("  ".join(padded).rstrip())
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def _plain(cell: str) -> tuple[str, str]:
    """Return a cell's text without tags and escapes, and its mark."""
    for mark, pattern in (("best", _BEST), ("second", _SECOND)):
        if pattern.match(cell):
            return _ESCAPE.sub(r"\1", pattern.sub(r"\1", cell)), mark
    return _ESCAPE.sub(r"\1", cell), ""


def _style(padded: str, mark: str) -> str:
    """Return a padded text whose number (up to ±) is styled; the blanks before it are not."""
    if not mark:
        return padded
    text = padded.lstrip(" ")
    mean, separator, rest = text.partition(" ± ")
    start, end = _STYLES[mark]
    return " " * (len(padded) - len(text)) + start + mean + end + separator + rest
