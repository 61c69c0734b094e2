"""Real named entities, written in every other form without the project's code, are what they were when read back."""

from __future__ import annotations

import json
import os
import tarfile
from itertools import groupby, pairwise
from pathlib import Path
from xml.sax.saxutils import escape

import pytest
from helpers.tasks import write
from seqeval.metrics.sequence_labeling import get_entities
from transformers.models.bert.tokenization_bert_legacy import BasicTokenizer

from compactbio.tasks.prepare import reader_of
from compactbio.tasks.prepared import Prepared, parse_definition

pytestmark = pytest.mark.skipif("COMPACTBIO_MIRROR" not in os.environ, reason="COMPACTBIO_MIRROR names no mirror")
FILES = {"train": "train", "validation": "devel", "test": "test"}
PER_DOCUMENT = 10
LABELS = ["O", "B-x", "I-x"]
Sentence = tuple[list[str], list[tuple[int, int]]]  # words, entities as first word and last


@pytest.fixture(scope="module", params=["NCBI-disease", "BC2GM"])
def sentences(request) -> dict[str, list[Sentence]]:
    found: dict[str, list[Sentence]] = {}
    with tarfile.open(Path(os.environ["COMPACTBIO_MIRROR"]) / "biobert" / "datasets.tar.gz") as archive:
        for split, name in FILES.items():
            file = archive.extractfile(f"datasets/NER/{request.param}/{name}.tsv")
            assert file is not None
            lines = [line.split("\t") for line in file.read().decode().splitlines()]
            found[split] = []
            for filled, rows in groupby(lines, key=lambda row: len(row) == 2):
                if filled:
                    words, tags = map(list, zip(*rows, strict=True))
                    entities = get_entities([tag if tag == "O" else f"{tag}-x" for tag in tags])
                    found[split].append((words, [(first, last) for _, first, last in entities]))
    return found


def letters(scheme: str, sentence: Sentence) -> list[str]:
    words, entities = sentence
    tags = ["O"] * len(words)
    for first, last in entities:
        for place in range(first, last + 1):
            where = (place == first) + 2 * (place == last)  # 1: begins, 2: ends, 3: alone
            adjacent = place == first and any(end == first - 1 for _, end in entities)
            letter = {"bioes": "IBES"[where], "bilou": "IBLU"[where], "io": "I", "iob1": "B" if adjacent else "I"}[
                scheme
            ]
            tags[place] = f"{letter}-x"
    return tags


def read(root: Path, layout: str, names: dict[str, str], **more: str) -> Prepared:
    definition = {"task": "ner", "layout": layout, "folder": "", "files": names, "labels": LABELS, **more}
    parsed = parse_definition("x", definition, root)
    return reader_of(parsed.layout)(parsed)


@pytest.mark.parametrize("scheme", ["bioes", "bilou", "iob1", "io"])
def test_schemes(tmp_path: Path, sentences: dict[str, list[Sentence]], scheme: str) -> None:
    for split in FILES:
        blocks = [
            "".join(f"{word}\t{tag}\n" for word, tag in zip(one[0], letters(scheme, one), strict=True))
            for one in sentences[split]
        ]
        write(tmp_path / split, "\n".join(blocks))
    prepared = read(tmp_path, "tagged_words", {split: split for split in FILES}, scheme=scheme)
    for split, rows in sentences.items():
        assert prepared.splits[split]["words"] == [words for words, _ in rows]
        assert prepared.counts[split]["illegal_tags"] == 0
        entities = sum(len(found) for _, found in rows)
        adjacent = sum(two[0] == one[1] + 1 for _, found in rows for one, two in pairwise(found))
        lost = adjacent if scheme == "io" else 0
        assert (adjacent > 0, prepared.counts[split]["entities"]) == (True, entities - lost)
        if not lost:
            tags = [[LABELS[one] for one in row] for row in prepared.splits[split]["labels"]]
            assert [[(a, b) for _, a, b in get_entities(row)] for row in tags] == [found for _, found in rows]


def write_form(root: Path, form: str, split: str, rows: list[Sentence]) -> str:
    """Write sentences, ten a document and each a line of its text, and return the name of the file."""
    ending = {"span_lines": ".jsonl", "bioc_json": ".json", "bioc_xml": ".xml", "pubtator": ".txt", "brat": ""}[form]
    path, blocks, documents = root / f"{split}{ending}", [], []
    for number in range(0, len(rows), PER_DOCUMENT):
        name, parts, offset = f"{number:06}", [], 0
        for words, entities in rows[number : number + PER_DOCUMENT]:
            text = " ".join(words)
            starts = [len(" ".join(words[:place])) + (place > 0) for place in range(len(words))]
            parts.append((offset, text, [(starts[a], starts[b] + len(words[b])) for a, b in entities]))
            offset += len(text) + 1
        whole = "\n".join(text for _, text, _ in parts)
        spans = [(at + a, at + b) for at, _, found in parts for a, b in found]
        if form == "brat":
            lines = [f"T{n}\tx {a} {b}\t{whole[a:b]}\n" for n, (a, b) in enumerate(spans, start=1)]
            write(path / f"{name}.txt", whole)
            write(path / f"{name}.ann", "".join(lines))
        elif form == "span_lines":
            entities = [{"start": a, "end": b, "label": "x"} for a, b in spans]
            blocks.append(json.dumps({"id": name, "text": whole, "entities": entities}) + "\n")
        elif form == "pubtator":  # two sentences a document fit its form, title and abstract
            for half in range(0, len(parts), 2):
                texts = [text for _, text, _ in parts[half : half + 2]] + [""]
                lines = [f"{name}{half}|t|{texts[0]}\n{name}{half}|a|{texts[1]}\n"]
                for at, text, found in parts[half : half + 2]:
                    shift = at - parts[half][0]
                    lines += [f"{name}{half}\t{shift + a}\t{shift + b}\t{text[a:b]}\tx\n" for a, b in found]
                blocks.append("".join([*lines, "\n"]))
        elif form == "bioc_json":
            passages = []
            for at, text, found in parts:
                notes = [
                    {"infons": {"type": "x"}, "text": text[a:b], "locations": [{"offset": at + a, "length": b - a}]}
                    for a, b in found
                ]
                passages.append({"offset": at, "text": text, "annotations": notes})
            documents.append({"id": name, "passages": passages})
        else:
            passages = []
            for at, text, found in parts:
                notes = [
                    f'<annotation id="1"><infon key="type">x</infon><location offset="{at + a}" length="{b - a}"/>'
                    f"<text>{escape(text[a:b])}</text></annotation>"
                    for a, b in found
                ]
                passages.append(f"<passage><offset>{at}</offset><text>{escape(text)}</text>{''.join(notes)}</passage>")
            blocks.append(f"<document><id>{name}</id>{''.join(passages)}</document>")
    if form != "brat":
        text = "".join(blocks)
        text = f"<collection>{text}</collection>" if form == "bioc_xml" else text
        write(path, json.dumps({"documents": documents}) if form == "bioc_json" else text)
    return path.name


@pytest.mark.parametrize("form", ["span_lines", "brat", "pubtator", "bioc_json", "bioc_xml"])
def test_spans(tmp_path: Path, sentences: dict[str, list[Sentence]], form: str) -> None:
    names = {split: write_form(tmp_path, form, split, rows) for split, rows in sentences.items()}
    prepared = read(tmp_path, form, names, sentences="lines")
    cut = BasicTokenizer(do_lower_case=False, tokenize_chinese_chars=False).tokenize
    for split, rows in sentences.items():
        assert prepared.splits[split]["words"] == [cut(" ".join(words)) for words, _ in rows]
        found = [
            ["".join(words[a : b + 1]) for _, a, b in get_entities([LABELS[one] for one in row])]
            for words, row in zip(prepared.splits[split]["words"], prepared.splits[split]["labels"], strict=True)
        ]
        assert found == [["".join(words[a : b + 1]) for a, b in entities] for words, entities in rows]
