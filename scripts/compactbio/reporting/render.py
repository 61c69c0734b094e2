"""Tables as Markdown, LaTeX (booktabs) and HTML, from one description of them."""

from __future__ import annotations

import csv
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tabulate import tabulate

from compactbio.errors import UserError
from compactbio.files import replacing_file, write_text

DASH = "–"
MARKS_NOTE = "Bold: highest mean of its column; underlined: second highest. The marks say nothing about significance."

_LATEX_SPECIAL = str.maketrans(
    {character: f"\\{character}" for character in "{}_%&#$"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "±": r"$\pm$", "×": r"$\times$", "–": "--", "−": "$-$"}
)
_STYLE = (
    "body{font:15px/1.45 sans-serif;margin:1.5em;max-width:75em;color:#222}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "table{border-top:2px solid #222;border-bottom:2px solid #222}"
    "thead tr{border-bottom:1px solid #222}td,th{padding:.2em .8em}"
    "th{text-align:left}ul,p{color:#444;font-size:90%}"
    ".framed nav{display:none}.framed a{color:inherit;text-decoration:none;pointer-events:none}"
    ".notice{border-left:6px solid #d55e00;background:#fdf0e6;color:#222;padding:.5em .8em;font-weight:bold}"
)
# Snakemake's report shows each page by itself in a frame, where paths lead nowhere.
_IN_A_FRAME = "<script>if(self!==top)document.documentElement.className='framed'</script>"


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in one place: `text`, of which the marks `best` and `second` lift out the part before any ±.

    `link` is a path seen from the document's own folder, `{form}` its suffix where there is a page a form; LaTeX leaves
    it out.
    """

    text: str
    mark: str = ""
    link: str = ""


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
    """One file: title, paragraphs, sections; over all of them the notice, where the data call for one."""

    title: str
    text: list[str]
    sections: list[Section]
    notice: str = ""
    home: str = ""  # path of the first page, seen from this one


def escape_latex(text: str) -> str:
    """Return text that LaTeX prints as it stands here."""
    return text.translate(_LATEX_SPECIAL)


def escape_markdown(text: str) -> str:
    """Return text that Markdown prints as it stands here, also inside a table."""
    return re.sub(r"([\\|*<`])", r"\\\1", text)


@dataclass(frozen=True, slots=True)
class _Form:
    """How a form writes text and tables."""

    escape: Callable[[str], str]  # gives text that is printed as it stands here
    link: str  # of an escaped text and a path
    suffix: str  # of files of this form
    marks: Mapping[str, tuple[str, str]]  # what stands before and after a marked number
    style: str  # tabulate's name for such tables

    def linked(self, text: str, path: str) -> str:
        """Return escaped text that leads to a path, in which `{form}` stands for this form's suffix."""
        return self.link.format(text=text, path=path.format(form=self.suffix))

    def table(self, block: Block) -> str:
        """Return the bare table: first column left, the others right if they are numbers."""
        rows = [[self._entry(entry) for entry in entries] for entries in block.rows]
        header = [self.escape(title) for title in block.header]
        align = ["left"] + ["right" if block.numeric else "left"] * (len(header) - 1) if rows else None
        return tabulate(rows, headers=header, tablefmt=self.style, disable_numparse=True, colalign=align)

    def _entry(self, entry: Entry) -> str:
        """Return an entry's text with its mean inside the strings of its mark."""
        if not entry.mark:
            text = self.escape(entry.text)
            return self.linked(text, entry.link) if entry.link else text
        before, after = self.marks[entry.mark]
        mean, separator, rest = entry.text.partition(" ± ")
        return f"{before}{self.escape(mean)}{after}{self.escape(separator + rest)}"


_HOME = "First page"
_MARKDOWN = _Form(escape_markdown, "[{text}]({path})", "md", {"best": ("**", "**"), "second": ("<u>", "</u>")}, "pipe")
_LATEX = _Form(
    escape_latex, "{text}", "tex", {"best": (r"\textbf{", "}"), "second": (r"\underline{", "}")}, "latex_raw"
)
_HTML = _Form(
    html.escape,
    '<a href="{path}">{text}</a>',
    "html",
    {"best": ("<strong>", "</strong>"), "second": ("<u>", "</u>")},
    "unsafehtml",
)


def to_markdown(document: Document) -> str:
    """Return the document as Markdown with pipe tables."""
    parts = [_MARKDOWN.linked(_HOME, f"{document.home}.{{form}}")] if document.home else []
    parts += [f"# {document.title}", *([f"> **{document.notice}**"] if document.notice else []), *document.text]
    for section in document.sections:
        parts += [f"## {section.title}"] if section.title else []
        parts += section.text
        for block in section.blocks:
            parts += [f"### {block.title}", _MARKDOWN.table(block)]
            parts += ["\n".join(f"- {note}" for note in block.notes)] if block.notes else []
    return "\n\n".join(parts) + "\n"


def to_latex(document: Document) -> str:
    """Return the document's tables as LaTeX floats for a preamble with \\usepackage{booktabs}."""
    parts = [f"% {document.title}. Needs \\usepackage{{booktabs}} in the preamble."]
    parts.extend(f"% {text}" for text in document.text)
    for section in document.sections:
        for block in section.blocks:
            titles = (document.title, section.title, block.title, document.notice.removesuffix("."))
            heading = ". ".join(part for part in titles if part)  # each float has the notice: it is copied by itself
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
    parts = [f"<nav>{_HTML.linked(_HOME, f'{document.home}.{{form}}')}</nav>"] if document.home else []
    parts += [_tagged("h1", document.title)]
    parts += [f'<p class="notice">{html.escape(document.notice)}</p>'] if document.notice else []
    parts += [_tagged("p", text) for text in document.text]
    for section in document.sections:
        parts += [_tagged("h2", section.title)] if section.title else []
        parts += [_tagged("p", text) for text in section.text]
        for block in section.blocks:
            parts += [_tagged("h3", block.title), _HTML.table(block)]
            notes = "".join(_tagged("li", note) for note in block.notes)
            parts += [f"<ul>{notes}</ul>"] if notes else []
    head = f'<meta charset="utf-8">{_tagged("title", document.title)}<style>{_STYLE}</style>{_IN_A_FRAME}'
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n' + "\n".join(parts) + "\n</body></html>\n"


def to_rst(notice: str, paragraphs: Sequence[str]) -> str:
    """Return a notice and paragraphs, of which the first is emphasised, in the form of the report's own texts."""
    texts = [re.sub(r"([\\*`|_])", r"\\\1", text) for text in (notice, *paragraphs)]
    parts = [f".. warning::\n   {texts[0]}"] if notice else []
    return "\n\n".join([*parts, f"**{texts[1]}**", *texts[2:]]) + "\n"


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
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _booktabs(table: str) -> str:
    """Return tabulate's unescaped LaTeX table with the three booktabs rules for its lines.

    Its own booktabs style escapes every cell, and so would print the marks instead of setting them.
    """
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        table = table.replace(r"\hline", rule, 1)
    return table


def _tagged(tag: str, text: str) -> str:
    """Return text as an element of HTML."""
    return f"<{tag}>{html.escape(text)}</{tag}>"


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


def interval_text(ends: tuple[float, float] | None) -> str:
    """Return `[85.12, 87.20]`, or a dash."""
    return f"[{number(ends[0])}, {number(ends[1])}]" if ends else DASH
