"""PubMed records read by their bytes equal the same records read by a real parser, whatever stands in them."""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pyarrow.parquet as pq
import pytest
from helpers.corpus import HEAD, plain_parse
from hypothesis import given, settings
from hypothesis import strategies as st

from compactbio.corpus.medline import read_records
from compactbio.corpus.parsing import parse_baseline

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8
)
WORD = TEXT.map(escape) | st.sampled_from(["&#945;", "&lt;i&gt;", "[", "]", " ", "\n", "/>", "é &amp; ß"])
MARKUP = st.recursive(
    WORD,
    lambda inner: st.tuples(st.sampled_from(["i", "sub", "sup", "b", "u"]), st.lists(inner, max_size=3)).map(
        lambda element: f"<{element[0]}>{''.join(element[1])}</{element[0]}>"
    ),
    max_leaves=5,
)
CONTENT = st.lists(MARKUP, max_size=4).map("".join)
SECTION = st.tuples(st.none() | TEXT, CONTENT).map(
    lambda pair: f"<AbstractText{'' if pair[0] is None else ' Label=' + quoteattr(pair[0])}>{pair[1]}</AbstractText>"
)
RECORD = st.tuples(CONTENT, st.lists(SECTION, max_size=3), st.booleans())


def record_of(pmid: int, title: str, sections: list[str], has_abstract: bool) -> str:
    abstract = f"<Abstract>{''.join(sections)}</Abstract>" if has_abstract else ""
    return (
        f'<PubmedArticle><MedlineCitation><PMID Version="1">{pmid}</PMID><Article><ArticleTitle>{title}</ArticleTitle>'
        f"{abstract}</Article></MedlineCitation></PubmedArticle>"
    )


@pytest.mark.parametrize("mode", ["full", "reference"])
@settings(max_examples=60)
@given(records=st.lists(RECORD, min_size=1, max_size=4), block_bytes=st.integers(20, 400))
def test_the_bytes_give_what_the_parser_gives(mode, records, block_bytes):
    texts = [record_of(number, *record) for number, record in enumerate(records, start=1)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "records.xml.gz"
        path.write_bytes(gzip.compress(f"{HEAD}<PubmedArticleSet>{''.join(texts)}</PubmedArticleSet>".encode()))
        whole = [record[:2] for record in read_records(path)]
        assert [record[:2] for record in read_records(path, block_bytes)] == whole and len(whole) == len(texts)
        parse_baseline([path], Path(folder) / "texts.parquet", mode=mode, as_of=None)
        table = pq.read_table(Path(folder) / "texts.parquet")
        rows = list(zip(table["pmid"].to_pylist(), table["text"].to_pylist(), strict=True))
        assert rows == plain_parse([path], mode)
