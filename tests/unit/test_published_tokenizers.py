"""Tokenizers of any kind, as published, on the way of a training: equal to the tokenizers library, nothing set anew."""

from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.pretraining import MLM, run_settings
from helpers.published_berts import AWKWARD, LONGEST, TEXTS, publish_bert
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoTokenizer

from compactbio.corpus.tokenization import tokenize_shard
from compactbio.corpus.tokens import TokenStore
from compactbio.errors import UserError
from compactbio.files import replacing_folder
from compactbio.finetuning.features import PieceTokenizer
from compactbio.students.checkpoints import import_checkpoint, write_model_folder
from compactbio.students.framing import read_frame
from compactbio.students.initialisation import initialise_student
from compactbio.students.tokenizers import (
    is_bert_wordpiece,
    load_tokenizer,
    require_trainable,
    special_ids,
    tokenizer_digest,
)

KINDS = ("roberta", "modernbert", "deberta-v2", "albert", "electra", "accents", "added", "gaps", "fallback")
DEFINITION = {"source": "path", "architecture": "bert", "tokenizer": None}


def imported(source, output):
    return import_checkpoint(source, DEFINITION, None, {"source": "path", "path": "x"}, output)


@pytest.fixture(scope="module", params=KINDS)
def bert(request, tmp_path_factory):
    """A published BERT with such a tokenizer, and what is made of it."""
    root = tmp_path_factory.mktemp(request.param)
    model = publish_bert(root / "published", request.param)
    imported(root / "published", root / "made")
    return SimpleNamespace(name=request.param, source=root / "published", model=model, made=root / "made")


@pytest.fixture(scope="module")
def roberta(tmp_path_factory):
    folder = tmp_path_factory.mktemp("published") / "roberta"
    publish_bert(folder, "roberta")
    return folder


def store_of(folder, output, max_length=16):
    """The token store of TEXTS and AWKWARD, as tokenize_shard.py makes it."""
    pq.write_table(pa.table({"text": TEXTS + AWKWARD}), output.with_suffix(".parquet"))
    tokenizer = load_tokenizer(folder)
    ids = special_ids(tokenizer)
    frame = read_frame(tokenizer.backend_tokenizer, ids.get("cls"), ids.get("sep"), str(folder)).single
    options = {"frame": frame, "special_ids": ids, "tokenizer_digest": tokenizer_digest(folder)}
    texts = output.with_suffix(".parquet")
    tokenize_shard(texts, output, tokenizer.backend_tokenizer, max_length=max_length, **options)
    return TokenStore([output])


def test_a_store_holds_what_the_published_file_encodes(bert, tmp_path):
    oracle = Tokenizer.from_file(str(bert.source / "tokenizer.json"))
    whole = [oracle.encode(text).ids for text in TEXTS + AWKWARD]
    oracle.enable_truncation(16)
    store = store_of(bert.made, tmp_path / "store")
    stored = [ids.tolist() for ids in store.gather(np.arange(len(store)))]
    assert stored == [oracle.encode(text).ids for text in TEXTS + AWKWARD]
    assert store.truncated == sum(len(ids) > 16 for ids in whole) > 0
    known = set(oracle.get_vocab().values())
    assert store.vocabulary_size == max(known) + 1
    assert store.unused_ids == sorted(set(range(store.vocabulary_size)) - known)
    assert len(store.unused_ids) == (7 if bert.name == "gaps" else 0)


def test_special_ids_are_those_that_transformers_and_the_file_name(bert):
    theirs = AutoTokenizer.from_pretrained(bert.source)
    ids = special_ids(load_tokenizer(bert.made))
    added = json.loads((bert.source / "tokenizer.json").read_text())["added_tokens"]
    assert set(ids.values()) == {*theirs.all_special_ids, *(token["id"] for token in added if token["special"])}
    assert (ids["pad"], ids["mask"]) == (theirs.pad_token_id, theirs.mask_token_id)
    if bert.name == "added":
        assert ids["added [E1]"] == theirs.convert_tokens_to_ids("[E1]")


def test_students_have_the_tokenizer_and_all_embeddings_of_their_teacher(bert, tmp_path):
    digest, size = tokenizer_digest(bert.made), bert.model.config.vocab_size
    for student in ({"teacher_layers": [1]}, {"shape": {"hidden_size": 16, "num_attention_heads": 2}}):
        run = run_settings(MLM, student=student, teacher="big", tokenizer="big")
        folders = {"teacher": bert.made, "tokenizer": bert.made}
        made = initialise_student(run, **folders)
        assert made.model.get_input_embeddings().weight.shape[0] == size > len(made.tokenizer)
        assert made.model.config.pad_token_id == bert.model.config.pad_token_id
        with replacing_folder(tmp_path / next(iter(student))) as folder:
            write_model_folder(folder, made.model, made.tokenizer, made.origin)
        written = tmp_path / next(iter(student))
        assert tokenizer_digest(written) == digest
        for name in ("tokenizer.json", "tokenizer_config.json"):
            assert json.loads((written / name).read_text()) == json.loads((bert.made / name).read_text())
        assert AutoConfig.from_pretrained(written).vocab_size == size


def test_the_digest_is_that_of_all_that_decides_ids(bert, tmp_path):
    digest = tokenizer_digest(bert.made)
    stored = json.loads((bert.made / "tokenizer.json").read_text())
    changes = [
        ("normalizer", {"type": "NFKC"}),
        ("pre_tokenizer", {"type": "Whitespace"}),
        ("post_processor", stored["post_processor"] | {"pair": []} if "pair" in stored["post_processor"] else None),
        ("added_tokens", [*stored["added_tokens"][:-1], stored["added_tokens"][-1] | {"lstrip": True}]),
    ]
    if bert.name in ("electra", "added"):  # BERT's own, of which all but four facts are refused, or the same
        assert is_bert_wordpiece(bert.made)
        changes = changes[:2]
    for part, value in changes:
        (tmp_path / "tokenizer.json").write_text(json.dumps(stored | {part: value}))
        assert tokenizer_digest(tmp_path) != digest, part
    same = {"truncation": None, "padding": None, "decoder": None, "version": "1.0"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(stored | same))
    assert tokenizer_digest(tmp_path) == digest


def test_a_wordpiece_in_another_frame_is_not_berts(tmp_path):
    publish_bert(tmp_path / "published", "electra")
    imported(tmp_path / "published", tmp_path / "made")
    path = tmp_path / "made" / "tokenizer.json"
    stored, digest = json.loads(path.read_text()), tokenizer_digest(tmp_path / "made")
    (tmp_path / "other").mkdir()
    single = stored["post_processor"]["single"]
    changed = stored | {"post_processor": stored["post_processor"] | {"single": [*single, single[-1]]}}
    (tmp_path / "other" / "tokenizer.json").write_text(json.dumps(changed))
    assert tokenizer_digest(tmp_path / "other") != digest


def test_a_known_architecture_is_read_with_the_files_of_a_byte_level_tokenizer(roberta, tmp_path):
    source = shutil.copytree(roberta, tmp_path / "published")
    Tokenizer.from_file(str(source / "tokenizer.json")).model.save(str(source))
    (source / "tokenizer.json").unlink()
    (source / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer", "model_max_length": 64}')
    imported(source, tmp_path / "made")
    oracle = Tokenizer.from_file(str(roberta / "tokenizer.json"))
    theirs = load_tokenizer(tmp_path / "made")
    assert theirs(TEXTS)["input_ids"] == [oracle.encode(text).ids for text in TEXTS]


@pytest.mark.parametrize("kind", ["roberta", "electra"])
def test_the_longest_text_is_kept_and_holds_for_training_and_fine_tuning(kind, tmp_path):
    publish_bert(tmp_path / "published", kind)
    path = tmp_path / "published" / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_max_length": 24}))
    imported(tmp_path / "published", tmp_path / "made")
    tokenizer = load_tokenizer(tmp_path / "made")
    require_trainable(tokenizer, 24, tmp_path)
    PieceTokenizer(tmp_path / "made").require_length(24)
    with pytest.raises(
        UserError, match=r"corpus.max_length is 25, .*tokenizer_config.json, model_max_length, allows 24"
    ):
        require_trainable(tokenizer, 25, tmp_path)
    with pytest.raises(UserError, match=r"max_length is 25, .*model_max_length allows 24"):
        PieceTokenizer(tmp_path / "made").require_length(25)
    assert LONGEST > 25


def test_the_last_id_needs_an_embedding_also_where_others_have_no_token(tmp_path):
    model = publish_bert(tmp_path / "published", "gaps", spare=-1)
    size = model.config.vocab_size
    with pytest.raises(UserError, match=f"says vocab_size {size}, its tokenizer has ids below {size + 1}"):
        imported(tmp_path / "published", tmp_path / "made")


@pytest.mark.parametrize("token", ["mask_token", "pad_token"])
def test_no_training_without_padding_and_masks(roberta, token):
    tokenizer = load_tokenizer(roberta)
    setattr(tokenizer, token, None)
    with pytest.raises(UserError, match=f"names no {token}"):
        require_trainable(tokenizer, 16, roberta)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder, stored: stored["model"].update(dropout=0.1), "says dropout of merges"),
        (
            lambda folder, stored: (folder / "added_tokens.json").write_text('{"[E9]": 500}'),
            r"added_tokens.json has tokens .*'\[E9\]'",
        ),
        (
            lambda folder, stored: stored["added_tokens"].append(
                stored["added_tokens"][0] | {"content": "x9", "id": 900}
            ),
            r"tokenizer.json gives 'x9' the id 900, .* 500",
        ),
    ],
)
def test_what_is_not_kept_is_refused_by_name(roberta, tmp_path, change, message):
    source = shutil.copytree(roberta, tmp_path / "published")
    stored = json.loads((source / "tokenizer.json").read_text())
    change(source, stored)
    (source / "tokenizer.json").write_text(json.dumps(stored))
    with pytest.raises(UserError, match=message):
        imported(source, tmp_path / "made")
