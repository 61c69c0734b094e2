"""Tables as LaTeX: floats for booktabs, no wider or higher than their page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from compactbio.reporting.render import Block, Document, Entry, Form

PACKAGES = ("booktabs", "graphicx", "rotating")
_ROWS = 30  # of a wide table on one page, about
_HEADING = 14  # characters
# Shrunk to the width of its page where it is wider, a wide table to its height as well.
_AS_WIDE = r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%"
_AS_HIGH = r"\resizebox*{!}{\ifdim\totalheight>0.7\textwidth 0.7\textwidth\else\totalheight\fi}{%"
_LATEX_SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "{}_%&#$"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "×": r"$\times$", "–": "--", "−": "$-$"}
)


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it stands here."""
    return text.translate(_LATEX_SPECIAL)


_LATEX = Form(escape_latex, "{text}", "tex", {"best": (r"\textbf{", "}"), "second": (r"\underline{", "}")}, "latex_raw")


def to_latex(document: Document) -> str:
    """Return the document's tables as LaTeX floats for a preamble with `PACKAGES`."""
    packages = " ".join(f"\\usepackage{{{name}}}" for name in PACKAGES)
    parts = [f"% {document.title}. Needs in the preamble: {packages}"]
    parts.extend(f"% {text}" for text in (document.notice, *document.text) if text)
    for section in document.sections:
        for block in section.blocks:
            titles = (document.title, section.title, block.title, document.notice.removesuffix("."))
            heading = ". ".join(part for part in titles if part)  # each float has the notice: it is copied by itself
            parts += _floats(block, heading)
    return "\n\n".join(parts) + "\n"


def _floats(block: Block, heading: str) -> Iterator[str]:
    """Yield the float of a table; a wide one of many rows is one for each page, the notes under the last."""
    pages = list(_pages(block)) if block.wide else [block.rows]
    kind, fitted = ("sidewaystable", [_AS_HIGH, _AS_WIDE]) if block.wide else ("table", [_AS_WIDE])
    for number, rows in enumerate(pages):
        continued = ", continued" if number else ""
        notes = block.notes if number == len(pages) - 1 else []
        printed = " ".join(escape_latex(_sentence(note)) for note in notes)
        lines = [
            rf"\begin{{{kind}}}[htbp]" if kind == "table" else rf"\begin{{{kind}}}",
            r"\centering",
            rf"\caption{{{escape_latex(heading)}{continued}.}}",
            *([] if number else [rf"\label{{tab:{block.label}}}"]),
            r"\par\smallskip",
            *([r"\setlength{\tabcolsep}{4pt}"] if block.wide else []),
            *fitted,
            _tabular(replace(block, rows=rows)),
            "}" * len(fitted),
            *([rf"\par\smallskip{{\footnotesize\raggedright {printed}\par}}"] if printed else []),
            rf"\end{{{kind}}}",
        ]
        yield "\n".join(lines)


def _pages(block: Block) -> Iterator[list[list[Entry]]]:
    """Yield the rows of a wide table by page; a group of rows stays together."""
    begin = 0
    for start, end in pairwise([*block.group_starts(), len(block.rows)]):
        if start > begin and end - begin > _ROWS:
            yield block.rows[begin:start]
            begin = start
    yield block.rows[begin:]


def _tabular(block: Block) -> str:
    """Return the bare table: tabulate's unescaped one with booktabs' three rules for its lines, groups of rows apart.

    Its own booktabs style escapes every cell, and so would print the marks instead of setting them.
    """
    table = _LATEX.table(block)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        table = table.replace(r"\hline", rule, 1)
    lines = table.splitlines()
    if block.wide:
        lines[lines.index(r"\toprule") + 1] = " & ".join(map(_stacked, block.header)) + r" \\"
    first = lines.index(r"\midrule") + 1
    for start in reversed(block.group_starts()[1:]):
        lines.insert(first + start, r"\addlinespace")
    return "\n".join(lines)


def _stacked(title: str) -> str:
    """Return the heading of a column in lines that are no wider than its numbers, broken at hyphens and blanks."""
    parts = [escape_latex(part) for part in textwrap.wrap(title, _HEADING, break_long_words=False)]
    return r"\shortstack[r]{" + r"\\".join(parts) + "}" if len(parts) > 1 else "".join(parts)


def _sentence(text: str) -> str:
    """Return a note that ends in a full stop."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
