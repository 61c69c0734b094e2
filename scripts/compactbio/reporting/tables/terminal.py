"""Markdown tables as a terminal shows them best: narrow columns, marks without tags."""

from __future__ import annotations

import re
import textwrap

from compactbio.text_tables import padded_cells

WIDTH = 100  # characters of a line of text; tables take what they need
_BEST = re.compile(r"\*\*(.+?)\*\*")
_SECOND = re.compile(r"<u>(.+?)</u>")
_ESCAPE = re.compile(r"\\([\\|*<`])")
_MARKS = re.compile("Bold: highest mean of its (column|row); underlined: second highest.")
_NOTICE = re.compile(r"> \*\*(.+)\*\*")
_LINK = re.compile(r"\[([^\]]+)\]\([^)]+\)")
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
        if not styled:
            line = _MARKS.sub(r"* highest mean of its \1, ' second highest.", line)
        notice = _NOTICE.fullmatch(line)
        if notice:
            lines += [_style(text, "best" if styled else "") for text in _wrap(notice[1])]
        elif not _LINK.fullmatch(line):  # to the first page
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
    lines = padded_cells(texts, right=(n for n, rule in enumerate(rows[1]) if rule.endswith("-:")))
    rule = "  ".join("-" * len(cell) for cell in lines[0])
    if styled:
        lines = [
            [_style(text, mark) for text, (_, mark) in zip(line, marks, strict=True)]
            for line, marks in zip(lines, cells, strict=True)
        ]
    first, *others = ("  ".join(line).rstrip() for line in lines)
    return [first, rule, *others]


def _plain(cell: str) -> tuple[str, str]:
    """Return a cell's text without tags and escapes, and its mark."""
    for mark, pattern in (("best", _BEST), ("second", _SECOND)):
        if pattern.match(cell):
            return _ESCAPE.sub(r"\1", pattern.sub(r"\1", cell)), mark
    return _ESCAPE.sub(r"\1", _LINK.sub(r"\1", cell)), ""


def _style(cell: str, mark: str) -> str:
    """Return a padded cell whose number (up to ±) is styled; the blanks before it are not."""
    if not mark:
        return cell
    text = cell.lstrip(" ")
    mean, separator, rest = text.partition(" ± ")
    start, end = _STYLES[mark]
    return " " * (len(cell) - len(text)) + start + mean + end + separator + rest
