"""write_entities.py: what a run found comes back as spans of the documents it was found in, or as tagged words."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from helpers.annotated import ABSTRACT, ENTITIES, LABELS, TITLE, definition, write_corpus
from helpers.scoring import NER_RUNS, ner_row, run_settings, write_results
from helpers.tasks import NER, write_ner
from seqeval.metrics.sequence_labeling import get_entities

from compactbio.errors import UserError
from compactbio.tasks.prepare import prepare_dataset


def found(root: Path, wanted: dict[str, Any], labels: list[str], predicted: list[list[str]]) -> list[str]:
    """Prepare a dataset, write predictions of it as run seed1, and nothing found as run seed2; return the options."""
    manifest = prepare_dataset("x", wanted, root, root / "tasks")
    import datasets

    test = datasets.load_from_disk(str(root / "tasks" / "data"))["test"]
    rows = []
    for number, (ids, tags) in enumerate(zip(test["labels"], predicted, strict=True)):
        gold = [labels[one] for one in ids]
        rows.append(ner_row("seed1", number, gold, tags, gold, list(range(len(gold)))))
        rows.append(ner_row("seed2", number, gold, ["O"] * len(gold), gold, list(range(len(gold)))))
    settings = run_settings("tiny", "x", "ner", NER_RUNS, labels=manifest["labels"])
    write_results(root / "results", settings, rows[::-1])
    return ["--results", str(root / "results"), "--tasks", str(root / "tasks"), "--output", str(root / "found")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run the program's main."""
    import write_entities

    def start(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["write_entities.py", *arguments])
        write_entities.main()

    return start


@pytest.mark.parametrize(("unit", "code", "size"), [("characters", "utf-32-le", 4), ("utf16_units", "utf-16-le", 2)])
def test_what_is_found_comes_back_at_its_place_in_the_file(
    tmp_path: Path, run: Callable[..., None], unit: str, code: str, size: int
) -> None:
    """With the gold tags for predictions, the spans are those of the files, in their own unit."""
    abstract = ABSTRACT.replace("We", "𝛼𝛽")
    whole = f"{TITLE}\n{abstract}"
    entities = [
        (kind, *(len(whole[:place].encode(code)) // size for place in (start, end)), text)
        for kind, start, end, text in ENTITIES
    ]
    for split in ("train", "test"):
        write_corpus(tmp_path, "pubtator", split, f"of-{split}", entities, abstract)
    predicted = [["B-Drug", "O", "B-Disease", "I-Disease", "O"], ["O"] * 13, ["B-Disease", "I-Disease", "O", "O"]]
    predicted[1][2:5] = ["B-Drug", "I-Drug", "I-Drug"]
    options = found(tmp_path, definition("pubtator", offsets=unit), LABELS, predicted)
    run(*options)
    [line] = (tmp_path / "found").read_text(encoding="utf-8").splitlines()
    spans = [{"start": start, "end": end, "label": kind, "text": text} for kind, start, end, text in entities]
    assert json.loads(line) == {"id": "of-test", "entities": spans}
    run(*options, "--run", "seed2")
    assert json.loads((tmp_path / "found").read_text()) == {"id": "of-test", "entities": []}


def test_tagged_words_come_in_any_scheme_and_io_says_what_it_cannot(
    tmp_path: Path, run: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    write_ner(tmp_path, test="a/B b/I c/B d/O | e/O")
    options = found(tmp_path, NER, ["O", "B", "I"], [["B", "I", "B", "O"], ["O"]])
    run(*options, "--scheme", "bioes")
    assert not [record for record in caplog.records if record.levelname == "WARNING"]
    assert (tmp_path / "found").read_text() == "a\tB\nb\tE\nc\tS\nd\tO\n\ne\tO\n\n"
    assert get_entities(["B", "E", "S", "O"]) == get_entities(["B", "I", "B", "O"])
    run(*options, "--scheme", "io")
    assert "1 entities begin where one of their type ends, which the scheme io cannot say" in caplog.text
    assert (tmp_path / "found").read_text() == "a\tI\nb\tI\nc\tI\nd\tO\n\ne\tO\n\n"
    for more, message in (
        ([], "has no places.parquet: its layout has sentences, not documents; say --scheme"),
        (["--run", "seed9"], "--run seed9 is not in"),
    ):
        with pytest.raises(UserError, match=message):
            run(*options, *more)
