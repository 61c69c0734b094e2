"""Tokenizers: equal to the tokenizers library's own BERT tokenizer, and kept with their casing."""

import json
from pathlib import Path

import pytest
from helpers.students import DEFINITION, VOCABULARY, write_vocabulary
from tokenizers import BertWordPieceTokenizer
from transformers import AutoTokenizer

from compactbio.errors import UserError
from compactbio.students.tokenizers import (
    build_tokenizer,
    check_tokenizer,
    load_tokenizer,
    read_vocabulary,
    save_tokenizer,
    special_ids,
    tokenizer_digest,
    tokenizer_from_files,
)

TEXTS = ["TNF-α acts on naïve T cells.", "Gene (ing) é 東京 \u2028 x", "", "a" * 150, "celling [MASK] gene"]


@pytest.fixture
def vocab_file(tmp_path: Path) -> Path:
    return write_vocabulary(tmp_path / "vocab.txt")


@pytest.mark.parametrize("lower_case", [False, True])
def test_encodes_like_the_tokenizers_library_before_and_after_saving(vocab_file, tmp_path, lower_case):
    oracle = BertWordPieceTokenizer(str(vocab_file), lowercase=lower_case)
    built = build_tokenizer(vocab_file, lower_case)
    save_tokenizer(built, tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_text('{"model_type": "distilbert"}')
    for tokenizer in (
        built,
        load_tokenizer(tmp_path / "saved"),
        AutoTokenizer.from_pretrained(tmp_path / "saved"),
    ):
        for text in TEXTS:
            assert tokenizer(text)["input_ids"] == oracle.encode(text).ids
        pair, expected = tokenizer("gene", "cell"), oracle.encode("gene", "cell")
        assert (pair["input_ids"], pair["token_type_ids"]) == (expected.ids, expected.type_ids)
        assert special_ids(tokenizer) == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
        assert (tokenizer.pad_token_id, tokenizer.mask_token_id) == (0, 4)
        assert tokenizer.model_max_length == 512


def test_saved_vocabulary_is_the_same_file(vocab_file, tmp_path):
    save_tokenizer(build_tokenizer(vocab_file, False), tmp_path / "saved")
    assert (tmp_path / "saved" / "vocab.txt").read_bytes() == vocab_file.read_bytes()


def test_digest_tells_casing_and_vocabulary_apart_and_nothing_else(vocab_file, tmp_path):
    digests = []
    longer = [*VOCABULARY, "kinase"]
    cases = [(VOCABULARY, False, 512), (VOCABULARY, False, 64), (VOCABULARY, True, 512), (longer, False, 512)]
    for number, (tokens, lower_case, length) in enumerate(cases):
        write_vocabulary(vocab_file, tokens)
        save_tokenizer(build_tokenizer(vocab_file, lower_case, length), tmp_path / str(number))
        digests.append(tokenizer_digest(tmp_path / str(number)))
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_lines_with_windows_ends_and_unicode_line_ends_keep_their_ids(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\r\n".join([*VOCABULARY, "\u2028", "after"]).encode())
    vocabulary = read_vocabulary(path)
    assert vocabulary["after"] == len(VOCABULARY) + 1


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([*VOCABULARY, "cell"], "'cell' more than once"),
        (VOCABULARY[:4] + VOCABULARY[5:], r"\[MASK\] missing"),
        (["<html>", "</html>"], "not a BERT vocabulary"),
    ],
)
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path, tokens, message):
    with pytest.raises(UserError, match=message):
        read_vocabulary(write_vocabulary(tmp_path / "vocab.txt", tokens))


def test_published_folder_with_tokenizer_json_alone(vocab_file, tmp_path):
    save_tokenizer(build_tokenizer(vocab_file, False), tmp_path / "saved")
    (tmp_path / "saved" / "vocab.txt").unlink()
    tokenizer = tokenizer_from_files(tmp_path / "saved", lower_case=False)
    assert tokenizer.get_vocab() == read_vocabulary(vocab_file)


def test_stated_casing_wins_over_a_recorded_one_with_a_warning(vocab_file, tmp_path, caplog):
    (tmp_path / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    tokenizer = tokenizer_from_files(tmp_path, lower_case=False)
    assert "records lower-casing as True" in caplog.text
    check_tokenizer(tokenizer, DEFINITION)
    assert tokenizer.tokenize("TNF") == ["TNF"]


def test_other_kinds_of_tokenizer_are_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"type": "BPE", "vocab": {}}}))
    with pytest.raises(UserError, match="BPE"):
        tokenizer_from_files(tmp_path, lower_case=False)
    with pytest.raises(UserError, match="holds no tokenizer"):
        tokenizer_from_files(tmp_path / "nothing", lower_case=False)


def test_check_names_the_key_that_differs(vocab_file):
    tokenizer = build_tokenizer(vocab_file, False)
    golden = {"text": "TNF", "ids": tokenizer("TNF")["input_ids"]}
    check_tokenizer(tokenizer, {**DEFINITION, "golden": golden}, "tiny")
    with pytest.raises(UserError, match=r"tokenizers\.tiny\.vocabulary_size"):
        check_tokenizer(tokenizer, {**DEFINITION, "vocabulary_size": 28996}, "tiny")
    with pytest.raises(UserError, match=r"tokenizers\.tiny\.lower_case"):
        check_tokenizer(tokenizer, {**DEFINITION, "lower_case": True}, "tiny")
    with pytest.raises(UserError, match=r"tokenizers\.tiny\.golden"):
        check_tokenizer(tokenizer, {**DEFINITION, "golden": {**golden, "text": "tnf"}}, "tiny")
