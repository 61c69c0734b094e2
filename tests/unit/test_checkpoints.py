"""Checkpoints of any age: read safely, under today's names, the same function as before."""

import json
import pickle

import pytest
import torch
from helpers.students import (
    DEFINITION,
    SHAPES,
    definition,
    old_names,
    random_model,
    write_published,
    write_vocabulary,
)
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from compactbio.errors import UserError
from compactbio.files import read_manifest
from compactbio.students.checkpoints import import_checkpoint
from compactbio.students.models import load_masked_lm

IDS = torch.tensor([[2, 7, 8, 4, 9, 3], [2, 30, 31, 32, 33, 3]])
ORIGIN = {"source": "path", "path": "x"}


def imported(source, output, architecture="bert", **changes):
    return import_checkpoint(source, definition(architecture) | changes, DEFINITION, ORIGIN, output)


@pytest.mark.parametrize("architecture", SHAPES)
@torch.no_grad()
def test_pickled_weights_with_old_names_compute_the_same(tmp_path, architecture):
    # BERT's and MobileBERT's with pooler and next-sentence head, ELECTRA's without the head of a discriminator
    kinds = {"electra": "AutoModelForMaskedLM"}
    model = random_model(architecture, kinds.get(architecture, "AutoModelForPreTraining"))
    source = write_published(tmp_path / "published", model, weights=old_names(model.state_dict()))
    manifest = imported(source, tmp_path / "out", architecture)
    assert manifest["kind"] == "checkpoint" and manifest["mlm_head"] is True
    assert manifest["architecture"] == architecture and manifest["origin"] == ORIGIN
    assert read_manifest(tmp_path / "out")["digest"] == manifest["digest"]

    masked_lm = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").eval()
    expected = model(input_ids=IDS)
    logits = expected.prediction_logits if "prediction_logits" in expected else expected.logits
    torch.testing.assert_close(masked_lm(input_ids=IDS).logits, logits)
    encoder = AutoModel.from_pretrained(tmp_path / "out").eval()
    theirs = model.base_model(input_ids=IDS)
    torch.testing.assert_close(encoder(input_ids=IDS).last_hidden_state, theirs.last_hidden_state)
    if architecture == "bert":  # the pooler survives beside the head: sentence tasks use it
        torch.testing.assert_close(encoder(input_ids=IDS).pooler_output, theirs.pooler_output)
    assert AutoTokenizer.from_pretrained(tmp_path / "out").tokenize("TNF") == ["TNF"]


@pytest.mark.parametrize("architecture", SHAPES)
@torch.no_grad()
def test_an_encoder_saved_alone_has_no_head(tmp_path, architecture):
    model = random_model(architecture, "AutoModel")
    source = write_published(tmp_path / "published", model)
    assert imported(source, tmp_path / "out", architecture)["mlm_head"] is False
    encoder = AutoModel.from_pretrained(tmp_path / "out").eval()
    torch.testing.assert_close(encoder(input_ids=IDS).last_hidden_state, model(input_ids=IDS).last_hidden_state)
    assert json.loads((tmp_path / "out" / "config.json").read_text())["architectures"] == [type(model).__name__]


def test_a_discriminator_has_no_head_for_words(tmp_path, caplog):
    caplog.set_level("INFO")
    source = write_published(tmp_path / "published", random_model("electra", "AutoModelForPreTraining"))
    assert imported(source, tmp_path / "out", "electra")["mlm_head"] is False
    assert "4 tensors of other heads left out, for example discriminator_predictions" in caplog.text
    with pytest.raises(UserError, match=r"no masked-language-model head .*cannot be a teacher of logits"):
        load_masked_lm(tmp_path / "out")
    model = load_masked_lm(tmp_path / "out", head=False)  # of hidden states and attention it can
    expected = AutoModel.from_pretrained(tmp_path / "out").eval()(input_ids=IDS).last_hidden_state
    torch.testing.assert_close(model.base_model(input_ids=IDS).last_hidden_state, expected)


def test_half_precision_tied_copies_and_parallel_wrappers(tmp_path, caplog):
    model = random_model("bert", "AutoModelForMaskedLM")
    weights = {f"module.{name}": value.half() for name, value in model.state_dict().items()}
    weights["module.cls.predictions.decoder.weight"] = weights["module.cls.predictions.decoder.weight"] + 1
    source = write_published(tmp_path / "published", model, weights=weights)
    assert imported(source, tmp_path / "out")["mlm_head"] is True
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float32}
    assert "cls.predictions.decoder.weight" not in stored and "cls.predictions.bias" in stored
    assert "differs from bert.embeddings.word_embeddings.weight" in caplog.text


def test_safetensors_are_preferred_and_former_uses_left_behind(tmp_path):
    model = random_model("distilbert", "AutoModelForSequenceClassification")
    model.config.output_hidden_states = True
    model.save_pretrained(tmp_path / "published")
    (tmp_path / "published" / "pytorch_model.bin").write_bytes(b"never read")
    write_vocabulary(tmp_path / "published" / "vocab.txt")
    assert imported(tmp_path / "published", tmp_path / "out", "distilbert")["mlm_head"] is False
    assert not any("classifier" in name for name in load_file(tmp_path / "out" / "model.safetensors"))
    configuration = json.loads((tmp_path / "out" / "config.json").read_text())
    assert not configuration.get("output_hidden_states") and configuration["dim"] == 32


def test_same_content_gives_the_same_digest(tmp_path):
    source = write_published(tmp_path / "published", random_model("bert"))
    assert imported(source, tmp_path / "a")["digest"] == imported(source, tmp_path / "b")["digest"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Not found</html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"these are no weights at all", "not a weights file"),
        (pickle.dumps({"a": print}), "could run code"),
        (pickle.dumps([1, 2]), "not a weights file"),
    ],
    ids=["empty", "web page", "pointer", "text", "code", "list"],
)
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.safetensors"])
def test_a_weights_file_that_is_not_weights(tmp_path, content, message, name):
    source = write_published(tmp_path / "published", random_model("bert"))
    (source / "pytorch_model.bin").unlink()
    (source / name).write_bytes(content)
    if name == "model.safetensors" and content[:1] == b"\x80":
        message = "not a weights file"
    with pytest.raises(UserError, match=message) as caught:
        imported(source, tmp_path / "out")
    assert "\n" not in str(caught.value) and name in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_truncated_weights_and_missing_weights(tmp_path):
    source = write_published(tmp_path / "published", random_model("bert"))
    path = source / "pytorch_model.bin"
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match="not a weights file"):
        imported(source, tmp_path / "out")
    path.unlink()
    with pytest.raises(UserError, match="has no weights"):
        imported(source, tmp_path / "out")


def test_weights_that_do_not_fit_their_configuration(tmp_path):
    model = random_model("bert")
    whole = model.state_dict()
    without = {name: value for name, value in whole.items() if ".layer.3." not in name}
    source = write_published(tmp_path / "published", model, weights=without)
    with pytest.raises(UserError, match="16 missing"):
        imported(source, tmp_path / "out")
    wrong = {**whole, "bert.embeddings.position_embeddings.weight": torch.zeros(32, 32)}
    write_published(tmp_path / "published", model, weights=wrong)
    with pytest.raises(UserError, match=r"shape \[32, 32\], config.json asks for \[64, 32\]"):
        imported(source, tmp_path / "out")
    broken = {**whole, "bert.encoder.layer.0.output.dense.bias": torch.full((32,), torch.nan)}
    write_published(tmp_path / "published", model, weights=broken)
    with pytest.raises(UserError, match="not finite"):
        imported(source, tmp_path / "out")


def test_architecture_vocabulary_and_shape_must_be_those_stated(tmp_path):
    model = random_model("bert", "AutoModelForMaskedLM")
    source = write_published(tmp_path / "published", model)
    with pytest.raises(UserError, match=r"asks for|missing"):
        imported(source, tmp_path / "out", "distilbert")
    configuration = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**configuration, "model_type": "bert"}))
    with pytest.raises(UserError, match="is of a bert model"):
        imported(source, tmp_path / "out", "distilbert")
    with pytest.raises(UserError, match="num_hidden_layers 4 where"):
        imported(source, tmp_path / "out", shape={"num_hidden_layers": 12})
    imported(source, tmp_path / "out", shape={"num_hidden_layers": 4, "hidden_size": 32})
    (source / "config.json").write_text(json.dumps({**configuration, "vocab_size": 99}))
    with pytest.raises(UserError, match="vocab_size 99"):
        imported(source, tmp_path / "out")
    (source / "config.json").write_text(json.dumps({**configuration, "hidden_size": "wide"}))
    with pytest.raises(UserError, match="is refused"):
        imported(source, tmp_path / "out")
    (source / "config.json").write_text("{")
    with pytest.raises(UserError, match="not JSON"):
        imported(source, tmp_path / "out")


def sharded(folder, model):
    """A published folder whose weights transformers has written in several files."""
    source = write_published(folder, model)
    (source / "pytorch_model.bin").unlink()
    model.save_pretrained(source, max_shard_size="20KB")
    assert len(list(source.glob("model-*.safetensors"))) > 2
    return source


def test_weights_in_several_files_are_the_model_that_transformers_reads(tmp_path):
    model = random_model("bert", "AutoModelForMaskedLM")
    imported(sharded(tmp_path / "published", model), tmp_path / "out")
    ours = AutoModelForMaskedLM.from_pretrained(tmp_path / "out").state_dict()
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path / "published").state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_weights_in_several_files_of_which_something_is_missing_are_refused(tmp_path):
    source = sharded(tmp_path / "published", random_model("bert", "AutoModelForMaskedLM"))
    index = source / "model.safetensors.index.json"
    first = sorted(source.glob("model-*.safetensors"))[0]
    content = first.read_bytes()
    first.unlink()
    with pytest.raises(UserError, match=f"{first.name} does not exist, though"):
        imported(source, tmp_path / "out")
    first.write_bytes(content)
    stored = json.loads(index.read_text())
    for wrong, message in (
        ({"more": first.name}, "more is in no file of"),
        ({"more": "../x.safetensors"}, "does not say in which files of its folder"),
    ):
        index.write_text(json.dumps(stored | {"weight_map": stored["weight_map"] | wrong}))
        with pytest.raises(UserError, match=message):
            imported(source, tmp_path / "out")
    index.write_text("[]")
    with pytest.raises(UserError, match="does not say in which files"):
        imported(source, tmp_path / "out")
