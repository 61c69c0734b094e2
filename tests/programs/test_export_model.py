"""export_model.py and resolve_run.py: folders that transformers reads, and files that are functions of their input."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import export_model
import pytest
import resolve_run
import torch
import yaml
from helpers import pretraining as tiny
from helpers.cards import run_program
from safetensors.numpy import save_file
from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

from compactbio.errors import UserError
from compactbio.files import read_manifest, write_manifest
from compactbio.pretraining.distillation import Distillation
from compactbio.students.tokenizers import save_tokenizer, tokenizer_digest, tokenizer_of_vocabulary
from compactbio.terms.objective import read_objective
from compactbio.training.checkpoints import CheckpointFolder, read_arrays
from compactbio.training.optimizer_settings import OptimizerSettings
from compactbio.training.optimizers import build_optimizer
from compactbio.training.submissions import Submissions

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


@pytest.fixture(params=tiny.BUILDS.values(), ids=tiny.BUILDS)
def finished(request, tmp_path):
    """A student folder with its tokenizer, and a finished run of it whose weights differ."""
    student = tmp_path / "student"
    student.mkdir()
    model = request.param(seed=1)
    model.save_pretrained(student)
    words = [*SPECIAL, *(f"word{number}" for number in range(tiny.VOCABULARY - 5))]
    save_tokenizer(tokenizer_of_vocabulary({word: n for n, word in enumerate(words)}, lower_case=False), student)
    write_manifest(
        student,
        kind="checkpoint",
        architecture=model.config.model_type,
        tokenizer_digest=tokenizer_digest(student),
        mlm_head=True,
        origin={},
    )
    run = tiny.run_settings(tiny.MLM, model="Small")
    terms = read_objective(tiny.MLM, run["quirks"])
    facts = {"max_length": run["max_length"], "seed": run["seed"]}
    trained = Distillation(request.param(seed=2), None, terms, run["quirks"], **facts)
    folder = tmp_path / "checkpoints"
    saved = CheckpointFolder(folder).save(6, trained, build_optimizer(trained, OptimizerSettings(0.0)))
    lines = [{"step": step, "loss": 5.0 - step / 10, "terms": {"mlm": 5.0 - step / 10}} for step in range(1, 7)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    training = {"model": "Small", "fingerprint": "f" * 64, "step": 6, "total_steps": 6, "checkpoint": str(saved)}
    training |= {"metrics": str(folder / "metrics.jsonl"), "seconds": 1.0, "loss_first": 4.9, "loss_last": 4.4}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    (tmp_path / "training.json").write_text(json.dumps(training))
    return tmp_path, trained


def export(folder, monkeypatch, output="model", notice=""):
    line = ["--run", "run.yaml", "--training", "training.json", "--student", "student/manifest.json"]
    line += ["--output", output, "--metrics", "metrics.jsonl", "--notice", notice]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["export_model.py", *line])
    export_model.main()
    return folder / output


def test_the_export_is_read_by_the_auto_classes_with_the_trained_weights(finished, monkeypatch, capsys):
    folder, trained = finished
    model_folder = export(folder, monkeypatch)
    loaded = AutoModelForMaskedLM.from_pretrained(model_folder)
    ours = trained.student.state_dict()
    assert loaded.state_dict().keys() == ours.keys()
    assert all(torch.equal(value, ours[name]) for name, value in loaded.state_dict().items())
    encoder, loading = AutoModel.from_pretrained(model_folder, output_loading_info=True)
    assert all(name.startswith("pooler") for name in loading["missing_keys"])
    tokenizer = AutoTokenizer.from_pretrained(model_folder)
    ids = tokenizer("word3 word7 nothing", return_tensors="pt")
    assert ids["input_ids"].tolist() == [[2, 8, 12, 1, 3]]
    assert encoder(**ids).last_hidden_state.shape == (1, 5, 32)
    manifest = read_manifest(model_folder)
    assert manifest["kind"] == "checkpoint"
    assert manifest["mlm_head"] is True
    assert manifest["tokenizer_digest"] == tokenizer_digest(model_folder)
    card = (model_folder / "README.md").read_text()
    assert "README.md" not in manifest["files"]  # its words enter no digest, and so no student's fingerprint
    assert all(
        word not in card for word in ("PubMed", "iomedical", "paper", "language:", "generated-data", str(folder))
    )
    assert len(run_program(model_folder, monkeypatch, capsys)) == 5
    assert "f" * 64 in card
    assert "| mlm | 1.0 | - |" in card
    assert (folder / "metrics.jsonl").read_bytes() == (folder / "checkpoints" / "metrics.jsonl").read_bytes()


def test_a_card_says_what_the_devices_chose_for_half_precision(finished, monkeypatch):
    folder, _ = finished
    submissions = Submissions(folder / "checkpoints")
    for precision in ("bf16", "fp16"):  # on another node, which has no bf16
        submissions.begin(step=0, seconds=0.0)
        submissions.note(precision=precision)
    run = yaml.safe_load((folder / "run.yaml").read_text())
    run["optimisation"]["precision"] = "half"
    (folder / "run.yaml").write_text(yaml.safe_dump(run))
    assert "| precision | half: bf16, fp16 |" in (export(folder, monkeypatch) / "README.md").read_text()


def test_a_model_of_generated_data_says_so(finished, monkeypatch):
    folder = export(finished[0], monkeypatch, notice="Generated data: not real.")
    assert "tags:\n- generated-data\n" in (folder / "README.md").read_text()
    assert "> **Generated data: not real.**" in (folder / "README.md").read_text()
    assert read_manifest(folder)["origin"]["generated"] == "Generated data: not real."


def test_the_same_run_gives_the_same_folder(finished, monkeypatch):
    folder, _ = finished
    first = read_manifest(export(folder, monkeypatch, "first"))["digest"]
    assert read_manifest(export(folder, monkeypatch, "second"))["digest"] == first


def test_what_cannot_be_exported_is_refused(finished, monkeypatch):
    folder, _ = finished
    training = json.loads((folder / "training.json").read_text())
    (folder / "training.json").write_text(json.dumps(training | {"step": 5}))
    with pytest.raises(UserError, match="stands at step 5 of 6"):
        export(folder, monkeypatch)
    (folder / "training.json").write_text(json.dumps(training | {"checkpoint": "gone"}))
    with pytest.raises(UserError, match=r"checkpoint gone is gone: remove training\.json"):
        export(folder, monkeypatch)
    assert not (folder / "model").exists()


@pytest.mark.parametrize("damage", ["absent", "other", "shape"])
def test_a_checkpoint_that_does_not_fit_its_student_is_refused(finished, monkeypatch, damage):
    folder, _ = finished
    checkpoint = folder / "checkpoints" / "step-00000006"
    arrays, tied = read_arrays(checkpoint)
    first = next(name for name in arrays if name.startswith("student.") and arrays[name].ndim == 2)
    values = arrays.pop(first)
    if damage != "absent":
        arrays[first if damage == "shape" else "student.other"] = values[1:]
    arrays |= {} if damage == "shape" else {"teacher.kept": values}  # only the student's are read
    save_file(arrays, checkpoint / "model.safetensors", metadata=tied)
    write_manifest(checkpoint, step=6)
    with pytest.raises(UserError, match="does not fit the student student: remove it and train again"):
        export(folder, monkeypatch)


def test_resolve_run_writes_equal_bytes_for_equal_settings(tmp_path, monkeypatch):
    settings = tiny.run_settings(tiny.TINY)
    written = []
    for name in ("a.yaml", "b.yaml"):
        monkeypatch.setattr(
            sys, "argv", ["resolve_run.py", "--settings", json.dumps(settings), "--output", str(tmp_path / name)]
        )
        resolve_run.main()
        written.append((tmp_path / name).read_bytes())
    assert written[0] == written[1]
    assert yaml.safe_load(written[0]) == settings
    assert list(yaml.safe_load(written[0])) == list(settings)


@pytest.mark.parametrize("text", ["{", "[1]"])
def test_resolve_run_refuses_what_is_no_run(tmp_path, monkeypatch, text):
    output = Path(tmp_path / "run.yaml")
    monkeypatch.setattr(sys, "argv", ["resolve_run.py", "--settings", text, "--output", str(output)])
    with pytest.raises(UserError, match="--settings"):
        resolve_run.main()
    assert not output.exists()
