"""Tables as Markdown, LaTeX (booktabs) and HTML, from one description of them."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from tabulate import tabulate

DASH = "–"
MARKS_NOTE = "Bold: highest mean of its column; underlined: second highest. The marks say nothing about significance."

_NUMBER = r"[<+\-−±\[(]* ?\d[\d,]*(\.\d+)?(e[+-]?\d+)?[%,)\]]*"
_NUMERIC = re.compile(rf"{_NUMBER}( ({_NUMBER}|±|to|or|of|[A-Za-z]{{1,5}}))*")
_STYLE = (
    "body{font:15px/1.45 sans-serif;margin:1.5em;max-width:75em;color:#222}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "table{border-top:2px solid #222;border-bottom:2px solid #222}"
    "thead tr{border-bottom:1px solid #222}td,th{padding:.2em .8em}"
    "tr.group td{border-top:1px solid #ccc}[data-cell],tr.group td:first-child{white-space:nowrap}"
    "th{text-align:left}ul,p{color:#444;font-size:90%}"
    ".framed nav{display:none}.framed a{color:inherit;text-decoration:none;pointer-events:none}"
    ".lead{font-size:125%;color:#222;font-weight:bold}"
    ".notice{border-left:6px solid #d55e00;background:#fdf0e6;color:#222;padding:.5em .8em;font-weight:bold}"
)
# Snakemake's report shows each page by itself in a frame, where paths lead nowhere.
_IN_A_FRAME = "<script>if(self!==top)document.documentElement.className='framed'</script>"


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one place: `text`, of which the marks `best` and `second` lift out the part before any ±.

    `link` is a path seen from the document's own folder, `{form}` its suffix where there is a page a form; LaTeX leaves
    it out.
    `cell` is the score cell that it is printed of, which HTML says beside it: that is how the check of results finds
    what is printed of one cell in several tables.
    """

    text: str
    mark: str = ""
    link: str = ""
    cell: str = ""


@dataclass
class Block:
    """One table: its heading, columns (the first one names the row), rows and the notes under it.

    A wide one is for a page in landscape; its rows stand in groups, which begin where the first column has text.
    """

    title: str
    label: str
    header: list[str]
    rows: list[list[Entry]]
    notes: list[str] = field(default_factory=list)
    wide: bool = False

    def group_starts(self) -> list[int]:
        """Return the numbers of the rows with which groups begin; none where it has no groups."""
        return [number for number, entries in enumerate(self.rows) if entries[0].text] if self.wide else []


@dataclass
class Section:
    """A heading with its explanation and tables."""

    title: str
    text: list[str]
    blocks: list[Block]


@dataclass
class Document:
    """One file: title, paragraphs, sections; over all of them the notice, where the data call for one."""

    title: str
    text: list[str]
    sections: list[Section]
    notice: str = ""
    home: str = ""  # path of the first page, seen from this one
    lead: str = ""  # a sentence that stands out before the text


def escape_markdown(text: str) -> str:
    """Return text that Markdown prints as it stands here, also inside a table."""
    return re.sub(r"([\\|*<`])", r"\\\1", text)


def _alignment(column: Sequence[Entry]) -> str:
    """Return where the entries of a column stand: right if all are numbers, with few words beside them, or gaps."""
    texts = [entry.text for entry in column if entry.text]
    return "right" if all(text == DASH or _NUMERIC.fullmatch(text) for text in texts) else "left"


@dataclass(frozen=True, slots=True)
class Form:
    """How a form writes text and tables."""

    escape: Callable[[str], str]  # gives text that is printed as it stands here
    link: str  # of an escaped text and a path
    suffix: str  # of files of this form
    marks: Mapping[str, tuple[str, str]]  # what stands before and after a marked number
    style: str  # tabulate's name for such tables
    cell: str = "{text}"  # of a formatted text and the score cell that it is printed of

    def linked(self, text: str, path: str) -> str:
        """Return escaped text that leads to a path, in which `{form}` stands for this form's suffix."""
        return self.link.format(text=text, path=path.format(form=self.suffix))

    def table(self, block: Block) -> str:
        """Return the bare table: columns of numbers right, text left."""
        rows = [[self._entry(entry) for entry in entries] for entries in block.rows]
        header = [self.escape(title) for title in block.header]
        align = ["left", *map(_alignment, list(zip(*block.rows, strict=True))[1:])] if rows else None
        return tabulate(rows, headers=header, tablefmt=self.style, disable_numparse=True, colalign=align)

    def _entry(self, entry: Entry) -> str:
        """Return an entry's text, its mean inside the strings of its mark, with what it leads to or is printed of."""
        text = self.escape(entry.text)
        if entry.mark:
            before, after = self.marks[entry.mark]
            mean, separator, rest = entry.text.partition(" ± ")
            text = f"{before}{self.escape(mean)}{after}{self.escape(separator + rest)}"
        if entry.cell:
            text = self.cell.format(text=text, place=html.escape(entry.cell))
        return self.linked(text, entry.link) if entry.link else text


_HOME = "First page"
_MARKDOWN = Form(escape_markdown, "[{text}]({path})", "md", {"best": ("**", "**"), "second": ("<u>", "</u>")}, "pipe")
_HTML = Form(
    html.escape,
    '<a href="{path}">{text}</a>',
    "html",
    {"best": ("<strong>", "</strong>"), "second": ("<u>", "</u>")},
    "unsafehtml",
    '<span data-cell="{place}">{text}</span>',
)


def to_markdown(document: Document) -> str:
    """Return the document as Markdown with pipe tables."""
    parts = [_MARKDOWN.linked(_HOME, f"{document.home}.{{form}}")] if document.home else []
    parts += [f"# {document.title}", *([f"> **{document.notice}**"] if document.notice else [])]
    parts += [f"**{document.lead}**"] if document.lead else []
    parts += document.text
    for section in document.sections:
        parts += [f"## {section.title}"] if section.title else []
        parts += section.text
        for block in section.blocks:
            parts += [f"### {block.title}", _MARKDOWN.table(block)]
            parts += ["\n".join(f"- {note}" for note in block.notes)] if block.notes else []
    return "\n\n".join(parts) + "\n"


def to_html(document: Document) -> str:
    """Return the document as one HTML page that needs nothing else, for the Snakemake report."""
    parts = [f"<nav>{_HTML.linked(_HOME, f'{document.home}.{{form}}')}</nav>"] if document.home else []
    parts += [_tagged("h1", document.title)]
    parts += [f'<p class="notice">{html.escape(document.notice)}</p>'] if document.notice else []
    parts += [f'<p class="lead">{html.escape(document.lead)}</p>'] if document.lead else []
    parts += [_tagged("p", text) for text in document.text]
    for section in document.sections:
        parts += [_tagged("h2", section.title)] if section.title else []
        parts += [_tagged("p", text) for text in section.text]
        for block in section.blocks:
            parts += [_tagged("h3", block.title), _html_table(block)]
            notes = "".join(_tagged("li", note) for note in block.notes)
            parts += [f"<ul>{notes}</ul>"] if notes else []
    head = f'<meta charset="utf-8">{_tagged("title", document.title)}<style>{_STYLE}</style>{_IN_A_FRAME}'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def _html_table(block: Block) -> str:
    """Return a table in which a line parts groups of rows."""
    lines = _HTML.table(block).splitlines()
    for start in block.group_starts():
        place = lines.index("<tbody>") + 1 + start
        lines[place] = lines[place].replace("<tr>", '<tr class="group">', 1)
    return "\n".join(lines)


def to_rst(notice: str, paragraphs: Sequence[str]) -> str:
    """Return a notice and paragraphs, of which the first is emphasised, in the form of the report's own texts."""
    texts = [re.sub(r"([\\*`|_])", r"\\\1", text) for text in (notice, *paragraphs)]
    parts = [f"**{texts[0]}**"] if notice else []
    return "\n\n".join([*parts, f"**{texts[1]}**", *texts[2:]]) + "\n"


def _tagged(tag: str, text: str) -> str:
    """Return text as an element of HTML."""
    return f"<{tag}>{html.escape(text)}</{tag}>"


def row(*texts: str) -> list[Entry]:
    """Return a row of entries without marks."""
    return [Entry(text) for text in texts]


def gap_note(reason: str, names: Sequence[str]) -> list[str]:
    """Return the note that says of which names the dashes are, and why; none without a name."""
    return [f"{DASH} = {reason}: {', '.join(names)}."] if names else []


def number(value: float | None, decimals: int = 2) -> str:
    """Return a number with fixed decimals, or a dash."""
    return DASH if value is None else f"{value:.{decimals}f}"


def count_text(value: float) -> str:
    """Return `1,234`, or `1,234.5` where it is a mean of unequal counts."""
    return f"{value:,.1f}".removesuffix(".0")


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


def interval_text(ends: tuple[float, float] | None) -> str:
    """Return `[85.12, 87.20]`, or a dash."""
    return f"[{number(ends[0])}, {number(ends[1])}]" if ends else DASH
