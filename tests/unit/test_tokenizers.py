"""Tokenizers: equal to the tokenizers library's own BERT tokenizer, and kept with their casing."""

import json
from pathlib import Path

import pytest
from helpers.students import DEFINITION, VOCABULARY, write_vocabulary
from tokenizers import BertWordPieceTokenizer
from transformers import AutoTokenizer

from compactbio.errors import UserError
from compactbio.students.tokenizer_files import read_vocabulary
from compactbio.students.tokenizers import (
    build_tokenizer,
    check_tokenizer,
    load_tokenizer,
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


ACCENTED = [*VOCABULARY, "##ö", "sj", "sjö", "##gren", "##jogren"]


def published_by_transformers(folder, **options):
    """A folder as transformers saves it, from a vocabulary of its own."""
    from transformers import BertTokenizer

    tokenizer = BertTokenizer(vocab={token: n for n, token in enumerate(ACCENTED)}, **options)
    tokenizer.save_pretrained(folder)
    write_vocabulary(folder / "vocab.txt", ACCENTED)
    return tokenizer


@pytest.mark.parametrize("files", ["both", "vocab.txt", "tokenizer.json"])
def test_accents_kept_in_lower_cased_text_are_refused_by_name(tmp_path, files):
    published_by_transformers(tmp_path, do_lower_case=True, strip_accents=False)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings | {"strip_accents": False}))
    for name in {"vocab.txt", "tokenizer.json"} - {files} if files != "both" else ():
        (tmp_path / name).unlink()
    with pytest.raises(UserError, match=r"says strip_accents: false where texts are lower-cased"):
        tokenizer_from_files(tmp_path, lower_case=True)


@pytest.mark.parametrize(
    ("lower_case", "strip_accents"), [(False, False), (False, None), (True, True), (True, None)], ids=str
)
def test_other_settings_of_accents_give_the_ids_of_transformers(tmp_path, lower_case, strip_accents):
    oracle = published_by_transformers(tmp_path, do_lower_case=lower_case, strip_accents=strip_accents)
    ours = tokenizer_from_files(tmp_path, lower_case=lower_case)
    for text in ("Sjögren", "SJÖGREN é", *TEXTS):
        assert ours(text)["input_ids"] == oracle(text)["input_ids"]


def test_added_tokens_of_tokenizer_json_win_over_vocab_txt(tmp_path):
    from transformers import AddedToken

    oracle = published_by_transformers(tmp_path, do_lower_case=True)
    oracle.add_tokens(["IL-2", "kinase", AddedToken("ing", single_word=True), "cell"])
    oracle.add_tokens("[E1]", special_tokens=True)
    oracle.save_pretrained(tmp_path)
    published = tokenizer_from_files(tmp_path, lower_case=True)
    assert len(published) == len(oracle) == len(ACCENTED) + 4
    save_tokenizer(published, tmp_path / "saved")
    for ours in (published, load_tokenizer(tmp_path / "saved"), tokenizer_from_files(tmp_path / "saved", True)):
        for text in ("IL-2 kinases bind il-2", "celling [E1] ing", "[CLS] cell", *TEXTS):
            assert ours(text)["input_ids"] == oracle(text)["input_ids"], text
    plain = tmp_path / "plain"
    save_tokenizer(build_tokenizer(write_vocabulary(plain / "vocab.txt", list(published.get_vocab())), True), plain)
    assert tokenizer_digest(plain) != tokenizer_digest(tmp_path / "saved")  # the same tokens, found in another way


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("normalizer", {"type": "BertNormalizer", "handle_chinese_chars": False}), "handle_chinese_chars: False"),
        (("normalizer", {"type": "BertNormalizer", "clean_text": False}), "clean_text: False"),
        (("pre_tokenizer", {"type": "Whitespace"}), "cuts texts into words by Whitespace"),
        (("model", {"type": "WordPiece", "continuing_subword_prefix": "@@"}), "continuing_subword_prefix: '@@'"),
        (("model", {"type": "WordPiece"}), "has no vocabulary"),
        (("model", {"type": "WordPiece", "vocab": [1]}), "has no vocabulary"),
        (("model", []), "unknown tokenizer"),
    ],
)
def test_what_would_be_encoded_otherwise_is_refused_by_name(vocab_file, tmp_path, change, message):
    save_tokenizer(build_tokenizer(vocab_file, False), tmp_path / "saved")
    file = tmp_path / "saved" / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | dict([change])))
    with pytest.raises(UserError, match=message):
        tokenizer_from_files(tmp_path / "saved", lower_case=False)


@pytest.mark.parametrize(("stated", "kept"), [(128, 128), (1024, 1024), (int(1e30), 512), (None, 512)])
def test_the_longest_text_is_the_published_one(vocab_file, tmp_path, stated, kept):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": stated}))
    tokenizer = tokenizer_from_files(tmp_path, lower_case=False)
    assert tokenizer.model_max_length == kept
    save_tokenizer(tokenizer, tmp_path / "saved")
    assert load_tokenizer(tmp_path / "saved").model_max_length == kept


def test_added_tokens_without_tokenizer_json_are_refused(vocab_file, tmp_path):
    for added, first in (({"kinase": 200, "[MASK]": 4}, "kinase"), ({"cell": 7}, "cell")):  # the other's id is known
        (tmp_path / "added_tokens.json").write_text(json.dumps(added))
        with pytest.raises(UserError, match=f"files have not, or with other ids, for example '{first}'.*save_pretrain"):
            tokenizer_from_files(tmp_path, lower_case=False)
    (tmp_path / "added_tokens.json").write_text('{"[MASK]": 4}')
    assert tokenizer_from_files(tmp_path, lower_case=False).mask_token_id == 4


def test_json_with_a_byte_order_mark_is_read(vocab_file, tmp_path):
    save_tokenizer(build_tokenizer(vocab_file, False), tmp_path)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_text("\ufeff" + (tmp_path / name).read_text(encoding="utf-8"), encoding="utf-8")
    assert tokenizer_from_files(tmp_path, lower_case=False).get_vocab() == read_vocabulary(vocab_file)


def test_a_vocabulary_in_utf_16_is_told_how_to_convert_it(tmp_path):
    (tmp_path / "vocab.txt").write_text("[PAD]\n", encoding="utf-16")
    with pytest.raises(UserError, match="iconv -f utf-16 -t utf-8"):
        read_vocabulary(tmp_path / "vocab.txt")
