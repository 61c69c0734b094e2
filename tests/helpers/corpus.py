"""Awkward PubMed records, and a plain parser of them as the oracle."""

from __future__ import annotations

import gzip
import hashlib
import random
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

from lxml import etree

HEAD = '<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet PUBLIC "-//NLM//DTD" "x.dtd">\n'
MATH = "http://www.w3.org/1998/Math/MathML"
PIECES = [  # XML content, each well-formed by itself
    "plain words",
    " p &lt; 0.05 &amp; more ",
    "a &amp;lt; b",
    "&#945;-actin",
    "&#x3B2;-sheet",
    "naïve Å µm",
    "\U0001d6fc wide",
    "\u2003em space\u00a0",
    "raw > sign",
    'quote " here',
    "ends />",
    "line\nbreak",
    "tab\there",
    "<i>in vitro</i>",
    "H<sub>2</sub>O",
    "<b><i>nested</i></b> tail",
    "x<sup>2 &amp; &#945; é</sup>",
    "<u/>",
    f'<mml:math xmlns:mml="{MATH}"><mml:mi>x</mml:mi>\n <mml:mo>=</mml:mo></mml:math>',
    "[bracketed]",
    "",
    " ",
]
RARE = ["<!-- a <b>comment</b> -->", "<![CDATA[1 < 2 & 3]]>", "<?pi data?>", "carriage\r\nreturn", "&apos;"]
ATTRIBUTES = [
    "",
    ' Label="AIM"',
    ' Label="A &amp; B" NlmCategory="AIM"',
    ' Label="é"',
    " Label='single'",
    ' Label="a>b"',
]


def awkward_records(seed: int, number: int, *, rare: bool = True) -> list[str]:
    """Return PubmedArticle elements as text, PMIDs from 1, with everything that the real files have been seen with."""
    generator = random.Random(seed)
    pieces = PIECES + RARE if rare else PIECES

    def content() -> str:
        return "".join(generator.choice(pieces) for _ in range(generator.randint(0, 4)))

    records = []
    for pmid in range(1, number + 1):
        attributes = generator.choice(ATTRIBUTES) if rare else ""
        title = generator.choice(
            [
                f"<ArticleTitle>{content()}</ArticleTitle>",
                f"<ArticleTitle>{content()}</ArticleTitle>",
                f"<ArticleTitle>[{content()}].</ArticleTitle>",
                "<ArticleTitle/>",
                "<ArticleTitle></ArticleTitle>",
                f"<ArticleTitle{attributes}>{content()}</ArticleTitle>",
                "",
            ]
        )
        sections = "\n".join(
            generator.choice(
                [
                    f"<AbstractText{generator.choice(ATTRIBUTES)}>{content()}</AbstractText>",
                    f"<AbstractText>{content()}</AbstractText>",
                    f"<AbstractText{generator.choice(ATTRIBUTES)}/>",
                ]
            )
            for _ in range(generator.choice([0, 1, 1, 3]))
        )
        abstract = generator.choice(
            [
                f"<Abstract>{sections}<CopyrightInformation>© not this</CopyrightInformation></Abstract>",
                f"<Abstract>\n  {sections}\n</Abstract>",
                "<Abstract/>",
                "<Abstract></Abstract>",
                "",
            ]
        )
        other = generator.choice(
            ["", '<OtherAbstract Language="fre"><AbstractText>pas ceci</AbstractText></OtherAbstract>']
        )
        version, repeated = generator.choice([(1, pmid), (1, pmid), (2, max(1, pmid - 1)), (1, max(1, pmid - 2))])
        entered = (
            f'<PubMedPubDate PubStatus="entrez"><Year>{generator.choice([2020, 2021, 2022])}</Year>'
            f"<Month>{generator.randint(1, 12)}</Month>\n<Day>{generator.randint(1, 28):02d}</Day></PubMedPubDate>"
        )
        history = generator.choice([entered, entered, entered, ""])
        records.append(
            f'<PubmedArticle><MedlineCitation Status="MEDLINE"><PMID Version="{version}">{repeated}</PMID>'
            f"<Article>{title}<Pagination/>{abstract}<AuthorList><Author><LastName>O'Né</LastName></Author>"
            f"</AuthorList><VernacularTitle>Nicht dies</VernacularTitle></Article>{other}"
            f'<CommentsCorrectionsList><PMID Version="1">99</PMID></CommentsCorrectionsList></MedlineCitation>'
            f'<PubmedData><History><PubMedPubDate PubStatus="pubmed"><Year>1999</Year><Month>1</Month><Day>1</Day>'
            f"</PubMedPubDate>{history}</History></PubmedData></PubmedArticle>"
        )
    return records


def write_baseline(path: Path, records: list[str], *, tail: str = "", root: str = "PubmedArticleSet") -> Path:
    """Write records as a gzipped file of the baseline's form, with its .md5 beside it; return the path."""
    content = HEAD + f"<{root}>\n" + "\n".join(records) + f"\n{tail}</{root.split()[0]}>\n"
    path.write_bytes(gzip.compress(content.encode(), mtime=0))
    write_checksum(path)
    return path


def write_checksum(path: Path) -> None:
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.md5").write_text(f"MD5({path.name})= {digest}\n")


def plain_parse(paths: list[Path], mode: str, as_of: date | None = None) -> list[tuple[int, str]]:
    """Return (pmid, text) of baseline files, by gzip and lxml.iterparse: the plain way, to compare with."""
    rows: list[tuple[int, str]] = []
    for path in paths:
        found: list[tuple[int, int, str]] = []
        with gzip.open(path) as stream:
            events = etree.iterparse(stream, tag="PubmedArticle", remove_comments=True, remove_pis=True, load_dtd=False)
            for _, article in events:
                row = _plain_row(article, mode, as_of)
                if row is not None:
                    found.append(row)
                article.clear()
                while article.getprevious() is not None:
                    del article.getparent()[0]
        if mode == "full":
            highest: dict[int, int] = {}
            for pmid, version, _ in found:
                highest[pmid] = max(version, highest.get(pmid, 0))
            last: dict[tuple[int, int], int] = {(pmid, version): n for n, (pmid, version, _) in enumerate(found)}
            found = [
                row for n, row in enumerate(found) if row[1] == highest[row[0]] and last[row[0], row[1]] == n and row[2]
            ]
        rows += [(pmid, text) for pmid, _, text in found]
    return rows


def _plain_row(article, mode: str, as_of: date | None) -> tuple[int, int, str] | None:
    if as_of is not None:
        entered = article.find("PubmedData/History/PubMedPubDate[@PubStatus='entrez']")
        if entered is None:
            return None
        if date(*(int(entered.findtext(part)) for part in ("Year", "Month", "Day"))) > as_of:
            return None
    pmid = article.find("MedlineCitation/PMID")
    title = article.find("MedlineCitation/Article/ArticleTitle")
    sections = article.findall("MedlineCitation/Article/Abstract/AbstractText")
    if mode == "full":
        head = "" if title is None else "".join(title.itertext())
        body = " ".join(text for section in sections if (text := "".join(section.itertext()).strip()))
    else:
        head = "" if title is None else _reference_text(title)
        body = _reference_text(sections[0]) if sections else ""
    text = (head.replace("[", "").replace("]", "").strip() + " " + body.strip()).strip()
    return int(pmid.text), int(pmid.get("Version")), text


def _reference_text(element) -> str:
    if len(element) == 0:
        return (element.text or "").strip()
    copy = ElementTree.fromstring(etree.tostring(element, with_tail=False, encoding="utf-8"))
    text = ElementTree.tostring(copy).decode().strip()
    return text[len(f"<{element.tag}>") : -len(f"</{element.tag}>")]
