"""Whole trainings of a MobileBERT under both values of decayed_norms: its scales end smaller under `reference`."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from helpers import pretrain_program as program
from helpers import pretraining as tiny
from helpers.finetuning import NER_LABELS, ner_rows, run_settings, write_dataset, write_model
from torch import Tensor

from compactbio.finetuning.examples import Dataset
from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.runs.one_run import OneRun
from compactbio.pretraining.inputs import read_inputs
from compactbio.training import trainer
from compactbio.training.processes import start_accelerator

RATE, DECAY, STEPS = 1e-3, 1.0, 6


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def scales(weights: Mapping[str, Tensor]) -> float:
    """The mean of a model's NoNorm scales, which begin at 1."""
    chosen = [weight for name, weight in weights.items() if name.endswith("LayerNorm.weight") and ".cls." not in name]
    return float(torch.cat([weight.detach().flatten() for weight in chosen]).mean())


def test_pretraining(tmp_path, monkeypatch) -> None:
    world = program.write_world(tmp_path / "world")
    tiny.write_checkpoint(world / "mobile", tiny.mobilebert())
    ends, marks = {}, set()
    trained = []
    initialise = trainer.Trainer.__init__

    def keep(self, module, *rest, **options):
        trained.append(module)
        initialise(self, module, *rest, **options)

    monkeypatch.setattr(trainer.Trainer, "__init__", keep)
    for value in ("reference", "sound"):
        quirks = tiny.REFERENCE | ({"decayed_norms": value} if value == "reference" else {})
        numbers = {"steps": STEPS, "warmup_steps": 0, "schedule": "constant", "weight_decay": DECAY}
        line = program.arguments(
            world, tmp_path / value, tiny.MLM, student="mobile", architecture="mobilebert", quirks=quirks, **numbers
        )
        assert program.call(line, monkeypatch) == 0
        ends[value] = scales(dict(trained[-1].named_parameters()))
        stores = [world / "tokens" / name for name in ("0001", "0002")]
        marks.add(read_inputs(tmp_path / value / "run.yaml", world / "mobile", None, stores).fingerprint)
    assert ends["sound"] - ends["reference"] == pytest.approx(RATE * DECAY * STEPS, rel=0.3)
    assert len(marks) == 2


def test_finetuning(tmp_path) -> None:
    model = write_model(tmp_path / "model", architecture="mobilebert")
    splits = {"train": ner_rows(48, 1), "validation": ner_rows(8, 2), "test": ner_rows(8, 3)}
    task = write_dataset(tmp_path / "ner", "ner", splits, NER_LABELS)
    ends = {}
    for value in ("reference", "sound"):
        numbers = {"epochs": 2, "schedule": "constant", "learning_rate": RATE, "weight_decay": DECAY}
        settings = run_settings("ner", NER_LABELS, **numbers)
        if value == "reference":
            settings |= {"quirks": {"decayed_norms": value}}
        dataset = Dataset(task, settings, PieceTokenizer(model))
        run = OneRun(settings, model, dataset, 1, 0, start_accelerator("fp32"))
        assert run.train(tmp_path / value, deadline=None, stop=None).step == STEPS
        ends[value] = scales(dict(run.step.named_parameters()))
    assert ends["sound"] - ends["reference"] == pytest.approx(RATE * DECAY * STEPS, rel=0.3)
