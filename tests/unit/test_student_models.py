"""Architectures: the parameter counts of the published models, random weights, refusals."""

from pathlib import Path

import pytest
import torch
import yaml
from helpers.students import SHAPES, VOCABULARY, encoder_parameters
from transformers import AutoModel, AutoModelForMaskedLM

from compactbio.errors import UserError
from compactbio.students.initialisation import student_of_layers
from compactbio.students.models import load_encoder, load_masked_lm, random_masked_lm

CONFIG = yaml.safe_load((Path(__file__).parents[2] / "config" / "config.yaml").read_text(encoding="utf-8"))
CASED, UNCASED = 28996, 30522

# Millions of parameters, without and with pooler, as the published models have them. MobileBERT's own
# configuration has no dense layer in its pooler.
PUBLISHED = {
    "DistilBioBERT": (65.19, 65.78),
    "CompactBioBERT": (65.19, 65.78),
    "TinyBioBERT": (13.78, 13.87),
    "BioDistilBERT-cased": (65.19, 65.19),
    "BioDistilBERT-uncased": (66.36, 66.36),
    "BioTinyBERT": (14.25, 14.35),
    "BioMobileBERT": (24.58, 24.58),
}
TINYBERT = {"hidden_size": 312, "num_hidden_layers": 4, "num_attention_heads": 12, "intermediate_size": 1200}
STARTING_POINTS = {
    "distilbert-base-cased": ("distilbert", {}),
    "distilbert-base-uncased": ("distilbert", {}),
    "tinybert-general-4l-312d": ("bert", TINYBERT),
    "mobilebert-uncased": ("mobilebert", {"classifier_activation": False}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_students_have_the_published_sizes(name):
    model = CONFIG["models"][name]
    vocabulary_size = CONFIG["tokenizers"][model["tokenizer"]]["vocabulary_size"]
    student = model["student"]
    with torch.device("meta"):  # full size without its memory
        if "teacher_layers" in student:
            teacher = random_masked_lm("bert", {}, vocabulary_size)
            built = student_of_layers(teacher, student["teacher_layers"], 1, copy_head=False)
        elif "shape" in student:
            built = random_masked_lm(model["architecture"], student["shape"], vocabulary_size)
        else:
            built = random_masked_lm(*STARTING_POINTS[student["checkpoint"]], vocabulary_size)
    assert built.config.model_type == model["architecture"]
    counted = tuple(round(encoder_parameters(built, pooler) / 1e6, 2) for pooler in (False, True))
    assert counted == PUBLISHED[name]


@pytest.mark.parametrize("architecture", SHAPES)
def test_both_counts_are_those_of_the_encoder_class(architecture):
    configuration = random_masked_lm(architecture, SHAPES[architecture], len(VOCABULARY)).config
    masked_lm, encoder = AutoModelForMaskedLM.from_config(configuration), AutoModel.from_config(configuration)
    total = sum(weight.numel() for weight in encoder.parameters())
    assert encoder_parameters(masked_lm, True) == encoder_parameters(encoder, True) == total
    assert encoder_parameters(masked_lm, False) == encoder_parameters(encoder, False) <= total


@pytest.mark.parametrize("architecture", SHAPES)
def test_random_weights_follow_the_seed_alone(architecture):
    before = torch.random.get_rng_state()
    models = [random_masked_lm(architecture, SHAPES[architecture], 50, seed) for seed in (1, 1, 2)]
    assert torch.equal(before, torch.random.get_rng_state())
    first, same, other = (model.base_model.get_input_embeddings().weight for model in models)
    assert torch.equal(first, same) and not torch.equal(first, other)


@pytest.mark.parametrize(
    ("architecture", "shape", "message"),
    [
        ("bert", {"hidden_size": "wide"}, "refuses"),
        ("bert", {"hidden_size": 32, "num_attention_heads": 5}, "not a multiple of the number of attention heads"),
        ("bert", {"hidden_act": "sometimes"}, "sometimes"),
    ],
)
def test_an_impossible_shape_is_refused(architecture, shape, message):
    with pytest.raises(UserError, match=message):
        random_masked_lm(architecture, shape, 50)


def test_loading_tells_a_missing_head_from_a_missing_encoder(tmp_path):
    model = random_masked_lm("bert", SHAPES["bert"], 50)
    model.save_pretrained(tmp_path / "whole")
    assert not load_masked_lm(tmp_path / "whole").training
    model.base_model.save_pretrained(tmp_path / "encoder")
    assert load_encoder(tmp_path / "encoder").config.num_hidden_layers == 4
    with pytest.raises(UserError, match="no masked-language-model head"):
        load_masked_lm(tmp_path / "encoder")
    deeper = random_masked_lm("bert", {**SHAPES["bert"], "num_hidden_layers": 5}, 50)
    deeper.config.save_pretrained(tmp_path / "whole")
    with pytest.raises(UserError, match="not hold a whole encoder"):
        load_encoder(tmp_path / "whole")
    with pytest.raises(UserError, match=r"no config\.json"):
        load_encoder(tmp_path / "nothing")
