"""Encoders with tokenizers of any kind, with and without a file in architectures/: all equals transformers' own."""

from __future__ import annotations

import json
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from helpers.encoders import ENCODERS, SIZES, publish, sentences
from helpers.finetuning import NER_LABELS
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from compactbio.architectures import ARCHITECTURES, architecture_of, longest_sequence
from compactbio.errors import UserError
from compactbio.finetuning.features import IGNORED, PieceTokenizer
from compactbio.finetuning.kinds import task_kind
from compactbio.finetuning.kinds.context_windows import context_windows
from compactbio.finetuning.kinds.word_windows import word_windows
from compactbio.finetuning.model.predicted_logits import predict_logits
from compactbio.finetuning.model.seen_embeddings import SeenEmbeddings
from compactbio.finetuning.model.task_model import load_task_model
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed.batching import training_batches
from compactbio.kinds import KINDS
from compactbio.reporting.efficiency.encoders import count_flops, peak_memory
from compactbio.reporting.efficiency.onnx_files import OnnxModel, check_agreement, export_onnx, quantise
from compactbio.students.checkpoints import import_checkpoint, read_checkpoint
from compactbio.students.models import load_encoder, load_masked_lm
from compactbio.students.parameters import count_parameters
from compactbio.tasks.rows import Rows

torch.set_num_threads(1)
SENTENCES = sentences(40, 2)
TEXTS = [" ".join(words) for words in SENTENCES]
DEFINITION = {"source": "path", "architecture": "auto", "tokenizer": None}


def imported(source, output):
    return import_checkpoint(source, DEFINITION, None, {"source": "path", "path": "x"}, output)


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request, tmp_path_factory):
    """A published folder, its model, and what is made of it."""
    root = tmp_path_factory.mktemp(request.param)
    model = publish(root / "published", request.param)
    manifest = imported(root / "published", root / "made")
    return SimpleNamespace(
        name=request.param, source=root / "published", model=model, made=root / "made", manifest=manifest
    )


def spaced(folder):
    """Transformers' tokenizer of a folder with its option for lists of words, where it has such an option."""
    backend = json.loads(AutoTokenizer.from_pretrained(folder).backend_tokenizer.to_str())
    if backend["pre_tokenizer"]["type"] == "ByteLevel":
        backend["pre_tokenizer"]["add_prefix_space"] = True
    return Tokenizer.from_str(json.dumps(backend))


def test_words_texts_and_pairs_are_cut_as_transformers_does(encoder):
    tokenizer, theirs = PieceTokenizer(encoder.made), AutoTokenizer.from_pretrained(encoder.source)
    made = word_windows(SENTENCES, [[0] * len(words) for words in SENTENCES], tokenizer, 512, "first")
    expected = spaced(encoder.source).encode_batch(SENTENCES, is_pretokenized=True)
    assert [feature.ids.tolist() for feature in made.features] == [encoding.ids for encoding in expected]
    # the same pieces as inside a text
    assert [feature.ids.tolist() for feature in made.features] == theirs([f" {text}" for text in TEXTS])["input_ids"]
    starts = []
    for feature, encoding in zip(made.features, expected, strict=True):
        words = encoding.word_ids
        firsts = [word is not None and word != words[place - 1] for place, word in enumerate(words)]
        assert (feature.targets["labels"] != IGNORED).tolist() == firsts
        starts.append(sum(firsts))
    assert starts == [len(words) for words in SENTENCES]

    rows = Rows({"sentence": TEXTS}, None)
    made = task_kind("re").make_features(rows, [0] * len(TEXTS), tokenizer, {"max_length": 512}, has_answers=True)
    assert [feature.ids.tolist() for feature in made.features] == theirs(TEXTS)["input_ids"]
    answers = [{"text": [words[3]], "answer_start": [len(" ".join(words[:3])) + 1]} for words in SENTENCES]
    made = context_windows(TEXTS[::-1], TEXTS, answers, tokenizer, 512, 16)
    pairs = theirs(TEXTS[::-1], TEXTS, return_token_type_ids=True)
    assert [feature.ids.tolist() for feature in made.features] == pairs["input_ids"]
    types = [np.arange(len(feature.ids)) >= feature.first_segment for feature in made.features]
    assert [row.astype(int).tolist() for row in types] == pairs["token_type_ids"]
    rows = Rows({"text": TEXTS[::-1], "pair": TEXTS}, None)
    both = task_kind("classification").make_features(
        rows, [0] * len(TEXTS), tokenizer, {"max_length": 512}, has_answers=True
    )
    assert [feature.ids.tolist() for feature in both.features] == pairs["input_ids"]
    assert [feature.first_segment for feature in both.features] == [feature.first_segment for feature in made.features]
    for feature, origin, text, answer in zip(made.features, made.origin, TEXTS, answers, strict=True):
        start, end = (int(feature.targets[name]) - origin.begin for name in ("start", "end"))
        found = text[origin.starts[start] : origin.ends[end]]
        assert answer["text"][0] in found and len(found) <= len(answer["text"][0]) + 2  # a piece may hold a bracket


def test_whoever_loads_the_folder_gets_the_same_tokenizer(encoder):
    ours, theirs = (AutoTokenizer.from_pretrained(folder) for folder in (encoder.made, encoder.source))
    assert ours(TEXTS)["input_ids"] == theirs(TEXTS)["input_ids"]
    for key in ("cls_token_id", "sep_token_id", "pad_token_id", "unk_token_id", "mask_token_id", "model_max_length"):
        assert getattr(ours, key) == getattr(theirs, key)


def test_markers_of_their_own_take_the_blank_before_them(encoder):
    plain, marked = PieceTokenizer(encoder.made), PieceTokenizer(encoder.made, ["@GENE$"])
    (encoding,) = marked.encode_texts(["the gene @GENE$ of cells"])
    place = encoding.ids.index(plain.vocabulary)
    assert encoding.ids[:place] == plain.encode_texts(["the gene"])[0].ids
    assert encoding.ids[place + 1 :] == plain.encode_texts([" of cells"])[0].ids


@torch.no_grad()
def test_the_checkpoint_computes_what_the_published_one_does(encoder):
    assert encoder.manifest["architecture"] == encoder.name and encoder.manifest["mlm_head"] is True
    assert read_checkpoint(encoder.made)["digest"] == encoder.manifest["digest"]
    ids = torch.tensor([AutoTokenizer.from_pretrained(encoder.source)(TEXTS[0])["input_ids"]])
    expected = encoder.model(input_ids=ids, output_hidden_states=True)
    torch.testing.assert_close(load_masked_lm(encoder.made)(input_ids=ids).logits, expected.logits)
    states = load_encoder(encoder.made)(input_ids=ids).last_hidden_state
    torch.testing.assert_close(states, encoder.model.base_model(input_ids=ids).last_hidden_state)


def test_sizes_and_lengths_are_the_models(encoder):
    counts = count_parameters(encoder.made)
    weights = {name: value.numel() for name, value in encoder.model.base_model.named_parameters()}
    assert counts.encoder == sum(weights.values())
    assert counts.embeddings == sum(size for name, size in weights.items() if name.startswith("embeddings"))
    configuration = json.loads((encoder.made / "config.json").read_text())
    assert longest_sequence(configuration) == (64 if "roberta" in encoder.name else 66)
    with torch.no_grad():
        longest = torch.full((1, longest_sequence(configuration)), 7)
        load_encoder(encoder.made)(input_ids=longest)


def test_operations_memory_and_the_export_are_measured(encoder, tmp_path):
    model = load_encoder(encoder.made)
    assert count_flops(model, 32) > 32 * 2 * count_parameters(encoder.made).layers
    assert peak_memory(model, 1, 32) > 4 * count_parameters(encoder.made).encoder
    tokenizer = PieceTokenizer(encoder.made)
    step = TaskStep(load_task_model(encoder.made, "ner", NER_LABELS, seed=5), "ner").eval()
    features = word_windows(SENTENCES, [[0] * len(words) for words in SENTENCES], tokenizer, 64, "all").features
    export_onnx(step, tmp_path / "model.onnx")
    model = OnnxModel(tmp_path / "model.onnx", 1)
    assert check_agreement(step, model, features, tokenizer.pad, encoder.name) < 1e-5
    quantise(tmp_path / "model.onnx", tmp_path / "int8.onnx")
    weights = onnx.load(tmp_path / "int8.onnx").graph.initializer
    matrices = [weight for weight in weights if len(weight.dims) == 2 and min(weight.dims) >= 8]
    assert {weight.data_type for weight in matrices} <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
    assert len(matrices) > 7  # also of layers that share them


@pytest.mark.parametrize("task", ["ner", "re", "qa"])
def test_a_step_and_predictions_are_those_of_a_plain_model(encoder, task):
    labels = {"ner": NER_LABELS, "re": ["0", "1"], "qa": []}[task]
    tokenizer = PieceTokenizer(encoder.made)
    some = SENTENCES[:6]
    if task == "ner":
        features = word_windows(some, [[1] + [0] * (len(words) - 1) for words in some], tokenizer, 64, "all").features
    elif task == "re":
        rows = Rows({"sentence": TEXTS[:6]}, None)
        made = task_kind("re").make_features(rows, [0, 1] * 3, tokenizer, {"max_length": 64}, has_answers=True)
        features = made.features
    else:
        answers = [{"text": [words[0]], "answer_start": [0]} for words in some]
        features = context_windows(["which gene ?"] * 6, TEXTS[:6], answers, tokenizer, 64, 8).features
    # as in a run: without a file in architectures/ nothing is packed or cut
    step = TaskStep(load_task_model(encoder.made, task, labels, seed=5), task).eval()
    packs = step.architecture.packs
    assert packs == (encoder.name in ARCHITECTURES)
    if packs:
        step.take_packed(64)
    predicted = predict_logits(
        step, features, tokenizer.pad, SimpleNamespace(device=torch.device("cpu"), autocast=torch.no_grad)
    )
    seen = SeenEmbeddings(step.model, features, tokenizer.pad, (lambda step: 1.0) if packs else None)
    words = next(
        name for name, value in step.model.named_parameters() if value is step.model.get_input_embeddings().weight
    )
    (batch,) = training_batches(
        seen.translate(features),
        KINDS[task].denominator,
        partial(task_kind(task).counted, class_weights=None),
        batch_size=len(features),
        seed=1,
        pad=seen.pad,
        token_types=step.token_types,
        heads=SIZES["num_attention_heads"] if packs else None,
    )(1)
    assert ("packing" in batch.tensors) == packs
    loss = step(batch.tensors, batch.counts)
    loss.backward()
    mine = {name: value.grad for name, value in step.model.named_parameters()}

    plain = load_task_model(encoder.made, task, labels, seed=5).eval()
    shares = []
    for feature, logits in zip(features, predicted, strict=True):
        targets = {name: torch.tensor(value)[None] for name, value in feature.targets.items()}
        if task == "qa":
            targets = {"start_positions": targets["start"], "end_positions": targets["end"]}
        inputs = {"input_ids": torch.tensor(feature.ids)[None], "attention_mask": torch.ones(1, len(feature.ids))}
        if task == "qa" and step.token_types:
            types = np.arange(len(feature.ids)) >= feature.first_segment
            inputs["token_type_ids"] = torch.tensor(types.astype(np.int64))[None]
        output = plain(**inputs, **targets)
        torch.testing.assert_close(torch.tensor(logits), step.kind.logits(output)[0].detach(), rtol=1e-5, atol=1e-5)
        weight = int((feature.targets["labels"] != IGNORED).sum()) if task == "ner" else 1
        shares.append((weight, output.loss))
    expected = sum(weight * value for weight, value in shares) / sum(weight for weight, _ in shares)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for name, value in plain.named_parameters():
        if value.grad is not None:
            expected = value.grad[seen.rows] if name == words else value.grad
            torch.testing.assert_close(mine[name], expected, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_encoders_alone_halves_and_several_files_are_read(tmp_path):
    model = publish(tmp_path / "published", "albert", "AutoModel")
    weights = {name: value.to(torch.bfloat16) for name, value in model.state_dict().items()}
    (tmp_path / "published" / "model.safetensors").unlink()
    parts = [dict(list(weights.items())[place::2]) for place in range(2)]
    index = {}
    for place, part in enumerate(parts, start=1):
        name = f"pytorch_model-0000{place}-of-00002.bin"
        torch.save(part, tmp_path / "published" / name)
        index |= dict.fromkeys(part, name)
    path = tmp_path / "published" / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": index}))
    assert imported(tmp_path / "published", tmp_path / "made")["mlm_head"] is False
    stored = load_file(tmp_path / "made" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}
    assert "pooler.weight" in stored  # sentence tasks read it
    for name, value in AutoModel.from_pretrained(tmp_path / "made").state_dict().items():
        assert torch.equal(value, weights[name].float())


def test_the_pooler_stays_beside_the_head(tmp_path):
    publish(tmp_path / "published", "albert")
    path = tmp_path / "published" / "model.safetensors"
    pooler = {"albert.pooler.weight": torch.ones(32, 32), "albert.pooler.bias": torch.ones(32)}
    save_file(load_file(path) | pooler, path, metadata={"format": "pt"})
    assert imported(tmp_path / "published", tmp_path / "made")["mlm_head"] is True
    assert torch.equal(load_encoder(tmp_path / "made").pooler.weight, torch.ones(32, 32))
    assert count_parameters(tmp_path / "made").pooler == 32 * 33
    AutoModelForMaskedLM.from_pretrained(tmp_path / "made")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder, config: config.update(model_type="own", auto_map={"AutoModel": "own.Own"}),
            "auto_map.*not run",
        ),
        (lambda folder, config: config.update(model_type="gpt2"), "no encoder of architecture 'gpt2'"),
        (lambda folder, config: config.update(model_type="t5"), "no encoder of architecture 't5'"),
        (lambda folder, config: config.pop("model_type"), "name the architecture"),
        (lambda folder, config: config.update(vocab_size=40), "vocab_size 40, its tokenizer has"),
        (lambda folder, config: config.update(hidden_size=64), "config.json asks for"),
        (lambda folder, config: config.update(pad_token_id=5), "pads with id 5, its tokenizer with"),
        (
            lambda folder, config: [
                (folder / name).unlink(missing_ok=True) for name in ("vocab.json", "tokenizer.json")
            ],
            "holds no tokenizer.*SentencePiece",
        ),
        (
            lambda folder, config: (folder / "model.safetensors").rename(folder / "tf_model.h5"),
            r"tf_model.h5 is of another library.*from_tf=True",
        ),
    ],
)
def test_what_would_be_wrong_is_refused_by_name(tmp_path, right, change, message):
    source = tmp_path / "published"
    shutil.copytree(right, source)
    configuration = json.loads((source / "config.json").read_text())
    change(source, configuration)
    (source / "config.json").write_text(json.dumps(configuration))
    with pytest.raises(UserError, match=message):
        imported(source, tmp_path / "made")


@pytest.fixture(scope="module", params=["roberta", "xlm-roberta"])  # with a file in architectures/, and without
def right(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refused") / "published"
    publish(folder, request.param)
    return folder


def test_a_known_architecture_is_recognised(tmp_path):
    from helpers.students import random_model, write_published, write_vocabulary

    model = random_model("bert", "AutoModelForMaskedLM")
    source = write_published(tmp_path / "published", model)
    (source / "config.json").rename(source / "bert_config.json")
    stored = json.loads((source / "bert_config.json").read_text())
    (source / "bert_config.json").write_text(json.dumps(stored | {"model_type": "bert"}))
    with pytest.raises(UserError, match="states nowhere whether its tokenizer lower-cases"):
        imported(source, tmp_path / "made")
    write_vocabulary(source / "vocab.txt")
    (source / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert imported(source, tmp_path / "made")["architecture"] == "bert"
    assert architecture_of(load_masked_lm(tmp_path / "made")) is ARCHITECTURES["bert"]
    assert set(SIZES) & set(stored)
