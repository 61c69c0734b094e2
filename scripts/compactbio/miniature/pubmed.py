"""Files of an artificial PubMed baseline as NLM writes them, with the awkward records that the real ones have.

Every file has at least one record of each kind in `AWKWARD`; the others are plain. The even files are written without
white space between elements (as NLM does since 2025), the odd ones indented (as before).
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass
from html import escape

from compactbio.miniature.compressed_files import gzip_bytes
from compactbio.miniature.language import random_sentence
from compactbio.miniature.markup import Node, element, render
from compactbio.miniature.vocabulary import Lexicon

DOCTYPE = (
    '<?xml version="1.0" encoding="utf-8"?>\n'
    '<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD PubMedArticle, 1st January 2025//EN" '
    '"https://dtd.nlm.nih.gov/ncbi/pubmed/out/pubmed_250101.dtd">\n'
)
AWKWARD = (
    "two_versions",  # the same PMID twice, Version 1 and 2
    "structured",  # several AbstractText with Label
    "markup",  # i, b, sup, sub inside title and abstract
    "mathml",
    "entities",  # &lt; &amp; a numeric reference, Unicode
    "no_abstract",
    "empty_abstract",
    "empty_title",
    "translated",  # [Title]. with VernacularTitle and OtherAbstract
    "copyright",
    "references",  # PMIDs and titles of other articles inside the record
    "last_day",  # entered PubMed on the last day of the paper's corpus
    "next_day",  # and on the day after
)
OFTENNESS = [6 if kind == "structured" else 1 for kind in AWKWARD]
SECTIONS = ("BACKGROUND", "METHODS", "RESULTS", "CONCLUSIONS")
MATHML = (
    '<mml:math xmlns:mml="http://www.w3.org/1998/Math/MathML"><mml:msup><mml:mi>R</mml:mi><mml:mn>2</mml:mn></mml:msup>'
    "</mml:math>"
)
FIRST_PMID = 31_000_001


@dataclass(frozen=True)
class Citation:
    """One record before it is XML: text is escaped markup, `kind` a word of `AWKWARD` or "plain"."""

    pmid: int
    version: int
    kind: str
    title: str
    sections: tuple[str, ...]
    entrez: tuple[int, int, int]


def make_baseline(
    lexicon: Lexicon, seed: int, year: int, files: int, citations: int
) -> tuple[dict[str, bytes], list[str]]:
    """Return {file name: content} of the baseline's files and their .md5, and the citations' text with markup.

    Args:
        lexicon: the names.
        seed: of the draws.
        year: the baseline's year, for the names of the files.
        files: how many files.
        citations: records of all files together.
    """
    generator = random.Random(f"{seed}:pubmed")
    contents: dict[str, bytes] = {}
    texts: list[str] = []
    first = 0
    for number in range(1, files + 1):
        last = citations * number // files
        records = _citations(first, last, lexicon, generator)
        first = last
        indented = number % 2 == 1
        nodes = [_article(record, generator) for record in records]
        body = render(element("PubmedArticleSet", *nodes), indented=indented)
        name = f"pubmed{year % 100:02d}n{number:04d}.xml.gz"
        contents[name] = gzip_bytes((DOCTYPE + body).encode())
        contents[f"{name}.md5"] = f"MD5({name})= {hashlib.md5(contents[name]).hexdigest()}\n".encode()
        texts += [f"{record.title} {' '.join(record.sections)}" for record in records]
    return contents, texts


def _citations(first: int, last: int, lexicon: Lexicon, generator: random.Random) -> list[Citation]:
    """Return the records first..last-1 of the baseline, with each awkward kind spread among them."""
    count = last - first
    kinds = list(AWKWARD) + generator.choices(AWKWARD[1:], OFTENNESS[1:], k=max(0, count // 3 - len(AWKWARD)))
    # the second version of the first kind is a record of its own
    kinds = (kinds + ["plain"] * count)[: count - 1]
    generator.shuffle(kinds)
    records: list[Citation] = []
    for index, kind in enumerate(kinds):
        record = _citation(FIRST_PMID + first + index, kind, lexicon, generator)
        records.append(record)
        if kind == "two_versions":
            records.append(_citation(record.pmid, kind, lexicon, generator, version=2))
    return records


def _citation(pmid: int, kind: str, lexicon: Lexicon, generator: random.Random, version: int = 1) -> Citation:
    """Return one record about a few names, so that its sentences belong together."""
    pool = {group: generator.sample(lexicon.names(group), 4) for group in lexicon.familiar}
    sentences = [escape(random_sentence(lexicon, pool, generator).text) for _ in range(generator.randint(3, 6))]
    title, *rest = sentences
    sections = [" ".join(rest)]
    if kind == "structured":
        cut = max(1, len(rest) // len(SECTIONS))
        sections = [" ".join(rest[i : i + cut]) for i in range(0, len(rest), cut)][: len(SECTIONS)]
    elif kind == "markup":
        title = f"<i>{title.split(' ')[0]}</i> {' '.join(title.split(' ')[1:])}"
        sections = [
            f"<b>Aim</b>: {sections[0]} Levels of Ca<sup>2+</sup> and CO<sub>2</sub> were normal (<i>p</i> &lt; 0.05)."
        ]
    elif kind == "mathml":
        sections = [f"{sections[0]} The fit was good ({MATHML} = 0.74)."]
    elif kind == "entities":
        sections = [f"{sections[0]} TNF-α &amp; β-levels were &lt; 5 µg&#47;ml (na&#239;ve T cells, 37 °C)."]
    elif kind == "translated":
        title = f"[{title.removesuffix('.')}]."
    elif kind == "empty_title":
        title = ""
    if kind in ("no_abstract", "empty_abstract"):
        sections = []
    late = generator.random() < 0.08
    entrez = (
        generator.randint(2022, 2025) if late else generator.randint(1990, 2020),
        generator.randint(1, 12),
        generator.randint(1, 28),
    )
    entrez = {"last_day": (2021, 12, 12), "next_day": (2021, 12, 13)}.get(kind, entrez)
    return Citation(pmid, version, kind, title, tuple(sections), entrez)


def _article(record: Citation, generator: random.Random) -> Node:
    """Return the PubmedArticle of a record, its elements in the order of the DTD."""
    year, month, day = record.entrez
    abstract: list[Node] = []
    if record.kind == "structured":
        texts = [
            element("AbstractText", text, Label=label, NlmCategory=label)
            for label, text in zip(SECTIONS, record.sections, strict=False)
        ]
        abstract = [element("Abstract", *texts)]
    elif record.kind == "empty_abstract":
        abstract = [element("Abstract", element("AbstractText"))]
    elif record.sections:
        abstract = [element("Abstract", element("AbstractText", record.sections[0]))]
    if record.kind == "copyright":
        abstract[0].children.append(
            element("CopyrightInformation", f"Copyright © {year} Miniature Press. All rights reserved.")
        )
    translated = record.kind == "translated"
    article = element(
        "Article",
        element(
            "Journal",
            element("ISSN", f"{generator.randint(1000, 9999)}-{generator.randint(1000, 9999)}", IssnType="Print"),
            element(
                "JournalIssue",
                element("Volume", str(generator.randint(1, 90))),
                element("PubDate", element("Year", str(year)), element("Month", "Jan")),
                CitedMedium="Print",
            ),
            element("Title", "Journal of miniature medicine"),
            element("ISOAbbreviation", "J Mini Med"),
        ),
        element("ArticleTitle", *([record.title] if record.title else [])),
        element("Pagination", element("MedlinePgn", "1-9")),
        *abstract,
        element(
            "AuthorList",
            element(
                "Author", element("LastName", "Müster"), element("ForeName", "A"), element("Initials", "A"), ValidYN="Y"
            ),
            CompleteYN="Y",
        ),
        element("Language", "ger" if translated else "eng"),
        element("PublicationTypeList", element("PublicationType", "Journal Article", UI="D016428")),
        *([element("VernacularTitle", "Über eine seltene Krankheit.")] if translated else []),
        PubModel="Print",
    )
    other = element("AbstractText", "Diese Zusammenfassung steht in einer anderen Sprache und gehört nicht zum Text.")
    cited = element("PMID", str(record.pmid - 7), Version="1")
    comment = element("CommentsCorrections", element("RefSource", "J Mini Med. 1999;1:1"), cited, RefType="CommentIn")
    version = {"VersionID": str(record.version)} if record.version > 1 else {}
    medline = element(
        "MedlineCitation",
        element("PMID", str(record.pmid), Version=str(record.version)),
        element("DateRevised", *_date(2025, 1, 31)),
        article,
        element("MedlineJournalInfo", element("MedlineTA", "J Mini Med"), element("NlmUniqueID", "0000001")),
        element("CitationSubset", "IM"),
        *([element("CommentsCorrectionsList", comment)] if record.kind == "references" else []),
        *([element("OtherAbstract", other, Type="Publisher", Language="ger")] if translated else []),
        element("KeywordList", element("Keyword", "miniature", MajorTopicYN="N"), Owner="NOTNLM"),
        Status="MEDLINE",
        Owner="NLM",
        **version,
    )
    references = element(
        "ReferenceList",
        element(
            "Reference",
            element("Citation", "Müster A. A title of another article. J Mini Med. 1999;1:1-9."),
            element("ArticleIdList", element("ArticleId", str(record.pmid - 9), IdType="pubmed")),
        ),
    )
    data = element(
        "PubmedData",
        element(
            "History",
            element("PubMedPubDate", *_date(year - 1, month, day), PubStatus="received"),
            element("PubMedPubDate", *_date(year + 1, 1, 1), *_clock(), PubStatus="medline"),
            element("PubMedPubDate", *_date(year, month, day), *_clock(), PubStatus="entrez"),
        ),
        element("PublicationStatus", "ppublish"),
        element("ArticleIdList", element("ArticleId", str(record.pmid), IdType="pubmed")),
        *([references] if record.kind == "references" else []),
    )
    return element("PubmedArticle", medline, data)


def _date(year: int, month: int, day: int) -> list[Node]:
    """Return the elements of a date, the numbers without leading zeros as in PubMedPubDate."""
    return [element("Year", str(year)), element("Month", str(month)), element("Day", str(day))]


def _clock() -> list[Node]:
    """Return the elements of a time of day."""
    return [element("Hour", "6"), element("Minute", "0")]
