"""Students of a ModernBERT: what each layer sees goes with it, and what cannot be expressed is refused."""

from __future__ import annotations

import json
import re

import pytest
import torch
from helpers.configurations import read
from helpers.students import folder_of, random_model, run_of
from transformers import AutoModelForMaskedLM

from compactbio.cluster.timings import _transformers_configuration
from compactbio.errors import UserError
from compactbio.settings.load import load_settings, merge
from compactbio.students.checkpoints import write_model_folder
from compactbio.students.initialisation import initialise_student, student_of_layers
from compactbio.students.parameters import estimated_parameters


@torch.no_grad()
@pytest.mark.parametrize(
    ("layers", "types", "every"),
    [([0, 1, 3], "awa", 2), ([0, 2, 1, 3], "awwa", 3), ([0, 1, 2], "aww", 3), ([0, 3], "aa", 1), ([0, 3, 1], "aaw", 3)],
)
def test_each_layer_of_a_student_sees_what_it_saw_in_the_teacher(tmp_path, layers, types, every):
    """The teacher's own layers, taken one by one by hand, are the oracle; what is saved and loaded is the same."""
    folders = {"teacher": folder_of(tmp_path, "modernbert")}
    teacher = AutoModelForMaskedLM.from_pretrained(folders["teacher"]).eval()
    result = initialise_student(run_of({"teacher_layers": layers}, "modernbert", "sound"), **folders)
    names = {"a": "full_attention", "w": "sliding_attention"}
    assert result.model.config.layer_types == [names[letter] for letter in types]
    write_model_folder(tmp_path, result.model, result.tokenizer, {})
    stored = json.loads((tmp_path / "config.json").read_text())
    # what transformers before version 5 reads, where it can say it
    assert (
        stored["global_attn_every_n_layers"] == every if types != "aaw" else "global_attn_every_n_layers" not in stored
    )

    ids = torch.arange(5, 45)[None]
    base = teacher.base_model
    states, places = base.embeddings(input_ids=ids), torch.arange(40)[None]
    near = (places[0][:, None] - places[0]).abs() <= 4
    base.set_attn_implementation("sdpa")
    for layer in layers:
        kind = base.config.layer_types[layer]
        rotation = base.rotary_emb(states, places, kind)
        mask = near[None, None] if kind == "sliding_attention" else None
        states = base.layers[layer](states, attention_mask=mask, position_embeddings=rotation)
    expected = teacher.decoder(teacher.head(base.final_norm(states)))
    for student in (result.model, AutoModelForMaskedLM.from_pretrained(tmp_path).eval()):
        torch.testing.assert_close(student(input_ids=ids).logits, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("layers", "instead"), [([1, 2], [0, 2]), ([3, 0, 1], [0, 1]), ([0, 0, 3], [0, 3])])
def test_layers_that_the_architecture_cannot_express_are_refused_with_others(layers, instead):
    teacher = random_model("modernbert")
    with pytest.raises(UserError, match="no norm before its attention .* such as " + re.escape(str(instead))):
        student_of_layers(teacher, layers, 1, copy_head=True)
    student_of_layers(teacher, instead, 1, copy_head=True)


CHECKPOINT = {"source": "path", "path": "there", "architecture": "modernbert", "tokenizer": "cased"}


def configured(student):
    """The paper's configuration with a student of a ModernBERT in the place of TinyBioBERT."""
    objective = [{"term": "mlm", "weight": 1.0}]
    model = {"architecture": "modernbert", "teacher": "big", "student": student, "objective": objective}
    return load_settings(merge(read(), {"models": {"TinyBioBERT": model}, "checkpoints": {"big": CHECKPOINT}}))


def test_a_configuration_is_refused_before_anything_starts():
    with pytest.raises(UserError, match=r"TinyBioBERT\.student\.teacher_layers: \[1, 2\]: .* such as \[0, 2\]"):
        configured({"shape": None, "teacher_layers": [1, 2]})
    configured({"shape": None, "teacher_layers": [0, 2]})
    configured({"shape": {"num_hidden_layers": 6, "layer_types": ["full_attention"] * 6}})
    with pytest.raises(UserError, match=r"shape\.layer_types: 5 values for num_hidden_layers = 6; give one for each"):
        configured({"shape": {"num_hidden_layers": 6, "layer_types": ["full_attention"] * 5}})
    with pytest.raises(UserError, match=r"shape\.layer_types\.0: 'local' is not one of full_attention"):
        configured({"shape": {"num_hidden_layers": 1, "layer_types": ["local"]}})


def test_sizes_before_anything_is_there_are_those_of_its_shape():
    config = configured({"shape": None, "teacher_layers": [0, 1, 2, 9, 10, 11, 21]})
    with torch.device("meta"):
        made = AutoModelForMaskedLM.from_config(_transformers_configuration(config, "TinyBioBERT"))
    assert made.config.layer_types == [["sliding_attention", "full_attention"][letter == "a"] for letter in "awwawwa"]
    assert made.config.vocab_size == 28996 and made.config.pad_token_id == 0
    exact = sum(value.numel() for value in made.base_model.parameters())
    assert estimated_parameters(config, "TinyBioBERT") == pytest.approx(exact, rel=1e-3)  # without norms
    # by hand: attention, and a feed-forward part with a gate
    assert estimated_parameters(config, "big") == 28996 * 768 + 22 * (4 * 768**2 + 3 * 768 * 1152)
