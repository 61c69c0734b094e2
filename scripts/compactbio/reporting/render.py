"""Tables as Markdown, LaTeX (booktabs) and HTML, from one description of them."""

from __future__ import annotations

import csv
import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

from compactbio.files import replacing_file

DASH = "–"
MARKS_NOTE = "Bold: highest mean of its column; underlined: second highest. The marks say nothing about significance."

_LATEX_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "_": r"\_",
    "%": r"\%",
    "&": r"\&",
    "#": r"\#",
    "$": r"\$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "–": "--",
    "−": "$-$",
}
_STYLE = (
    "body{font:15px/1.45 sans-serif;margin:1.5em;max-width:75em;color:#222}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "table{border-top:2px solid #222;border-bottom:2px solid #222}"
    "thead tr{border-bottom:1px solid #222}td,th{padding:.2em .8em}"
    "th{text-align:left}ul,p{color:#444;font-size:90%}"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one place: `text`, of which the marks `best` and `second` lift out the part before any ±."""

    text: str
    mark: str = ""


@dataclass
class Block:
    """One table: its heading, columns (the first one names the row), rows and the notes under it."""

    title: str
    label: str
    header: list[str]
    rows: list[list[Entry]]
    notes: list[str] = field(default_factory=list)
    numeric: bool = True  # right-aligned but for the first column


@dataclass
class Section:
    """A heading with its explanation and tables."""

    title: str
    text: list[str]
    blocks: list[Block]


@dataclass
class Document:
    """One file: title, paragraphs, sections."""

    title: str
    text: list[str]
    sections: list[Section]


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it stands here."""
    return "".join(_LATEX_SPECIAL.get(character, character) for character in text)


def escape_markdown(text: str) -> str:
    """Return text that Markdown prints as it stands here, also inside a table."""
    for character in ("\\", "|", "*", "<", "`"):
        text = text.replace(character, f"\\{character}")
    return text


@dataclass(frozen=True, slots=True)
class _Form:
    """How a form writes text and tables.

    Attributes:
        escape: gives text that is printed as it stands here.
        marks: what stands before and after a marked number.
        style: tabulate's name for such tables.
    """

    escape: Callable[[str], str]
    marks: Mapping[str, tuple[str, str]]
    style: str

    def table(self, block: Block) -> str:
        """Return the bare table: first column left, the others right if they are numbers."""
        rows = [[self._entry(entry) for entry in entries] for entries in block.rows]
        header = [self.escape(title) for title in block.header]
        align = ["left"] + ["right" if block.numeric else "left"] * (len(header) - 1) if rows else None
        return tabulate(rows, headers=header, tablefmt=self.style, disable_numparse=True, colalign=align)

    def _entry(self, entry: Entry) -> str:
        """Return an entry's text with its mean inside the strings of its mark."""
        if not entry.mark:
            return self.escape(entry.text)
        before, after = self.marks[entry.mark]
        mean, separator, rest = entry.text.partition(" ± ")
        return f"{before}{self.escape(mean)}{after}{self.escape(separator + rest)}"


_MARKDOWN = _Form(escape_markdown, {"best": ("**", "**"), "second": ("<u>", "</u>")}, "pipe")
_LATEX = _Form(escape_latex, {"best": (r"\textbf{", "}"), "second": (r"\underline{", "}")}, "latex_raw")
_HTML = _Form(html.escape, {"best": ("<strong>", "</strong>"), "second": ("<u>", "</u>")}, "unsafehtml")


def to_markdown(document: Document) -> str:
    """Return the document as Markdown with pipe tables."""
    parts = [f"# {document.title}", *document.text]
    for section in document.sections:
        if section.title:
            parts.append(f"## {section.title}")
        parts.extend(section.text)
        for block in section.blocks:
            parts += [f"### {block.title}", _MARKDOWN.table(block)]
            if block.notes:
                parts.append("\n".join(f"- {note}" for note in block.notes))
    return "\n\n".join(parts) + "\n"


def to_latex(document: Document) -> str:
    """Return the document's tables as LaTeX floats for a preamble with \\usepackage{booktabs}."""
    parts = [f"% {document.title}. Needs \\usepackage{{booktabs}} in the preamble."]
    parts.extend(f"% {text}" for text in document.text)
    for section in document.sections:
        for block in section.blocks:
            heading = ". ".join(part for part in (document.title, section.title, block.title) if part)
            notes = " ".join(escape_latex(_sentence(note)) for note in block.notes)
            lines = [
                r"\begin{table}[htbp]",
                r"\centering",
                rf"\caption{{{escape_latex(heading)}.}}",
                rf"\label{{tab:{block.label}}}",
                _booktabs(_LATEX.table(block)),
                *([rf"\par\smallskip{{\footnotesize {notes}\par}}"] if notes else []),
                r"\end{table}",
            ]
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def to_html(document: Document) -> str:
    """Return the document as one HTML page that needs nothing else, for the Snakemake report."""
    parts = [f"<h1>{html.escape(document.title)}</h1>", *_paragraphs(document.text)]
    for section in document.sections:
        if section.title:
            parts.append(f"<h2>{html.escape(section.title)}</h2>")
        parts.extend(_paragraphs(section.text))
        for block in section.blocks:
            parts += [f"<h3>{html.escape(block.title)}</h3>", _HTML.table(block)]
            if block.notes:
                items = "".join(f"<li>{html.escape(note)}</li>" for note in block.notes)
                parts.append(f"<ul>{items}</ul>")
    title = html.escape(document.title)
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


FORMS: dict[str, Callable[[Document], str]] = {"md": to_markdown, "tex": to_latex, "html": to_html}


def write_document(document: Document, folder: Path, name: str, forms: Iterable[str] = ("md", "html")) -> None:
    """Write a document as <name>.<form> for each of the forms, keys of `FORMS`."""
    for form in forms:
        with replacing_file(folder / f"{name}.{form}") as temporary:
            temporary.write_text(FORMS[form](document), encoding="utf-8")


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write rows as CSV with a header; what a row lacks is empty."""
    with replacing_file(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, restval="", extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _booktabs(table: str) -> str:
    """Return tabulate's unescaped LaTeX table with the three booktabs rules for its lines.

    Its own booktabs style escapes every cell, and so would print the marks instead of setting them.
    """
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        table = table.replace(r"\hline", rule, 1)
    return table


def _paragraphs(texts: Sequence[str]) -> list[str]:
    """Return paragraphs of HTML."""
    return [f"<p>{html.escape(text)}</p>" for text in texts]


def _sentence(text: str) -> str:
    """Return a note that ends in a full stop."""
    return text if text.endswith((".", "?", "!")) else f"{text}."


def row(*texts: str) -> list[Entry]:
    """Return a row of entries without marks."""
    return [Entry(text) for text in texts]


def gap_note(reason: str, names: Sequence[str]) -> list[str]:
    """Return the note that says of which names the dashes are, and why; none without a name."""
    return [f"{DASH} = {reason}: {', '.join(names)}."] if names else []


def number(value: float | None, decimals: int = 2) -> str:
    """Return a number with fixed decimals, or a dash."""
    return DASH if value is None else f"{value:.{decimals}f}"


def signed(value: float | None, decimals: int = 2) -> str:
    """Return a difference with its sign, or a dash; what rounds to zero has no sign."""
    if value is None:
        return DASH
    text = f"{value:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text


def mean_and_std(mean: float | None, std: float | None) -> str:
    """Return `86.71 ± 0.12`, the mean alone without a standard deviation, or a dash."""
    if mean is None:
        return DASH
    return number(mean) if std is None else f"{number(mean)} ± {number(std)}"
