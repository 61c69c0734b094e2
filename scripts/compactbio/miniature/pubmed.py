"""Files of an artificial PubMed baseline as NLM writes them, with the awkward records that the real ones have.

Every file has at least one record of each kind in `AWKWARD`; the others are plain. The even files are written without
white space between elements (as NLM does since 2025), the odd ones indented (as before).
"""

from __future__ import annotations

import hashlib
import random
import re
from dataclasses import dataclass
from html import escape

from compactbio.miniature.compressed_files import gzip_bytes
from compactbio.miniature.language import random_sentence
from compactbio.miniature.vocabulary import Lexicon


def _join(lines: str) -> str:
    """Return XML without line breaks and indentation."""
    return "".join(line.strip() for line in lines.splitlines())


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
# the elements of a record in the order of the DTD; `_join` takes the line breaks out
RECORD = _join("""
    <PubmedArticle>
    <MedlineCitation Status="MEDLINE" Owner="NLM"{version_id}>
    <PMID Version="{version}">{pmid}</PMID>
    <DateRevised><Year>2025</Year><Month>1</Month><Day>31</Day></DateRevised>
    <Article PubModel="Print">
    <Journal>
    <ISSN IssnType="Print">{issn}</ISSN>
    <JournalIssue CitedMedium="Print"><Volume>{volume}</Volume>
    <PubDate><Year>{year}</Year><Month>Jan</Month></PubDate></JournalIssue>
    <Title>Journal of miniature medicine</Title><ISOAbbreviation>J Mini Med</ISOAbbreviation>
    </Journal>
    {title}<Pagination><MedlinePgn>1-9</MedlinePgn></Pagination>{abstract}
    <AuthorList CompleteYN="Y"><Author ValidYN="Y">
    <LastName>Müster</LastName><ForeName>A</ForeName><Initials>A</Initials>
    </Author></AuthorList>
    <Language>{language}</Language>
    <PublicationTypeList><PublicationType UI="D016428">Journal Article</PublicationType></PublicationTypeList>
    {vernacular}
    </Article>
    <MedlineJournalInfo><MedlineTA>J Mini Med</MedlineTA><NlmUniqueID>0000001</NlmUniqueID></MedlineJournalInfo>
    <CitationSubset>IM</CitationSubset>
    {comments}{other_abstract}
    <KeywordList Owner="NOTNLM"><Keyword MajorTopicYN="N">miniature</Keyword></KeywordList>
    </MedlineCitation>
    <PubmedData>
    <History>
    <PubMedPubDate PubStatus="received">{received}</PubMedPubDate>
    <PubMedPubDate PubStatus="medline">{indexed}<Hour>6</Hour><Minute>0</Minute></PubMedPubDate>
    <PubMedPubDate PubStatus="entrez">{entrez}<Hour>6</Hour><Minute>0</Minute></PubMedPubDate>
    </History>
    <PublicationStatus>ppublish</PublicationStatus>
    <ArticleIdList><ArticleId IdType="pubmed">{pmid}</ArticleId></ArticleIdList>
    {references}
    </PubmedData>
    </PubmedArticle>
""")
COMMENTS = _join("""
    <CommentsCorrectionsList><CommentsCorrections RefType="CommentIn">
    <RefSource>J Mini Med. 1999;1:1</RefSource><PMID Version="1">{}</PMID>
    </CommentsCorrections></CommentsCorrectionsList>
""")
OTHER_ABSTRACT = _join("""
    <OtherAbstract Type="Publisher" Language="ger">
    <AbstractText>Diese Zusammenfassung steht in einer anderen Sprache und gehört nicht zum Text.</AbstractText>
    </OtherAbstract>
""")
REFERENCES = _join("""
    <ReferenceList><Reference>
    <Citation>Müster A. A title of another article. J Mini Med. 1999;1:1-9.</Citation>
    <ArticleIdList><ArticleId IdType="pubmed">{}</ArticleId></ArticleIdList>
    </Reference></ReferenceList>
""")
# where an element begins or ends right after another; markup inside a text does not count
BETWEEN_ELEMENTS = re.compile(r"(?<=>)(?=<(?!/?(?:i|b|sub|sup|mml:\w+)\b))")


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

    The year is in the files' names; `citations` are those of all files together.
    """
    generator = random.Random(f"{seed}:pubmed")
    contents: dict[str, bytes] = {}
    texts: list[str] = []
    first = 0
    for number in range(1, files + 1):
        last = citations * number // files
        records = _citations(first, last, lexicon, generator)
        first = last
        articles = "".join(_article(record, generator) for record in records)
        body = f"<PubmedArticleSet>{articles}</PubmedArticleSet>"
        name = f"pubmed{year % 100:02d}n{number:04d}.xml.gz"
        contents[name] = gzip_bytes(f"{DOCTYPE}{_indented(body) if number % 2 else body}\n".encode())
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


def _article(record: Citation, generator: random.Random) -> str:
    """Return the PubmedArticle of a record, without white space between elements."""
    year, month, day = record.entrez
    abstract = "".join(f"<AbstractText>{text}</AbstractText>" for text in record.sections)
    if record.kind == "structured":
        abstract = "".join(
            f'<AbstractText Label="{label}" NlmCategory="{label}">{text}</AbstractText>'
            for label, text in zip(SECTIONS, record.sections, strict=False)
        )
    elif record.kind == "empty_abstract":
        abstract = "<AbstractText/>"
    elif record.kind == "copyright":
        abstract += (
            f"<CopyrightInformation>Copyright © {year} Miniature Press. All rights reserved.</CopyrightInformation>"
        )
    translated, refers = record.kind == "translated", record.kind == "references"
    return RECORD.format(
        pmid=record.pmid,
        version=record.version,
        version_id=f' VersionID="{record.version}"' if record.version > 1 else "",
        issn=f"{generator.randint(1000, 9999)}-{generator.randint(1000, 9999)}",
        volume=generator.randint(1, 90),
        title=f"<ArticleTitle>{record.title}</ArticleTitle>" if record.title else "<ArticleTitle/>",
        abstract=f"<Abstract>{abstract}</Abstract>" if abstract else "",
        language="ger" if translated else "eng",
        vernacular="<VernacularTitle>Über eine seltene Krankheit.</VernacularTitle>" if translated else "",
        other_abstract=OTHER_ABSTRACT if translated else "",
        comments=COMMENTS.format(record.pmid - 7) if refers else "",
        references=REFERENCES.format(record.pmid - 9) if refers else "",
        received=_date(year - 1, month, day),
        indexed=_date(year + 1, 1, 1),
        entrez=_date(year, month, day),
        year=year,
    )


def _date(year: int, month: int, day: int) -> str:
    """Return the elements of a date, the numbers without leading zeros as in PubMedPubDate."""
    return f"<Year>{year}</Year><Month>{month}</Month><Day>{day}</Day>"


def _indented(xml: str) -> str:
    """Return each element on a line of its own, two blanks a level; markup inside a text stays in its line."""
    lines, depth = [], 0
    for line in BETWEEN_ELEMENTS.split(xml):
        depth -= line.startswith("</")
        lines.append("  " * depth + line)
        depth += "</" not in line and not line.endswith("/>")
    return "\n".join(lines)
