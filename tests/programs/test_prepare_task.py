"""prepare_task.py: each layout ends as typed columns that others can rely on."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import annotated
from helpers.configurations import CONFIG, ROOT, read
from helpers.tasks import (
    BIOASQ,
    CHEMPROT,
    GAD,
    JSON_LINES,
    NER,
    PLAIN,
    SQUAD,
    squad_json,
    write,
    write_bioasq,
    write_chemprot,
    write_gad,
    write_json_lines,
    write_ner,
)

from compactbio.errors import UserError
from compactbio.files import read_json, read_manifest
from compactbio.kinds import KINDS
from compactbio.settings.datasets import known_counts
from compactbio.tasks.data_sources import fetch_source, read_sources
from compactbio.tasks.prepare import prepare_dataset

PROGRAM = ROOT / "scripts" / "prepare_task.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *map(str, arguments)], capture_output=True, text=True, check=False
    )


def load(folder: Path):
    datasets = pytest.importorskip("datasets")
    return datasets.load_from_disk(str(folder / "data"))


def test_help_is_quick_and_explains_the_layouts() -> None:
    start = time.monotonic()
    result = run("--help")
    assert time.monotonic() - start < 5
    assert result.returncode == 0
    for word in ("--dataset", "--definition", "--data", "--output", "tagged_words", "chemprot", "squad"):
        assert word in result.stdout


def test_the_program_writes_a_dataset(tmp_path: Path) -> None:
    output = tmp_path / "out" / "mine"
    definition = {**NER, "counts": {"train": {"sentences": 2, "entities": 1}, "test": None}}
    arguments = ("--dataset", "mine", "--definition", json.dumps(definition), "--output", output)
    result = run(*arguments, "--data", write_ner(tmp_path))
    assert result.returncode == 0, result.stderr
    data = load(output)
    assert list(data) == ["train", "validation", "test"]
    assert {name: str(kind) for name, kind in data["train"].features.items()} == {
        "id": "Value('int32')",
        "words": "List(Value('string'))",
        "labels": "List(ClassLabel(names=['O', 'B', 'I']))",
    }
    assert data["train"][0] == {"id": 0, "words": ["Cold", "agglutinin", "disease", "."], "labels": [0, 1, 2, 0]}
    manifest = read_manifest(output)
    assert manifest["task"] == "ner"
    assert manifest["labels"] == ["O", "B", "I"]
    assert manifest["counts"] == read_json(output / "counts.json")
    assert set(manifest["inputs"]) == {"train.tsv", "devel.tsv", "test.tsv"}

    wrong = {**definition, "counts": {"train": {"sentences": 3, "entities": 1}}}
    result = run(*arguments[:3], json.dumps(wrong), *arguments[4:], "--data", tmp_path)
    assert result.returncode == 1
    assert "train sentences: expected 3, found 2" in result.stderr
    assert "datasets.mine.accept_counts: true" in result.stderr
    assert "Traceback" not in result.stderr
    assert read_manifest(output) == manifest


def test_other_kinds_have_their_columns(tmp_path: Path) -> None:
    write(tmp_path / "plain" / "train.tsv", "a\tyes\n")
    write(tmp_path / "plain" / "test.tsv", "b\tno\n")
    for name, definition, root in (
        ("gad", GAD, write_gad(tmp_path)),
        ("plain", PLAIN, tmp_path),
        ("chemprot", CHEMPROT, write_chemprot(tmp_path)),
        ("json", JSON_LINES, write_json_lines(tmp_path)),
    ):
        prepare_dataset(name, definition, root, tmp_path / "out" / name)
        features = load(tmp_path / "out" / name)["test"].features
        assert list(features) == ["id", "fold", "sentence", "label"]
        assert features["label"].names == definition["labels"]
        assert features["id"].dtype == features["fold"].dtype == "int32"
    assert load(tmp_path / "out" / "gad")["train"]["fold"][:] == [1, 1, 1, 2, 2, 2]


def test_question_answering_keeps_the_golden_answers(tmp_path: Path) -> None:
    prepare_dataset("asq", BIOASQ, write_bioasq(tmp_path), tmp_path / "out")
    data = load(tmp_path / "out")
    assert list(data["train"].features) == ["id", "question_id", "snippet", "question", "context", "answers"]
    assert data["train"][2]["answers"] == {"text": ["aspirin"], "answer_start": [11]}
    assert data["train"].features["answers"]["answer_start"].feature.dtype == "int32"
    assert read_json(tmp_path / "out" / "golden.json")[0] == {
        "question_id": "cc",
        "answers": [["enzyme", "catalyst"]],
    }
    assert (tmp_path / "out" / "golden_bioasq.json").read_bytes() == (tmp_path / "qa/golden.json").read_bytes()

    write(tmp_path / "qa" / "train.json", squad_json([("a", "Q?", "It is so.", [("so", 6)])]))
    write(tmp_path / "qa" / "test.json", squad_json([("b", "Q?", "It is so.", [("It", 0)])]))
    prepare_dataset("own", SQUAD, tmp_path, tmp_path / "own")
    assert read_json(tmp_path / "own" / "golden.json") == [{"question_id": "b", "answers": [["It"]]}]


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    root = write_ner(tmp_path)
    digests = {prepare_dataset("x", NER, root, tmp_path / name)["digest"] for name in ("a", "b")}
    assert len(digests) == 1
    write_ner(tmp_path, devel="Flu/O")
    assert prepare_dataset("x", NER, root, tmp_path / "c")["digest"] not in digests


def test_accepted_counts_and_counts_that_do_not_exist(tmp_path: Path) -> None:
    root = write_ner(tmp_path)
    accepted = {**NER, "counts": {"test": {"entities": 7}}, "accept_counts": True}
    manifest = prepare_dataset("x", accepted, root, tmp_path / "out")
    assert manifest["accepted_differences"] == [{"part": "test", "count": "entities", "expected": 7, "found": 1}]
    for counts in ({"test": {"rows": 7}}, {"dev": {"rows": 7}}):
        with pytest.raises(UserError, match=r"datasets\.x\.counts.*: unknown (split|count) `(dev|rows)`"):
            prepare_dataset("x", {**NER, "counts": counts}, root, tmp_path / "out")


def test_the_configuration_knows_what_is_counted(tmp_path: Path) -> None:
    """Misspelt counts are refused before anything runs, so the names there must be those that the readers count."""
    write(tmp_path / "plain" / "train.tsv", "a\tyes\n")
    write(tmp_path / "plain" / "test.tsv", "b\tno\n")
    write_ner(tmp_path, train="-DOCSTART-/O | None/O")
    for write_files in (write_gad, write_chemprot, write_json_lines):
        write_files(tmp_path)
    for form in annotated.FORMS:
        for split in ("train", "test"):
            annotated.write_corpus(tmp_path, form, split)
    forms = map(annotated.definition, annotated.FORMS)
    for definition in (NER, {**NER, "scheme": "iob1"}, *forms, GAD, PLAIN, JSON_LINES, CHEMPROT, BIOASQ, SQUAD):
        if definition["task"] == "qa":
            write_bioasq(tmp_path)
        if definition is SQUAD:
            write(tmp_path / "qa" / "test.json", squad_json([("b", "Q?", "It is so.", [("It", 0)])]))
        counted = prepare_dataset("x", definition, tmp_path, tmp_path / "out")["counts"]
        names = {split: {key for key, value in of.items() if isinstance(value, int)} for split, of in counted.items()}
        known = known_counts(KINDS[definition["task"]].layout(definition["layout"]), definition)
        assert set(names) == set(known), definition["layout"]
        for split in names:
            # counted where there are any, or where a definition has keys of its own
            rare = {
                "document_marks_skipped",
                "list",
                "summary",
                "illegal_tags",
                "tags_changed",
                "entities_of_other_types",
            }
            scheme = {"i_after_o"} if "scheme" in definition else set()
            assert names[split] <= known[split] <= names[split] | rare | scheme, (definition["layout"], split)


SOURCE = {"source": "x", "version": "1", "url": "", "archive": {}, "digest": "d", "files": {}}
SOURCE |= {"licence": "", "citation": ""}


def test_data_may_be_the_manifest_of_a_source(tmp_path: Path) -> None:
    from compactbio.files import write_json, write_manifest

    write_ner(tmp_path / "files")
    write_manifest(tmp_path / "files")
    write_json(tmp_path / "source.json", SOURCE | {"folder": str(tmp_path / "files")})
    prepare_dataset("x", NER, tmp_path / "source.json", tmp_path / "out")
    (tmp_path / "files" / "ner" / "test.tsv").write_text("changed\tO\n")
    with pytest.raises(UserError, match=r"ner/test\.tsv"):
        prepare_dataset("x", NER, tmp_path / "source.json", tmp_path / "out")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--definition", "{"), "--definition is not JSON"),
        (("--definition", "[]"), "datasets.x must be a mapping"),
        (("--definition", json.dumps({**NER, "folder": "nowhere"})), "correct datasets.x.folder"),
    ],
)
def test_a_wrong_command_line_gives_one_line(tmp_path: Path, arguments: tuple, message: str) -> None:
    result = run("--dataset", "x", "--data", tmp_path, "--output", tmp_path / "out", *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.skipif("COMPACTBIO_MIRROR" not in os.environ, reason="COMPACTBIO_MIRROR names no mirror of real data")
def test_the_real_form_of_scibert(tmp_path: Path) -> None:
    """The example's archive holds the bytes that the table of sources names, and the counts are those asserted."""
    table = CONFIG / "data_sources.tsv"
    url = read("examples/real_input.yaml")["data_urls"]["scibert"].format(mirror=os.environ["COMPACTBIO_MIRROR"])
    source = fetch_source(read_sources(table)["scibert"], tmp_path / "cache", table, url)
    definition = read()["datasets"]["ChemProt-13"]
    prepare_dataset("ChemProt-13", definition, Path(source["folder"]), tmp_path / "out")
    files = Path(source["folder"]) / definition["folder"]
    for split, rows in load(tmp_path / "out").items():
        written = [json.loads(line) for line in (files / definition["files"][split]).read_bytes().splitlines()]
        names = rows.features["label"].names
        assert [(row["sentence"], names[row["label"]]) for row in rows] == [
            (row["text"], row["label"]) for row in written
        ]
        assert all(mark in text for text in rows["sentence"] for mark in ("<< ", " >>", "[[ ", " ]]"))
    counts = read_json(tmp_path / "out" / "counts.json")
    assert [label for label, number in counts["test"]["labels"].items() if not number] == ["SUBSTRATE_PRODUCT-OF"]
    assert counts["test"]["also_in_train"] == 4


@pytest.mark.parametrize("labels", [[0, 1], [False, True], "OB", {"O": 1}, [["O"], ["B"]]], ids=str)
def test_labels_that_are_no_texts_are_refused_by_their_key(tmp_path: Path, labels: object) -> None:
    write_gad(tmp_path)
    with pytest.raises(UserError, match=r"datasets\.mine\.labels: a list of texts is needed.*quote them"):
        prepare_dataset("mine", {**GAD, "labels": labels}, tmp_path, tmp_path / "out")
