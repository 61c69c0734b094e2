"""Documents of one's own, and the summary of a corpus."""

from __future__ import annotations

import csv
import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from compactbio.corpus.corpus_figures import draw_lengths
from compactbio.corpus.documents import import_documents
from compactbio.corpus.shards import add_counts, read_counts, read_texts
from compactbio.corpus.summary import Lengths, summary_rows, write_table
from compactbio.errors import UserError

DOCUMENTS = ["First note.", "  Zweite Notiz é  ", "", "Third."]
EXPECTED = [(1, "First note."), (2, "Zweite Notiz é"), (4, "Third.")]


def as_lines(texts):
    return "".join(f"{text}\n" for text in texts).encode()


def as_json(texts):
    return as_lines(json.dumps({"id": 1, "text": text}) for text in texts)


FILES = {
    "a.txt": lambda: as_lines(DOCUMENTS),
    "a.txt.gz": lambda: gzip.compress(as_lines(DOCUMENTS), mtime=0),
    "a.jsonl": lambda: as_json(DOCUMENTS),
    "a.jsonl.gz": lambda: gzip.compress(as_json(DOCUMENTS), mtime=0),
}


def read(path):
    table = pq.read_table(path)
    return list(zip(table["pmid"].to_pylist(), table["text"].to_pylist(), strict=True))


@pytest.mark.parametrize("name", [*FILES, "a.parquet"])
def test_documents_of_every_kind(tmp_path, name):
    path = tmp_path / name
    if name == "a.parquet":
        pq.write_table(pa.table({"other": [0, 0, 0, 0], "text": DOCUMENTS}), path)
    else:
        path.write_bytes(FILES[name]())
    counts = import_documents(path, tmp_path / "out.parquet")
    assert read(tmp_path / "out.parquet") == EXPECTED
    assert (counts["citations"], counts["kept"], counts["dropped"]) == (4, 3, {"without_text": 1})


def test_line_ends_inside_a_document_do_not_cut_it(tmp_path):
    (tmp_path / "a.txt").write_bytes("one\u2028still one\x0bstill\r\ntwo".encode())
    import_documents(tmp_path / "a.txt", tmp_path / "out.parquet")
    assert [text for _, text in read(tmp_path / "out.parquet")] == ["one\u2028still one\x0bstill", "two"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\n\xff\xfe\n", r"a\.txt, line 2, is not UTF-8"),
        ("a.jsonl", b'{"text": "a"}\nnot json\n', r"a\.jsonl, line 2, is not JSON"),
        ("a.jsonl", b'{"text": "a"}\n{"body": "b"}\n', r"a\.jsonl, line 2, has no field `text`"),
        ("a.txt.gz", gzip.compress(b"abc\n" * 1000, mtime=0)[:-9], r"a\.txt\.gz is not sound gzip"),
        ("a.parquet", b"no parquet", r"a\.parquet is damaged"),
        (
            "a.jsonl",
            b'{"text": "a"}\n{"text": "half \\ud83d"}\n',
            r"a\.jsonl, line 2, is not JSON .it holds half of a character",
        ),
        ("a.jsonl", b'{"text": ' + b"[" * 100_000, r"a\.jsonl, line 1, is not JSON"),
        ("a.txt", b"fine\n" + b"x" * 300_000, r"a\.txt, line 2, has more than 200,000 bytes"),
        ("a.txt", b"\n\n", r"a\.txt has no document with text"),
        ("a.csv", b"a,b\n", r"a\.csv is of no known kind.*\.jsonl"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, monkeypatch, name, content, message):
    monkeypatch.setattr("compactbio.corpus.documents.LONGEST_LINE_BYTES", 200_000)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        import_documents(tmp_path / name, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_missing_file_and_a_missing_column(tmp_path):
    for name in ("none.txt", "none.parquet"):
        with pytest.raises(UserError, match="does not exist"):
            import_documents(tmp_path / name, tmp_path / "out.parquet")
    pq.write_table(pa.table({"body": ["a"]}), tmp_path / "a.parquet")
    with pytest.raises(UserError, match="no column `text`"):
        import_documents(tmp_path / "a.parquet", tmp_path / "out.parquet")


def counts_of(kept: int) -> dict:
    return {
        "kind": "citations",
        "citations": kept + 1,
        "kept": kept,
        "dropped": {"older_version": 1},
        "ignored": {},
        "with_abstract": kept // 2,
        "structured": 1,
        "bracketed_titles": 0,
        "settings": {"text": "full", "as_of": None},
        "sources": [{"name": "a", "citations": kept + 1, "kept": kept}],
    }


def lengths_of(name: str) -> Lengths:
    histogram = np.zeros(33, dtype=np.int64)
    histogram[[4, 10, 32]] = 5, 3, 2
    return Lengths(name, histogram, truncated=2, max_length=32)


def test_summary_adds_shards_and_measures_lengths(tmp_path):
    total = add_counts([counts_of(10), counts_of(20)])
    rows = summary_rows(total, [lengths_of("cased")])
    found = {(row.subject, row.measure): (row.value, row.share) for row in rows}
    assert found["text", "citations read"] == (32, None)
    assert found["text", "citations kept"] == (30, 30 / 32)
    assert found["text", "dropped: older version"] == (2, 2 / 32)
    assert found["text", "with abstract"] == (15, 0.5)
    assert found["tokenizer cased", "sequences"] == (10, None)
    assert found["tokenizer cased", "tokens, special ones included"] == (20 + 30 + 64, None)
    assert found["tokenizer cased", "mean length"] == (11.4, None)
    assert found["tokenizer cased", "median length"] == (4, None)
    assert found["tokenizer cased", "90th percentile length"] == (32, None)
    assert found["tokenizer cased", "truncated at 32"] == (2, 0.2)
    write_table(rows, tmp_path / "s.csv", tmp_path / "s.md", total["settings"])
    with (tmp_path / "s.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == len(rows)
    assert "| text | files | 2 |" in (tmp_path / "s.md").read_text()


def test_damage_inside_a_parquet_file_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"document {number}\n" for number in range(5000)))
    import_documents(tmp_path / "a.txt", tmp_path / "whole.parquet")
    whole, named = (tmp_path / "whole.parquet").read_bytes(), 0
    for place in range(len(whole) // 2, len(whole) - 40, len(whole) // 60):
        (tmp_path / "b.parquet").write_bytes(whole[:place] + bytes(40) + whole[place + 40 :])
        try:  # some bytes are of pages and statistics that are not read
            import_documents(tmp_path / "b.parquet", tmp_path / "out.parquet")
        except UserError as error:
            assert "b.parquet" in str(error)
            named += 1
    assert named > 10


def test_shards_of_different_settings_are_refused():
    other = counts_of(10) | {"settings": {"text": "reference", "as_of": None}}
    with pytest.raises(UserError, match="different settings"):
        add_counts([counts_of(10), other])


@pytest.mark.parametrize("max_length", [8, 32, 250, 512])
def test_figure_counts_every_sequence_once(tmp_path, max_length):
    from matplotlib.figure import Figure

    from compactbio.corpus import corpus_figures as figures

    histogram = np.ones(max_length + 1, dtype=np.int64)
    histogram[:2] = 0
    axes = Figure().add_subplot()
    figures._draw_one(axes, Lengths("cased", histogram, 0, max_length), "k", "-")
    assert axes.patches[0].get_data().values.sum() == pytest.approx(1.0)


def test_figure_is_the_same_every_time(tmp_path):
    for name in ("a.svg", "b.svg", "c.png"):
        draw_lengths([lengths_of("cased"), lengths_of("uncased")], [tmp_path / name])
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")


def test_long_documents_are_held_a_few_at_a_time(tmp_path, monkeypatch):
    texts = [f"{number} " + "x" * 400 for number in range(300)]
    (tmp_path / "a.txt").write_text("\n".join(texts))
    monkeypatch.setattr("compactbio.corpus.shards.LARGEST_GROUP_CHARACTERS", 9000)
    monkeypatch.setattr("compactbio.corpus.shards.LARGEST_READ_BYTES", 5000)
    import_documents(tmp_path / "a.txt", tmp_path / "out.parquet")
    assert read(tmp_path / "out.parquet") == list(enumerate(texts, start=1))
    assert pq.ParquetFile(tmp_path / "out.parquet").num_row_groups > 5
    lists = list(read_texts(tmp_path / "out.parquet"))
    assert [text for part in lists for text in part] == texts
    assert max(map(len, lists)) < 60


def test_counts_that_are_none_are_refused(tmp_path):
    for content in ("[]", '{"kind": "citations"}'):
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(UserError, match=r"c\.json is not what it should be .*: delete it"):
            read_counts(tmp_path / "c.json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"one\rtwo\r", "ends its lines with CR alone"),
        ("a.txt", "one\ntwo\n".encode("utf-16"), "iconv -f utf-16 -t utf-8"),
        ("a.jsonl", '{"text": "\xef"}\n'.encode("latin1"), "iconv -f latin1 -t utf-8"),
    ],
)
def test_other_encodings_and_line_ends_are_told_how_to_convert(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        import_documents(tmp_path / name, tmp_path / "out.parquet")
