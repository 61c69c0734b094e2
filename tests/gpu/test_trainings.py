"""Whole trainings on the device: killed and gone on, short of memory, fine-tuned as on a CPU."""

from __future__ import annotations

import json
import logging
import os
import random

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from helpers import finetuning
from helpers import pretraining as tiny
from helpers.pretrain_program import arguments, call, losses, run_folder, write_world
from safetensors.torch import load_file

from compactbio.errors import UserError
from compactbio.pretraining.distillation import Distillation
from compactbio.tasks.rows import Rows
from compactbio.training.checkpoints import WEIGHTS, CheckpointFolder
from compactbio.training.trainer import Trainer

STEPS = 7


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_world(tmp_path_factory.mktemp("world"))


def final_weights(output):
    return load_file(CheckpointFolder(run_folder(output)).latest() / WEIGHTS)


@pytest.mark.parametrize(
    ("objective", "student"),
    [(tiny.DISTIL, "student"), (tiny.COMPACT, "student"), (tiny.TINY, "narrow")],
    ids=["distil", "compact", "tiny"],
)
def test_a_killed_training_goes_on_to_the_same_bits(device, world, objective, student, tmp_path, monkeypatch):
    # asked of torch after its first product, as here after other tests, it would come too late
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    changes = {"steps": STEPS, "precision": "bf16" if device.type == "cuda" else "fp32", "deterministic": True}
    lines = [
        arguments(world, tmp_path / name, objective, student=student, more=("--checkpoint-every-steps", "1"), **changes)
        for name in ("whole", "killed")
    ]
    assert call(lines[0], monkeypatch) == 0
    fatal = random.Random(str(objective)).randint(2, STEPS - 1)
    plain = Trainer.take_step

    def die(trainer, step, *rest):
        if step == fatal:
            raise RuntimeError("killed")
        return plain(trainer, step, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "take_step", die)
        with pytest.raises(RuntimeError, match="killed"):
            call(lines[1], patch)
    assert call(lines[1], monkeypatch) == 0
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    killed, whole = (final_weights(tmp_path / name) for name in ("killed", "whole"))
    for name in killed.keys() - whole.keys():  # one of two tied weights is written, under either name
        [other] = whole.keys() - killed.keys()
        whole[name] = whole.pop(other)
    assert killed.keys() == whole.keys()
    assert all(torch.equal(killed[name], whole[name]) for name in whole)


def test_too_little_memory_ends_in_one_clear_message(device, world, tmp_path, monkeypatch):
    def forward(*_):
        if device.type == "cuda":
            torch.empty(2**50, dtype=torch.uint8, device=device)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has 79 GiB.")

    monkeypatch.setattr(Distillation, "forward", forward)
    with pytest.raises(UserError, match=r"out of memory.*micro_batch_tokens") as raised:
        call(arguments(world, tmp_path, steps=STEPS), monkeypatch)
    assert "\n" not in str(raised.value)


def finetuned(folder, settings, parts, place, *, on_gpu: bool, monkeypatch) -> list[np.ndarray]:
    """Test logits of a run; `parts`: rows by split."""
    from compactbio.finetuning import examples
    from compactbio.finetuning.features import PieceTokenizer
    from compactbio.finetuning.runs.one_run import OneRun
    from compactbio.training.processes import start_accelerator

    AcceleratorState._reset_state(reset_partial_state=True)
    with monkeypatch.context() as patch:
        patch.setattr(examples, "read_rows", lambda folder, split, kind: parts.get(split))
        if not on_gpu:
            patch.setattr(torch.cuda, "is_available", lambda: False)
        dataset = examples.Dataset(place, settings, PieceTokenizer(folder))
        run = OneRun(settings, folder, dataset, 1, 0, start_accelerator())
        run.train(place, deadline=None, stop=None)
        run.step.to(run.accelerator.device)
        return run._logits(run.test_part)


@pytest.mark.parametrize("task", ["ner", "re", "qa"])
def test_fine_tuning_gives_the_scores_of_a_cpu(device, task, tmp_path, monkeypatch, caplog):
    """Without dropout, whose draws differ: the same logits but for rounding, and the same labels; all captured."""
    pytest.importorskip("pyarrow", reason="fine-tuning writes its predictions with pyarrow")
    caplog.set_level(logging.INFO)
    folder = finetuning.write_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config))
    make, labels, epochs = {
        "ner": (finetuning.ner_rows, finetuning.NER_LABELS, 3),
        "re": (finetuning.re_rows, ["no", "yes"], 1),
        "qa": (finetuning.qa_rows, [], 1),
    }[task]
    settings = finetuning.run_settings(task, labels, epochs=epochs)
    parts = {name: Rows(make(count, seed), labels or None) for name, count, seed in (("train", 96, 1), ("test", 24, 2))}
    here = finetuned(folder, settings, parts, tmp_path / "here", on_gpu=device.type == "cuda", monkeypatch=monkeypatch)
    if device.type == "cuda":
        assert "passes are captured as a CUDA graph" in caplog.text
        assert "micro-batches are not captured" not in caplog.text
    there = finetuned(folder, settings, parts, tmp_path / "cpu", on_gpu=False, monkeypatch=monkeypatch)
    joined = []
    for side in (here, there):
        if task == "qa":  # what is the same for all places leaves a softmax over them alone, and rounding moves it
            side = [part - part.mean(axis=0) for part in side]
        joined.append(np.concatenate([part.reshape(-1, part.shape[-1]) for part in map(np.asarray, side)]))
    assert np.abs(joined[0] - joined[1]).max() < 1e-2
    if labels:
        assert (joined[0].argmax(-1) == joined[1].argmax(-1)).mean() > 0.995
