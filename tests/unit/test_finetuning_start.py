"""What a fine-tuning starts from: heads by the seed, encoders from a folder, ids of labels, validation rows."""

from __future__ import annotations

import pytest
import torch
from helpers.finetuning import NER_LABELS, SHAPES, write_model

from compactbio.errors import UserError
from compactbio.finetuning.model.task_model import load_task_model
from compactbio.kinds import KINDS
from compactbio.tasks.rows import Rows, cut_validation, label_ids

torch.set_num_threads(1)


@pytest.mark.parametrize("architecture", SHAPES)
@pytest.mark.parametrize("masked_lm", [False, True])
def test_heads_come_from_the_seed_and_encoders_from_the_folder(architecture, masked_lm, tmp_path):
    folder = write_model(tmp_path / "model", architecture=architecture, masked_lm=masked_lm)
    for task in ("ner", "re", "qa"):
        one, same, other = (load_task_model(folder, task, NER_LABELS, seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(one[name], same[name]) for name in one)
        differing = {name for name in one if not torch.equal(one[name], other[name])}
        assert differing
        assert all(
            name.startswith(("classifier", "pre_classifier", "qa_outputs", "head")) or "pooler" in name
            for name in differing
        )


def test_a_folder_of_another_shape_or_without_weights_is_refused(tmp_path):
    folder = write_model(tmp_path / "model")
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_task_model(folder, "re", ["0", "1"], 1)
    other = write_model(tmp_path / "other", architecture="distilbert")
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match="weights of the encoder are missing"):
        load_task_model(folder, "re", ["0", "1"], 1)


def test_label_ids_follow_the_run_file_and_unknown_labels_are_refused():
    rows = Rows({"labels": [[0, 1], [2]]}, ["B", "I", "O"])
    assert label_ids(rows, ["O", "B", "I"], KINDS["ner"].labels, "x") == [[1, 2], [0]]
    with pytest.raises(UserError, match="'I'"):
        label_ids(rows, ["O", "B"], KINDS["ner"].labels, "x")


def test_validation_is_cut_by_seed_and_fold():
    rows = Rows({"id": list(range(100))}, None)
    train, validation = cut_validation(rows, 0.1, 1, 2)
    assert len(validation) == 10
    assert sorted(train["id"] + validation["id"]) == list(range(100))
    assert validation["id"] == cut_validation(rows, 0.1, 1, 2)[1]["id"]
    assert validation["id"] != cut_validation(rows, 0.1, 2, 2)[1]["id"]
    assert validation["id"] != cut_validation(rows, 0.1, 1, 3)[1]["id"]
    with pytest.raises(UserError, match="validation_fraction"):
        cut_validation(rows, 0.001, 1, 1)


def test_a_question_s_snippets_stay_on_one_side():
    questions = [f"q{number // 3}" for number in range(60)]
    train, validation = cut_validation(
        Rows({"q": questions, "n": list(range(60))}, None), 0.2, 1, 0, ("q", "questions")
    )
    assert len(validation) == 12 and len(set(validation["q"])) == 4
    assert not set(train["q"]) & set(validation["q"])
    assert train["n"] == sorted(train["n"]) and validation["n"] == sorted(validation["n"])
