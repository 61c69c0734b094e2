"""Where the reference code reads its data or counts its steps otherwise, restated here beside what is done here."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers.configurations import read
from helpers.corpus import write_baseline
from helpers.finetuning import write_tokenizer
from helpers.tasks import NER, write
from seqeval.metrics.sequence_labeling import get_entities
from tokenizers import Tokenizer
from transformers import MobileBertConfig

from compactbio.corpus.parsing import parse_baseline
from compactbio.corpus.tokenization import tokenize_shard
from compactbio.corpus.tokens import TokenStore
from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.kinds.word_windows import word_windows
from compactbio.scoring.entities import count_entities, labels_of_lists
from compactbio.tasks.prepared import parse_definition
from compactbio.tasks.tagged_words import read_split

LABELS = ("O", "B", "I")

# Words with their pieces: flu-##x-##y, ab-##c; a zero-width space has none.
I_AFTER_O = "the\tO\nfluxy\tI\ncell\tI\n.\tO\n\n"
EMPTY_WORD = "\u200b\tO\nabc\tB\ngene\tO\nbinds\tO\n\n"
PLAIN = "gene\tB\ncell\tI\n.\tO\n\nabc\tB\n.\tO\n\n"


def reference_labels(sentences: list[tuple[list[str], list[str]]], tokenizer: PieceTokenizer) -> list[list[str]]:
    """The reference's gold labels of pieces: the next label of the sentence at each new word that has pieces."""
    rows = []
    for (_, labels), encoding in zip(sentences, tokenizer.encode_words([words for words, _ in sentences]), strict=True):
        taken, previous, row = -1, -1, []
        for word in encoding.word_ids:
            taken += word != previous
            previous = word
            row.append(labels[taken])
        rows.append(row)
    return rows


def our_labels(sentences: list[tuple[list[str], list[str]]], tokenizer: PieceTokenizer) -> list[list[str]]:
    """Our gold labels of pieces, as they are trained on and scored by the reference protocol."""
    codes = [[LABELS.index(label) for label in labels] for _, labels in sentences]
    made = word_windows([words for words, _ in sentences], codes, tokenizer, 64, "all")
    return [[LABELS[code] for code in feature.targets["labels"] if code >= 0] for feature in made.features]


def gold_entities(rows: list[list[str]]) -> int:
    labels = labels_of_lists(rows)
    found = int(count_entities(labels, labels).sum(axis=0)[2])
    assert found == len(get_entities(rows))
    return found


@pytest.mark.parametrize(
    ("content", "theirs", "ours"),
    [(I_AFTER_O, 1, 3), (EMPTY_WORD, 1, 2), (PLAIN, 3, 3), (I_AFTER_O + EMPTY_WORD + PLAIN, 5, 8)],
    ids=["I after O", "word without pieces", "neither", "all"],
)
def test_gold_entities_of_files_that_the_paper_does_not_use(
    tmp_path: Path, content: str, theirs: int, ours: int
) -> None:
    """An I after O is written as B here, which each piece repeats; a word without pieces shifts no label here."""
    write_tokenizer(tmp_path)
    tokenizer = PieceTokenizer(tmp_path)
    raw = [
        tuple(map(list, zip(*(line.split("\t") for line in sentence.split("\n")), strict=True)))
        for sentence in content.strip("\n").split("\n\n")
    ]
    columns, counts = read_split(write(tmp_path / "x.tsv", content), parse_definition("x", NER, tmp_path))
    assert counts["i_after_o"] == (I_AFTER_O in content)  # so a file says whether it is concerned
    named = [[LABELS[code] for code in row] for row in columns["labels"]]
    read_here = list(zip(columns["words"], named, strict=True))
    assert gold_entities(reference_labels(raw, tokenizer)) == theirs
    assert gold_entities(our_labels(read_here, tokenizer)) == ours
    assert gold_entities(named) == gold_entities([labels for _, labels in raw])  # words: the standard protocol's unit


def test_a_citation_without_text_is_an_empty_sequence_as_there(tmp_path: Path) -> None:
    """Under `text: reference`; `sound` drops it and counts it."""
    record = "<PubmedArticle><MedlineCitation><PMID>{}</PMID><Article>{}</Article></MedlineCitation></PubmedArticle>"
    records = [record.format(1, ""), record.format(2, "<ArticleTitle>gene</ArticleTitle>")]
    path = write_baseline(tmp_path / "a.xml.gz", records)
    write_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    ids = {name: tokenizer.token_to_id(f"[{name.upper()}]") for name in ("pad", "unk", "cls", "sep", "mask")}
    facts: dict[str, Any] = {"special_ids": ids, "frame": ([ids["cls"]], [ids["sep"]]), "tokenizer_digest": "d"}
    sequences = {}
    for mode in ("reference", "full"):
        texts = tmp_path / f"{mode}.parquet"
        counts = parse_baseline([path], texts, mode=mode, as_of=None)
        assert counts["dropped"] == ({} if mode == "reference" else {"without_text": 1})
        assert pq.read_metadata(texts).num_rows == counts["kept"]
        tokenize_shard(texts, tmp_path / mode, tokenizer, max_length=24, **facts)
        store = TokenStore([tmp_path / mode])
        sequences[mode] = [ids.tolist() for ids in store.gather(np.arange(len(store)))]
    gene = [ids["cls"], tokenizer.token_to_id("gene"), ids["sep"]]
    assert sequences == {"reference": [[ids["cls"], ids["sep"]], gene], "full": [gene]}


@pytest.mark.parametrize("steps", [100_000, 200_000])
def test_the_references_steps_are_one_more_by_rounding(steps: int) -> None:
    """It gives epochs, (1 / 173,989) x steps, of which transformers takes the ceiling in steps."""
    assert math.ceil((1 / 173_989) * steps * 173_989) == steps + 1
    config = read()
    assert steps in {model["optimisation"]["steps"] for model in config["models"].values() if "objective" in model}


def test_the_last_step_that_is_missing_here_would_have_moved_nothing() -> None:
    """The linear schedule of 100,001 steps from 5e-4 differs by at most 5e-9 a step, and its last step is taken at
    the rate 5.3e-9.
    """
    here, there = (np.clip((total - np.arange(total)) / (total - 5000), 0, 1) for total in (100_000, 100_001))
    assert np.abs(5e-4 * (there[:-1] - here))[5000:].max() < 5.3e-9 and 5e-4 * there[-1] < 5.3e-9


def test_mobilebert_has_no_dropout_of_hidden_states_by_default() -> None:
    """So the reference's BioMobileBERT trains without, and so does ours: its checkpoint's configuration is kept."""
    config = MobileBertConfig()
    assert (config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (0.0, 0.1)
