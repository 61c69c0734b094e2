"""A PubMed record's title, abstract and date, by the rules of the two text modes.

`full`: all sections of the abstract joined by a space, markup reduced to the text in it, Unicode kept.

`reference`: what the corpus loader of the paper made (huggingface/datasets, datasets/pubmed/pubmed.py at
2eb44310). Only the FIRST AbstractText counts, also where it is empty. An element without child elements gives
its text. One with child elements gives its serialisation by ElementTree in ASCII, so that tags stay and other
characters become `&#NNN;`; it is stripped and loses as many characters at its start and end as the bare tags
have, so that the attributes of an element that has some stand at the start of the text: `Label="AIM">...`.
(That loader also puts a space before a child element with no text in front of it; after stripping the space
can only be left behind `>` of such attributes, where it changes no word piece, and it is not added here.)

In both modes the title loses every `[` and `]` (NLM puts translated titles in brackets), and title, abstract
and their join are stripped (the paper's preprocessing.py).

Records are read by their bytes where that is safe; wherever it could be wrong, ElementTree reads them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple
from xml.etree import ElementTree

from compactbio.corpus.medline import Record

FULL, REFERENCE = "full", "reference"
Date = tuple[int, int, int]  # year, month, day

_PMID = re.compile(rb'<PMID(?: Version="(\d+)")?>(\d+)</PMID>')
_LONGEST_PMID = 18  # digits, which fit into 64 bits
_SECTION_START = re.compile(rb'\s*<AbstractText(?: [\w:.-]+="[^"<>&]*")*')
_ENTREZ = b'<PubMedPubDate PubStatus="entrez">'
_DATE = re.compile(rb"\s*<Year>(\d+)</Year>\s*<Month>(\d+)</Month>\s*<Day>(\d+)</Day>")
_MARKUP = re.compile(rb"<(/?)([A-Za-z_]\w*)>")
_ENTITIES = ((b"&lt;", b"<"), (b"&gt;", b">"), (b"&quot;", b'"'), (b"&apos;", b"'"), (b"&amp;", b"&"))
_TITLE_START, _TITLE_END = b"<ArticleTitle>", b"</ArticleTitle>"
_SECTION_END = b"</AbstractText>"


class Citation(NamedTuple):
    """What a corpus needs of a record.

    Attributes:
        pmid, version: the record's number and version (1 where it says none).
        text: title and abstract in the wanted mode; empty where the record has neither.
        has_abstract: whether the abstract in the wanted mode has text.
        structured: whether the abstract has several sections, whatever the mode keeps of them.
        bracketed: whether the title starts with a bracket, as translated titles do.
        entrez: the day on which the record entered PubMed, None where it says none (or was not asked for).
    """

    pmid: int
    version: int
    text: str
    has_abstract: bool
    structured: bool
    bracketed: bool
    entrez: Date | None


def read_citation(record: Record, mode: str, *, with_date: bool = False) -> Citation:
    """Return the citation of a record of kind ARTICLE.

    Raises:
        ElementTree.ParseError: the record is not well-formed XML.
        ValueError: it has no PMID.
    """
    citation = None if record.doubtful else _read_by_bytes(record.xml, mode, with_date)
    return citation or _read_by_parser(record, mode)


def _citation(
    pmid: int, version: int, title: str, sections: list[str], structured: bool, entrez: Date | None
) -> Citation:
    """Return the citation of a title and of the sections that count, both as the mode wants them."""
    plain_title = title.replace("[", "").replace("]", "").strip()  # `translate` takes ten times as long
    stripped = [stripped for section in sections if (stripped := section.strip())]
    abstract = " ".join(stripped)
    text = f"{plain_title} {abstract}".strip()
    bracketed = title.lstrip().startswith("[")
    return Citation(pmid, version, text, bool(abstract), structured, bracketed, entrez)


def _read_by_bytes(xml: bytes, mode: str, with_date: bool) -> Citation | None:
    """Return the citation of a well-formed record without comments and CDATA, or None if in doubt."""
    pmid = _PMID.search(xml)
    if pmid is None or len(pmid[2]) > _LONGEST_PMID:
        return None
    find = xml.find
    article_end = find(b"</Article>", pmid.end())
    if article_end < 0:
        return None
    entrez = None
    if with_date:
        place = find(_ENTREZ, article_end)
        date = _DATE.match(xml, place + len(_ENTREZ)) if place >= 0 else None
        if date is None:
            return None
        entrez = (int(date[1]), int(date[2]), int(date[3]))
    try:
        title = _title_by_bytes(xml, pmid.end(), article_end, mode)
        found = _sections_by_bytes(xml, pmid.end(), article_end, mode)
    except (ElementTree.ParseError, UnicodeDecodeError):
        return None  # such as a prefix declared at the root: the parser gets the whole record
    if title is None or found is None:
        return None
    sections, number = found
    return _citation(int(pmid[2]), int(pmid[1] or 1), title, sections, number > 1, entrez)


def _title_by_bytes(xml: bytes, first: int, last: int, mode: str) -> str | None:
    """Return the title between two positions, "" where there is none, None if in doubt."""
    start = xml.find(b"<ArticleTitle", first, last)
    if start < 0 or xml.startswith(b"<ArticleTitle/>", start):
        return ""
    if not xml.startswith(_TITLE_START, start):
        return None
    end = xml.find(_TITLE_END, start, last)
    if end < 0:
        return None
    return _content_text(_TITLE_START, xml[start + len(_TITLE_START) : end], _TITLE_END, mode)


def _sections_by_bytes(xml: bytes, first: int, last: int, mode: str) -> tuple[list[str], int] | None:
    """Return the sections that the mode keeps and the number of all; None if in doubt."""
    start = xml.find(b"<Abstract", first, last)
    if start < 0:
        return [], 0
    if not xml.startswith(b"<Abstract>", start):
        return ([], 0) if xml.startswith(b"<Abstract/>", start) else None
    last = xml.find(b"</Abstract>", start, last)
    if last < 0:
        return None
    content = xml[start + len(b"<Abstract>") : last]
    pieces = content.split(_SECTION_END)[:-1]
    if content.count(b"<AbstractText") != len(pieces):
        return None  # an empty element has no end tag
    sections = []
    for piece in pieces if mode == FULL else pieces[:1]:
        tag, _, text = piece.partition(b">")
        if not _starts_section(tag):
            return None
        sections.append(_content_text(tag + b">", text, _SECTION_END, mode))
    return sections, len(pieces)


@lru_cache(maxsize=4096)  # there are few, and this is looked at ten million times
def _starts_section(tag: bytes) -> bool:
    """Return whether a start tag without its `>`, white space before it, is a sound one of a section with text."""
    return _SECTION_START.fullmatch(tag) is not None


def _content_text(start: bytes, content: bytes, end: bytes, mode: str) -> str:
    """Return the text of an element, given by its start tag, its content and its end tag."""
    if not (b"<" in content or b"&" in content or b"\r" in content):
        return content.decode()
    plain = content
    if mode == FULL and b"<" in content and _is_nested(content):  # most markup is <i>, <sub>: no parser is needed
        plain = _MARKUP.sub(b"", content)
    text = _plain_text(plain)
    return _element_text(ElementTree.fromstring(start + content + end), mode) if text is None else text


def _is_nested(content: bytes) -> bool:
    """Return whether the elements without attributes in a content end in the order that XML asks for."""
    open_names = []
    for is_end, name in _MARKUP.findall(content):
        if not is_end:
            open_names.append(name)
        elif not open_names or open_names.pop() != name:
            return False
    return not open_names


def _plain_text(content: bytes) -> str | None:
    """Return the text of an element's content; None where it has child elements or numbered characters."""
    if b"<" in content or b"\r" in content:
        return None
    if b"&" in content:
        known = sum(content.count(entity) for entity, _ in _ENTITIES)
        if known != content.count(b"&"):
            return None
        for entity, character in _ENTITIES:  # the ampersand last: &amp;lt; is the text "&lt;"
            content = content.replace(entity, character)
    return content.decode()


def _element_text(element: ElementTree.Element, mode: str) -> str:
    """Return an element's text as the mode wants it."""
    if len(element) == 0:
        return (element.text or "").strip()
    if mode == FULL:
        return "".join(element.itertext()).strip()
    serialised = ElementTree.tostring(element).decode("ascii").strip()
    return serialised[len(f"<{element.tag}>") : -len(f"</{element.tag}>")]


def _read_by_parser(record: Record, mode: str) -> Citation:
    """Return the citation of a record read by ElementTree."""
    root = ElementTree.fromstring(b"<set" + record.namespaces + b">" + record.xml + b"</set>")
    citation = root.find("PubmedArticle/MedlineCitation")
    if citation is None:
        raise ValueError("it has no MedlineCitation")
    pmid = citation.find("PMID")
    number = "" if pmid is None else (pmid.text or "").strip()
    if pmid is None or not number.isdecimal() or len(number) > _LONGEST_PMID:
        raise ValueError("it has no PMID" if not number else f"its PMID is {number[:40]!r}")
    title = citation.find("Article/ArticleTitle")
    sections = citation.findall("Article/Abstract/AbstractText")
    wanted = sections if mode == FULL else sections[:1]
    return _citation(
        int(number),
        int(pmid.get("Version", "1")),
        "" if title is None else _element_text(title, mode),
        [_element_text(section, mode) for section in wanted],
        len(sections) > 1,
        _entrez_date(root),
    )


def _entrez_date(root: ElementTree.Element) -> Date | None:
    """Return the date of status "entrez" in a parsed record's history; None where it is missing or no date."""
    date = root.find("PubmedArticle/PubmedData/History/PubMedPubDate[@PubStatus='entrez']")
    if date is None:
        return None
    try:
        year, month, day = (int(date.findtext(part, "").strip()) for part in ("Year", "Month", "Day"))
    except ValueError:
        return None
    return year, month, day
