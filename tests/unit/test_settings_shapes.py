"""Shapes of models and checkpoints are checked before anything starts, by the sizes that each architecture has."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from helpers.configurations import read

from compactbio.architectures import ARCHITECTURES
from compactbio.errors import UserError
from compactbio.settings.load import load_settings, merge
from compactbio.settings.shapes import shape_faults, sizes_of
from compactbio.terms.term import Shape


def paper(**changes: object) -> dict:
    return merge(read(), changes)


@pytest.mark.parametrize("architecture", list(ARCHITECTURES))
def test_shapes_are_checked_by_the_numbers_that_transformers_has(architecture: str) -> None:
    transformers = pytest.importorskip("transformers")
    usual = transformers.AutoConfig.for_model(architecture)
    record = ARCHITECTURES[architecture]
    assert {key: getattr(usual, key) for key in record.usual} == record.usual
    assert {getattr(record.sizes, size.name) for size in fields(record.sizes)} <= set(record.usual)
    assert {key: type(getattr(usual, key)) for key in record.shape}


def test_a_shape_of_another_architecture() -> None:
    assert list(shape_faults("x", "distilbert", {"dim": 120, "n_heads": 12}, 256)) == []
    assert "x.dim: 100 cannot be split" in next(shape_faults("x", "distilbert", {"dim": 100}, 256))
    wide = {"hidden_size": 510}  # MobileBERT's attention has the width of its bottleneck
    assert list(shape_faults("x", "mobilebert", wide, 256)) == []
    wide["use_bottleneck"] = False
    assert "x.hidden_size: 510 cannot be split" in next(shape_faults("x", "mobilebert", wide, 256))


RELATIONS = [
    {"term": f"{state}_relation_kl", "weight": 1.0, "layers": [[4, 12]], "relation_heads": 12}
    for state in ("query", "key", "value")
]
LOGITS = [{"term": "mlm", "weight": 1.0}, {"term": "logit_kl", "weight": 1.0, "temperature": 2.0}]


@pytest.mark.parametrize("objective", [RELATIONS, LOGITS, [*LOGITS, *RELATIONS]], ids=["relations", "logits", "both"])
@pytest.mark.parametrize("architecture", ["electra", "roberta"])
def test_a_student_of_another_architecture_shares_the_teacher_s_tokenizer(architecture: str, objective: list) -> None:
    """Whatever its terms read: a term compares the two at the same tokens."""
    shape = {"hidden_size": 192, "num_hidden_layers": 4, "num_attention_heads": 12, "intermediate_size": 768}
    student = {"architecture": architecture, "student": {"shape": shape}, "objective": objective}
    settings = load_settings(paper(models={"TinyBioBERT": student}))
    assert sizes_of(settings, "TinyBioBERT") == Shape(4, 192, 12, 192)
    with pytest.raises(UserError, match=r"TinyBioBERT\.tokenizer: `uncased`, but the teacher .* has `cased`"):
        load_settings(paper(models={"TinyBioBERT": student | {"tokenizer": "uncased"}}))
    copied = {"architecture": architecture, "student": {"shape": None, "teacher_layers": [0]}, "objective": objective}
    with pytest.raises(UserError, match=r"the teacher whose layers are copied is a `bert`"):
        load_settings(paper(models={"TinyBioBERT": copied}))


def test_a_shape_whose_first_positions_no_token_has_says_how_many_it_needs() -> None:
    assert list(shape_faults("x", "roberta", {"max_position_embeddings": 258}, 256)) == []
    [fault] = shape_faults("x", "roberta", {}, 512)
    assert fault == "x.max_position_embeddings: 512 is below what corpus.max_length = 512 needs; raise it to 514"


def test_the_shape_of_an_own_checkpoint_is_read_from_its_folder(tmp_path: Path) -> None:
    """So that layers are checked before anything starts; without a folder to read they are checked when it is there."""
    own = {"source": "path", "path": str(tmp_path), "architecture": "bert", "tokenizer": "cased"}
    student = {"teacher": "own", "student": {"teacher_layers": [0, 5]}, "objective": [{"term": "mlm", "weight": 1.0}]}
    change = {"checkpoints": {"own": own}, "models": {"DistilBioBERT": student}}
    assert sizes_of(load_settings(paper(**change)), "own") is None
    (tmp_path / "config.json").write_text("no JSON")
    assert sizes_of(load_settings(paper(**change)), "own") is None
    shape = {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4, "hidden_act": "gelu"}
    (tmp_path / "config.json").write_text(json.dumps(shape))
    with pytest.raises(UserError, match=r"DistilBioBERT\.student\.teacher_layers: \[5\] beyond the teacher's 4"):
        load_settings(paper(**change))
    own["shape"] = {"num_hidden_layers": 6, "hidden_size": 64, "num_attention_heads": 4}
    sizes = sizes_of(load_settings(paper(**change)), "own")  # what is stated is compared when it is read
    assert sizes is not None and (sizes.layers, sizes.heads) == (6, 4)
