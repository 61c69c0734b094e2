"""score_ner.py: what it prints, and what it says about bad files."""

import json
import os
import subprocess
import sys
import tarfile
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# One entity right (BRCA1), one with a wrong end (breast cancer), one missed (HIV), one invented (of).
GOLD = "BRCA1\tB\nof\tO\nbreast\tB\ncancer\tI\n\nHIV\tB\n"
PREDICTED = "BRCA1\tB\nof\tB\nbreast\tB\ncancer\tO\n\nHIV\tO\n"


def run(tmp_path, gold, predicted):
    for name, content in (("gold.tsv", gold), ("predicted.tsv", predicted)):
        if content is not None:
            (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return subprocess.run(
        [sys.executable, ROOT / "scripts" / "score_ner.py", tmp_path / "gold.tsv", tmp_path / "predicted.tsv"],
        capture_output=True,
        text=True,
        check=False,
    )


def test_prints_scores_as_json(tmp_path):
    done = run(tmp_path, GOLD, PREDICTED)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "precision": pytest.approx(1 / 3),
        "recall": pytest.approx(1 / 3),
        "f1": pytest.approx(1 / 3),
        "entities": 3,
    }


def test_windows_line_ends_and_extra_blank_lines_change_nothing(tmp_path):
    plain = run(tmp_path, GOLD, PREDICTED)
    other = run(tmp_path, "\n" + GOLD.replace("\n\n", "\n\n \n"), PREDICTED.replace("\n", "\r\n"))
    assert other.stdout == plain.stdout


@pytest.mark.parametrize(
    ("gold", "predicted", "message"),
    [
        (GOLD, PREDICTED.replace("of\tB\n", ""), "predicted.tsv has 'breast' in line 2 where "),
        (
            GOLD,
            PREDICTED.replace("cancer\tO\n", ""),
            "predicted.tsv ends a sentence in line 4 where",
        ),
        (GOLD, PREDICTED + "\nnew\tO\n", "predicted.tsv ends a sentence in line 7 where"),
        (GOLD + "\nnew\tO\n", PREDICTED, "predicted.tsv ends where"),
        (GOLD, PREDICTED.replace("of\tB", "of B"), "predicted.tsv, line 2: expected a word, one tab and a label"),
        (GOLD.replace("of\tO", "of\tGENE"), PREDICTED, "gold.tsv, line 2: 'GENE' is no label"),
        (GOLD.replace("of\tO", "of\tIN\tO"), PREDICTED, "gold.tsv, line 2: "),
        (GOLD, "", "predicted.tsv is empty"),
        (GOLD, "\n\n", "predicted.tsv is empty"),
        (GOLD, None, "predicted.tsv does not exist"),
        (GOLD, b"na\xefve\tO\n", "is not UTF-8"),
    ],
)
def test_bad_files_get_one_clear_line(tmp_path, gold, predicted, message):
    done = run(tmp_path, gold, predicted)
    assert done.returncode == 1
    assert not done.stdout
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


COUNTED = {  # gold entities over words and over cased word pieces, as counted in the published files
    "NCBI-disease": (960, 2276),
    "BC5CDR-disease": (4424, 12489),
    "BC5CDR-chem": (5385, 17967),
    "BC2GM": (6325, 16336),
    "JNLPBA": (6241, 14701),
}


@pytest.mark.skipif("COMPACTBIO_MIRROR" not in os.environ, reason="COMPACTBIO_MIRROR names no mirror of real data")
@pytest.mark.parametrize("dataset", COUNTED)
def test_gold_entities_of_the_real_test_sets(tmp_path, dataset):
    import numpy as np

    from compactbio.scoring.entities import labels_of_lists, match_pieces, offsets_of, scores_of_counts
    from compactbio.scoring.tagged_files import read_tagged_file, score_tagged_files
    from compactbio.students.tokenizers import build_tokenizer

    mirror = Path(os.environ["COMPACTBIO_MIRROR"])
    with tarfile.open(mirror / "biobert/datasets.tar.gz") as archive:
        member = archive.extractfile(f"datasets/NER/{dataset}/test.tsv")
        (tmp_path / "test.tsv").write_bytes(member.read())
    tokenizer = build_tokenizer(mirror / "hub/vocab/bert-base-cased-vocab.txt", lower_case=False)
    gold_file = read_tagged_file(tmp_path / "test.tsv")
    sentences = [list(words) for filled, words in groupby(gold_file.words, bool) if filled]
    encodings = tokenizer(sentences, is_split_into_words=True, add_special_tokens=False)
    words = [encodings.word_ids(number) for number in range(len(sentences))]
    offsets = offsets_of(np.array([len(indices) for indices in words]))
    pieces = labels_of_lists([["O"] * len(indices) for indices in words])
    assert pieces.offsets.tolist() == offsets.tolist()
    gold = labels_of_lists(gold_file.sentences())
    reference = scores_of_counts(match_pieces(gold, pieces, np.concatenate(words).astype(np.int64), 510).by_sentence())
    standard = score_tagged_files(tmp_path / "test.tsv", tmp_path / "test.tsv")
    assert (standard["entities"], reference["entities"]) == COUNTED[dataset]
    assert standard["f1"] == 1.0
