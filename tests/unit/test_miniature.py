"""The artificial language and its files: forms that the official ones have, read here by independent means."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import random
import re
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.miniature import SMALL, small_miniature  # noqa: F401
from lxml import etree

from compactbio.miniature.checkpoints import make_wordpieces
from compactbio.miniature.language import ASSOCIATED, common_words, fill, join_words, pick_names
from compactbio.miniature.pubmed import AWKWARD
from compactbio.miniature.vocabulary import KINDS, make_lexicon

PARTS = {"training": "", "development": "", "test": "_gs"}


@pytest.fixture(scope="module")
def archive(small_miniature: Path) -> dict[str, bytes]:  # noqa: F811
    with tarfile.open(small_miniature / "biobert" / "datasets.tar.gz") as stream:
        return {entry.name: stream.extractfile(entry).read() for entry in stream if entry.isfile()}


@pytest.fixture(scope="module")
def articles(small_miniature: Path) -> list[list[etree._Element]]:  # noqa: F811
    files = sorted((small_miniature / "pubmed" / "baseline").glob("*.xml.gz"))
    return [etree.fromstring(gzip.decompress(file.read_bytes())).findall("PubmedArticle") for file in files]


def chemprot_tables(folder: Path, part: str) -> dict[str, list[list[str]]]:
    suffix = PARTS[part]
    with zipfile.ZipFile(folder / "chemprot" / "ChemProt_Corpus.zip") as outer:
        inner = outer.read(f"ChemProt_Corpus/chemprot_{part}{suffix}.zip")
    with zipfile.ZipFile(io.BytesIO(inner)) as stream:
        return {
            Path(name).stem: [line.split("\t") for line in stream.read(name).decode().splitlines()]
            for name in stream.namelist()
        }


def test_names_are_unique_and_held_out_ones_are_not_familiar() -> None:
    lexicon = make_lexicon(0)
    texts = [name.text.lower() for kind in KINDS for name in lexicon.names(kind)]
    assert len(texts) == len(set(texts)) == 240
    assert set(lexicon.causes) == {name.text for name in lexicon.names("disease")}
    assert make_lexicon(0).names("gene") == lexicon.names("gene") != make_lexicon(1).names("gene")


def test_mentions_are_where_the_sentence_says() -> None:
    generator = random.Random(3)
    lexicon = make_lexicon(3)
    for template in ASSOCIATED:
        names = pick_names(template, lexicon.familiar, generator)
        sentence = fill(template, names, generator)
        for mention in sentence.mentions:
            assert sentence.text[mention.start : mention.end].lower() == mention.name.text.lower()
            assert " ".join(sentence.words[mention.first : mention.last]).lower() == mention.name.text.lower()


def test_punctuation_is_joined_as_people_write_it() -> None:
    text, offsets = join_words(["A", "(", "p", "<", "0.05", ")", ",", "B", "."])
    assert text == "A (p < 0.05), B."
    assert [text[start:end] for start, end in offsets] == ["A", "(", "p", "<", "0.05", ")", ",", "B", "."]


@pytest.mark.parametrize("lower_case", [False, True])
def test_vocabulary_has_berts_places_and_splits_names(lower_case: bool) -> None:
    lexicon = make_lexicon(0)
    pieces = make_wordpieces(["We studied braxitis."], lexicon, lower_case=lower_case)
    assert len(pieces) == len(set(pieces))
    assert pieces[0] == "[PAD]"
    assert pieces[100:104] == ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert not {name.text for name in lexicon.names("chemical")} & set(pieces)
    words = {piece for word in common_words() for piece in re.findall(r"\w+", word.lower() if lower_case else word)}
    assert words <= set(pieces)


def test_files_are_xml_with_nlms_header_and_checksums(small_miniature: Path) -> None:  # noqa: F811
    files = sorted((small_miniature / "pubmed" / "baseline").glob("*.xml.gz"))
    assert [file.name for file in files] == ["pubmed26n0001.xml.gz", "pubmed26n0002.xml.gz"]
    for file in files:
        content = file.read_bytes()
        assert content[4:8] == b"\0\0\0\0"  # no time stamp
        assert gzip.decompress(content).startswith(
            b'<?xml version="1.0" encoding="utf-8"?>\n<!DOCTYPE PubmedArticleSet'
        )
        expected = f"MD5({file.name})= {hashlib.md5(content).hexdigest()}\n"
        assert file.with_name(f"{file.name}.md5").read_text() == expected


MATHML = "{http://www.w3.org/1998/Math/MathML}math"
KIND_OF_RECORD: dict[str, Callable[[etree._Element], bool]] = {
    "two_versions": lambda record: has(record, "MedlineCitation/PMID[@Version='2']"),
    "structured": lambda record: len(record.findall(".//Abstract/AbstractText[@Label]")) > 1,
    "markup": lambda record: has(record, ".//ArticleTitle/i") and has(record, ".//AbstractText/sub"),
    "mathml": lambda record: has(record, f".//AbstractText/{MATHML}"),
    "entities": lambda record: "TNF-α & β" in "".join(record.itertext()) and "naïve" in "".join(record.itertext()),
    "no_abstract": lambda record: not has(record, ".//Abstract"),
    "empty_abstract": lambda record: is_empty(record.find(".//Abstract/AbstractText")),
    "empty_title": lambda record: is_empty(record.find(".//ArticleTitle")),
    "translated": lambda record: (
        has(record, ".//VernacularTitle")
        and has(record, ".//OtherAbstract")
        and record.findtext(".//ArticleTitle").startswith("[")
    ),
    "copyright": lambda record: has(record, ".//Abstract/CopyrightInformation"),
    "references": lambda record: has(record, ".//ReferenceList") and len(record.findall(".//PMID")) == 2,
    "last_day": lambda record: entered(record) == (2021, 12, 12),
    "next_day": lambda record: entered(record) == (2021, 12, 13),
}


def has(record: etree._Element, path: str) -> bool:
    return record.find(path) is not None


def is_empty(element: etree._Element | None) -> bool:
    return element is not None and element.text is None and len(element) == 0


def test_every_file_has_every_awkward_record(articles: list[list[etree._Element]]) -> None:
    assert sum(map(len, articles)) == SMALL["citations"]
    for records in articles:
        found = {
            kind: [record for record in records if is_of_kind(record)] for kind, is_of_kind in KIND_OF_RECORD.items()
        }
        assert set(found) == set(AWKWARD)
        assert all(found.values()), found
        assert len([r for r in records if entered(r) > (2021, 12, 12)]) > 1
    identifiers = [r.findtext("MedlineCitation/PMID") for records in articles for r in records]
    assert len(identifiers) - len(set(identifiers)) == len(articles)


def entered(record: etree._Element) -> tuple[int, int, int]:
    date = record.find(".//PubMedPubDate[@PubStatus='entrez']")
    return tuple(int(date.findtext(part)) for part in ("Year", "Month", "Day"))


def test_files_differ_in_white_space_as_the_years_do(small_miniature: Path) -> None:  # noqa: F811
    first, second = sorted((small_miniature / "pubmed" / "baseline").glob("*.xml.gz"))
    assert b"\n        <ArticleTitle>" in gzip.decompress(first.read_bytes())
    assert b"</PubmedArticle><PubmedArticle>" in gzip.decompress(second.read_bytes())


def test_tagged_words_form(archive: dict[str, bytes]) -> None:
    folder = "datasets/NER/NCBI-disease"
    train = archive[f"{folder}/train.tsv"].decode()
    sentences = train.removesuffix("\n\n").split("\n\n")
    assert len(sentences) == SMALL["ner_train"]
    labels = [line.split("\t")[1] for sentence in sentences for line in sentence.split("\n")]
    assert set(labels) == {"O", "B", "I"}
    assert archive[f"{folder}/train_dev.tsv"] == archive[f"{folder}/train.tsv"] + archive[f"{folder}/devel.tsv"]


def test_gad_folds_are_a_partition(archive: dict[str, bytes]) -> None:
    tests = []
    for fold in (1, 2):
        folder = f"datasets/RE/GAD/{fold}"
        train = archive[f"{folder}/train.tsv"].decode().splitlines()
        header, *test = archive[f"{folder}/test.tsv"].decode().splitlines()
        assert header == "index\tsentence\tlabel"
        assert archive[f"{folder}/dev.tsv"] == b""
        assert len(train) + len(test) == SMALL["gad_rows"]
        assert all("@GENE$" in line and "@DISEASE$" in line and line[-2:] in ("\t0", "\t1") for line in train)
        tests.append(test)
    assert tests[0] != tests[1]


@pytest.mark.parametrize("part", PARTS)
def test_chemprot_offsets_and_relations(small_miniature: Path, part: str) -> None:  # noqa: F811
    tables, suffix = chemprot_tables(small_miniature, part), PARTS[part]
    text = {pmid: f"{title}\t{body}" for pmid, title, body in tables[f"chemprot_{part}_abstracts{suffix}"]}
    kinds = {}
    for pmid, name, kind, start, end, surface in tables[f"chemprot_{part}_entities{suffix}"]:
        assert text[pmid][int(start) : int(end)] == surface
        kinds[pmid, name] = kind
    gold = []
    for pmid, group, evaluated, _, first, second in tables[f"chemprot_{part}_relations{suffix}"]:
        assert kinds[pmid, first.removeprefix("Arg1:")] == "CHEMICAL"
        assert kinds[pmid, second.removeprefix("Arg2:")].startswith("GENE")
        assert (evaluated == "Y ") == (group in ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9"))
        gold += [[pmid, group, first, second]] if evaluated == "Y " else []
    assert gold == tables[f"chemprot_{part}_gold_standard"]


def test_bioasq_rows_and_golden_file_belong_together(archive: dict[str, bytes]) -> None:
    folder = "datasets/QA/BioASQ"
    rows = {
        part: json.loads(archive[f"{folder}/BioASQ-{part}-factoid-7b.json"])["data"][0]["paragraphs"]
        for part in ("train", "test")
    }
    golden = json.loads(archive[f"{folder}/7B_golden.json"])["questions"]
    for row in rows["train"]:
        (question,) = row["qas"]
        (answer,) = question["answers"]
        assert row["context"][answer["answer_start"] :].startswith(answer["text"])
    assert all(row["qas"][0]["answers"] == [] for row in rows["test"])
    factoid = {question["id"] for question in golden if question["type"] == "factoid"}
    assert {row["qas"][0]["id"].rpartition("_")[0] for row in rows["test"]} == factoid
    assert len(factoid) == SMALL["questions_test"]
    forms = {question["type"]: question.get("exact_answer") for question in golden}
    assert isinstance(forms["factoid"][0], list)
    assert isinstance(forms["list"][1], list)
    assert forms["yesno"] == "yes"
    assert forms["summary"] is None
