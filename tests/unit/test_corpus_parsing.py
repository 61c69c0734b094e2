"""The fast parser equals the plain one, and refuses what is not whole, sound PubMed XML."""

from __future__ import annotations

import gzip
import tracemalloc
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from helpers.corpus import HEAD, MATH, awkward_records, plain_parse, write_baseline

from compactbio.corpus.medline import read_records
from compactbio.corpus.parsing import parse_baseline
from compactbio.errors import UserError

MODES = ["full", "reference"]


def parse(paths: list[Path], mode: str, as_of: date | None = None):
    output = paths[0].parent / "out.parquet"
    counts = parse_baseline(paths, output, mode=mode, as_of=as_of)
    table = pq.read_table(output)
    return list(zip(table["pmid"].to_pylist(), table["text"].to_pylist(), strict=True)), counts


def text_of(tmp_path: Path, article: str, mode: str, root: str = "PubmedArticleSet") -> str:
    record = (
        '<PubmedArticle><MedlineCitation><PMID Version="1">5</PMID><Article>' + article + "</Article>"
        "</MedlineCitation></PubmedArticle>"
    )
    rows, _ = parse([write_baseline(tmp_path / "a.xml.gz", [record], root=root)], mode)
    return rows[0][1] if rows else ""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("as_of", [None, date(2021, 6, 15)])
@pytest.mark.parametrize("rare", [False, True])
def test_equals_the_plain_parser(tmp_path, mode, as_of, rare):
    paths = [write_baseline(tmp_path / f"{seed}.xml.gz", awkward_records(seed, 400, rare=rare)) for seed in (1, 2)]
    rows, counts = parse(paths, mode, as_of)
    assert rows == plain_parse(paths, mode, as_of)
    assert counts["citations"] == 800
    assert counts["kept"] == len(rows) == 800 - sum(counts["dropped"].values())
    assert sum(source["kept"] for source in counts["sources"]) == len(rows)


@pytest.mark.parametrize("mode", MODES)
def test_block_borders_do_not_matter(tmp_path, mode):
    path = write_baseline(tmp_path / "a.xml.gz", awkward_records(3, 40))
    whole = [record[:2] for record in read_records(path)]
    for block_bytes in (37, 1000, 4096):
        assert [record[:2] for record in read_records(path, block_bytes)] == whole


def test_sound_records_without_rarities_are_read_by_their_bytes(tmp_path):
    pieces = [record for record in awkward_records(4, 300, rare=False) if "\t" not in record and '/>"' not in record]
    sound = [record for record in pieces if "ends />" not in record]
    path = write_baseline(tmp_path / "a.xml.gz", sound)
    assert not any(record.doubtful for record in read_records(path))


def test_reference_keeps_the_first_section_with_its_markup(tmp_path):
    article = (
        "<ArticleTitle>[The &#946; <i>case</i> é].</ArticleTitle><Abstract>"
        '<AbstractText Label="AIM">Zé <sub>2</sub> &lt; 3</AbstractText><AbstractText>Second.</AbstractText></Abstract>'
    )
    reference = "The &#946; <i>case</i> &#233;. " + 'Label="AIM">Z&#233; <sub>2</sub> &lt; 3'
    assert text_of(tmp_path, article, "reference") == reference
    assert text_of(tmp_path, article, "full") == "The β case é. Zé 2 < 3 Second."


def test_reference_serialises_namespaces_as_element_tree_does(tmp_path):
    article = "<Abstract><AbstractText>a <mml:mi>x</mml:mi></AbstractText></Abstract>"
    root = f'PubmedArticleSet xmlns:mml="{MATH}"'
    assert text_of(tmp_path, article, "reference", root) == f'xmlns:ns0="{MATH}">a <ns0:mi>x</ns0:mi>'
    assert text_of(tmp_path, article, "full", root) == "a x"


def test_reference_keeps_what_its_loader_kept(tmp_path):
    empty = "<PubmedArticle><MedlineCitation><PMID>{}</PMID><Article>{}</Article></MedlineCitation></PubmedArticle>"
    section = "<Abstract><AbstractText/><AbstractText>late</AbstractText></Abstract>"
    path = write_baseline(tmp_path / "a.xml.gz", [empty.format(1, ""), empty.format(2, section)])
    assert parse([path], "reference")[0] == [(1, ""), (2, "")]
    rows, counts = parse([path], "full")
    assert rows == [(2, "late")]
    assert counts["dropped"] == {"without_text": 1}


def test_counts(tmp_path):
    records = awkward_records(5, 50)
    book = "<PubmedBookArticle><BookDocument><PMID>7</PMID></BookDocument></PubmedBookArticle>"
    tail = '<DeleteCitation><PMID Version="1">3</PMID></DeleteCitation>'
    path = write_baseline(tmp_path / "a.xml.gz", [records[0], book, *records[1:]], tail=tail)
    rows, counts = parse([path], "full", date(2021, 6, 15))
    assert counts["ignored"] == {"book_article": 1, "deletion": 1}
    assert set(counts["dropped"]) == {"entered_after_as_of", "without_entrez_date", "older_version", "without_text"}
    assert rows == plain_parse([path], "full", date(2021, 6, 15))


def test_row_groups_are_small(tmp_path):
    record = (
        "<PubmedArticle><MedlineCitation><PMID>{}</PMID><Article><ArticleTitle>T</ArticleTitle></Article>"
        "</MedlineCitation></PubmedArticle>"
    )
    path = write_baseline(tmp_path / "a.xml.gz", [record.format(n) for n in range(25_000)])
    parse([path], "full")
    file = pq.ParquetFile(tmp_path / "out.parquet")
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [10_000, 10_000, 5_000]
    assert file.metadata.row_group(0).column(1).compression == "ZSTD"


def whole_file(number: int = 60) -> str:
    return HEAD + "<PubmedArticleSet>\n" + "\n".join(awkward_records(6, number, rare=False)) + "\n</PubmedArticleSet>\n"


DAMAGES = {
    "cut inside a record": lambda text: text[: len(text) // 2],
    "no end of the set": lambda text: text.replace("</PubmedArticleSet>", ""),
    "no end of a record": lambda text: text.replace("</PubmedArticle>\n", "\n", 1),
    "no end of an element": lambda text: text.replace("</LastName>", "", 1),
    "no start of an element": lambda text: text.replace("<LastName>", "", 1),
    "another end tag": lambda text: text.replace("</LastName>", "</ForeName>", 1),
    "a misspelt end tag": lambda text: text.replace("</MedlineCitation>", "</MedlineZitation>", 1),
    "an unclosed tag in a title": lambda text: text.replace("<i>in vitro</i>", "<i>in vitro", 1),
    "crossed tags": lambda text: text.replace("<b><i>nested</i></b>", "<b><i>nested</b></i>", 1),
    "a bare ampersand": lambda text: text.replace("O'Né", "O & Né", 1),
    "an unknown entity": lambda text: text.replace("O'Né", "&beta;", 1),
    "a bare less-than": lambda text: text.replace("O'Né", "a < b", 1),
    "a control character": lambda text: text.replace("O'Né", "a\x02b", 1),
    "text between records": lambda text: text.replace("</PubmedArticle>\n", "</PubmedArticle>\nstray", 1),
    "text after the set": lambda text: text + "stray",
    "nothing": lambda text: "",
    "no XML": lambda text: "pubmed " * 20_000,
    "another root": lambda text: "<html><body>busy</body></html>",
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("mode", MODES)
def test_broken_files_are_refused_by_name(tmp_path, damage, mode):
    path = tmp_path / "pubmed26n0001.xml.gz"
    text = whole_file()
    damaged = DAMAGES[damage](text)
    assert damaged != text
    path.write_bytes(gzip.compress(damaged.encode()))
    with pytest.raises(UserError, match=r"pubmed26n0001\.xml\.gz"):
        parse([path], mode)
    assert not (tmp_path / "out.parquet").exists()


def test_bytes_that_are_not_utf8_are_refused(tmp_path):
    path = tmp_path / "a.xml.gz"
    path.write_bytes(gzip.compress(whole_file().encode().replace("O'Né".encode(), b"O'N\xe9", 1)))
    with pytest.raises(UserError, match=r"a\.xml\.gz is broken"):
        parse([path], "full")


def test_a_record_without_end_and_blanks_without_end_are_read_in_little_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("compactbio.corpus.medline.LARGEST_RECORD", 2**20)
    path = tmp_path / "a.xml.gz"
    head, blanks = f"{HEAD}<PubmedArticleSet>", " \n" * 2**21
    record = awkward_records(1, 1, rare=False)[0]
    path.write_bytes(gzip.compress(f"{head}{blanks}{record}{blanks}</PubmedArticleSet>{blanks}".encode(), 1))
    tracemalloc.start()
    assert len(list(read_records(path))) == 1
    assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    path.write_bytes(gzip.compress(f"{head}<PubmedArticle>{'x' * 3 * 2**20}</PubmedArticle>".encode(), 1))
    with pytest.raises(UserError, match="one element has more than 1,048,576 bytes"):
        list(read_records(path))
    assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    tracemalloc.stop()


def test_a_pmid_of_31_digits_is_refused(tmp_path):
    record = (
        '<PubmedArticle><MedlineCitation><PMID Version="1">' + "1" * 31 + "</PMID></MedlineCitation></PubmedArticle>"
    )
    with pytest.raises(UserError, match="its PMID is '1111"):
        parse([write_baseline(tmp_path / "a.xml.gz", [record])], "full")


@pytest.mark.parametrize(
    ("damage", "message"),
    [("truncated", "the file is truncated"), ("not gzip", "it is not gzip"), ("flipped", "it is not sound gzip")],
)
def test_damaged_gzip_is_refused(tmp_path, damage, message):
    path = tmp_path / "a.xml.gz"
    content = gzip.compress(whole_file().encode())
    changed = bytearray(content)
    changed[-6] ^= 1  # in the checksum
    path.write_bytes({"truncated": content[:-200], "not gzip": b"<xml/>" * 10, "flipped": bytes(changed)}[damage])
    with pytest.raises(UserError, match=rf"a\.xml\.gz is broken: .*{message}"):
        parse([path], "full")


def test_the_old_form_is_refused_with_what_to_do(tmp_path):
    path = tmp_path / "medline16n0001.xml.gz"
    text = "<MedlineCitationSet><MedlineCitation><PMID>1</PMID></MedlineCitation></MedlineCitationSet>"
    path.write_bytes(gzip.compress((HEAD + text).encode()))
    with pytest.raises(UserError, match=r"medline16n0001.*MedlineCitationSet.*until 2016.*corpus\.baseline"):
        parse([path], "full")


def test_a_missing_file():
    with pytest.raises(UserError, match=r"none\.xml\.gz does not exist"):
        list(read_records(Path("none.xml.gz")))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "hidden",
    [
        "<!-- </PubmedArticle> -->",
        "<![CDATA[</PubmedArticle>]]>",
        "<?note </PubmedArticle>?>",
        "<!-- <![CDATA[ --><i>a</i><!-- ]]> </PubmedArticle> -->",
        "<!-- <?a -->b<!-- </PubmedArticle> ?> -->",
        "<?a <!-- ?>b<?c --></PubmedArticle>?>",
    ],
)
def test_an_end_tag_that_is_none_ends_no_record(tmp_path, mode, hidden):
    """ElementTree says what the text is; a block's border may lie anywhere."""
    others = awkward_records(5, 3)
    record = (
        '<PubmedArticle><MedlineCitation><PMID Version="1">900</PMID><Article><ArticleTitle>Before '
        f"{hidden} after</ArticleTitle></Article></MedlineCitation></PubmedArticle>"
    )
    path = write_baseline(tmp_path / "a.xml.gz", [others[0], record, *others[1:]])
    rows, counts = parse([path], mode)
    assert counts["citations"] == 4
    assert rows == plain_parse([path], mode)
    whole = [record[:2] for record in read_records(path)]
    for block_bytes in (1, 7, 300):
        assert [record[:2] for record in read_records(path, block_bytes)] == whole


def test_a_comment_that_never_ends_is_an_unfinished_file(tmp_path):
    path = write_baseline(tmp_path / "a.xml.gz", ["<PubmedArticle><!-- </PubmedArticle>"])
    with pytest.raises(UserError, match="it ends inside the element that starts with '<PubmedArticle>"):
        parse([path], "full")
