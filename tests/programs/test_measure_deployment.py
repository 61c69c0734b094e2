"""Fine-tuned models as ONNX and int8: equal to torch, quantised by the rule that is stated, scored and usable alone."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from pathlib import Path
from typing import Any

import measure_deployment
import numpy as np
import onnx
import onnxruntime
import pyarrow.parquet as pq
import pytest
import sklearn.metrics
import torch
import transformers
from helpers.cards import run_program
from helpers.finetuning import (
    NER_LABELS,
    VOCABULARY,
    ner_rows,
    qa_rows,
    re_rows,
    run_settings,
    write_dataset,
    write_model,
)
from huggingface_hub import ModelCard

from compactbio.card_texts import CARD
from compactbio.errors import UserError
from compactbio.files import read_json, write_manifest, write_yaml
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.execution import finetune
from compactbio.finetuning.runs.outputs import publish
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.reporting.efficiency import forms
from compactbio.reporting.efficiency.measurements import FORMS, INT8, ONNX, TORCH
from compactbio.scoring.folder_scores import score_folder
from compactbio.students.tokenizers import save_tokenizer, tokenizer_of_vocabulary

RUNS = [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in (1, 2)]
ROWS = {"ner": ner_rows, "re": re_rows, "qa": qa_rows}
LABELS = {"ner": NER_LABELS, "re": ["no", "yes"], "qa": []}
CASES = {"bert": "ner", "distilbert": "re", "mobilebert": "qa"}  # every architecture and every kind of task


def golden(rows: dict[str, list]) -> list[dict[str, Any]]:
    """Return the answers of qa_rows as prepare_task writes them."""
    texts = {name: row["text"] for name, row in zip(rows["question_id"], rows["answers"], strict=True)}
    return [{"question_id": name, "answers": [[text] for text in answers]} for name, answers in texts.items()]


@pytest.fixture(scope="module", params=CASES, ids=lambda name: f"{name}-{CASES[name]}")
def finetuned(request, tmp_path_factory) -> tuple[str, Path, Path]:
    """The kind of task, the results folder of two runs of a tiny model, and its prepared dataset."""
    torch.set_num_threads(1)
    root, task = tmp_path_factory.mktemp(request.param), CASES[request.param]
    model = write_model(root / "model", architecture=request.param)
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    save_tokenizer(tokenizer_of_vocabulary(vocabulary, lower_case=True, max_length=64), model)
    splits = {"train": ROWS[task](96, 1), "test": ROWS[task](20, 3)}
    prepared = write_dataset(root / "task", task, splits, LABELS[task])
    if task == "qa":
        (prepared / "golden.json").write_text(json.dumps(golden(splits["test"])), encoding="utf-8")
    write_manifest(prepared, task=task, dataset="toy")
    settings = run_settings(task, LABELS[task], runs=RUNS, epochs=4) | {"keep_weights": True}
    digests = {"model": model_digest(model), "dataset": dataset_digest(prepared)}
    planned = plan_runs(settings, digests, root / "checkpoints")
    assert finetune(settings, model, prepared, planned, deadline=None, stop=None)
    publish(planned, task, root / "toy")
    write_yaml(root / "toy" / "run.yaml", settings)
    return task, root / "toy", prepared


def measure(
    monkeypatch, folder: Path, prepared: Path, output: Path, name: str = "tiny", notice: str = ""
) -> dict[str, Any]:
    options = ["--models", f"{name}={folder}", "--task", prepared, "--output-dir", output, "--notice", notice]
    options += ["--repetitions", 2, "--warmup", 0, "--batch-size", 3, "--sequence-length", 16]
    monkeypatch.setattr(sys, "argv", ["measure_deployment", *map(str, options)])
    measure_deployment.main()
    return read_json(output / "measurements.json")


def test_every_form_is_scored_and_measured_and_the_int8_file_kept(monkeypatch, finetuned, tmp_path, caplog):
    task, folder, prepared = finetuned
    with caplog.at_level(logging.INFO):
        content = measure(monkeypatch, folder, prepared, tmp_path)
    assert "exported; its logits differ from torch's by" in caplog.text
    assert "pre-processing" not in caplog.text  # the quantiser's advice
    assert (content["dataset"], content["task"]) == ("toy", task)
    facts = content["models"]["tiny"]
    assert facts["run"] == "seed1" and list(facts["forms"]) == list(FORMS)
    stored = {score[3:6]: score.value for score in score_folder("tiny", folder, prepared).scores}
    for protocol, metrics in facts["forms"][TORCH]["scores"].items():
        assert metrics == {name: stored["seed1", protocol, name] for name in metrics}
    assert facts["forms"][ONNX]["scores"] == facts["forms"][TORCH]["scores"]
    for form in FORMS:
        speed = facts["forms"][form]["cpu"]
        assert len(speed["latency_milliseconds"]["values"]) == 2
        assert min(speed["throughput_sequences_per_second"]["values"]) > 0
    kept = tmp_path / "tiny" / "model.int8.onnx"
    assert facts["forms"][INT8]["bytes"] == kept.stat().st_size < facts["forms"][ONNX]["bytes"]
    assert facts["forms"][TORCH]["bytes"] == (folder / "model" / "model.safetensors").stat().st_size
    record, manifest = read_json(tmp_path / "provenance.json"), read_json(tmp_path / "tiny" / "manifest.json")
    assert record["inputs"]["tiny"] == manifest["weights"] == model_digest(folder / "model")
    assert record["outputs"]["tiny"] == manifest["digest"]
    assert record["packages"]["onnxruntime"] == onnxruntime.__version__


def test_int8_weights_are_those_of_torch_in_steps_of_a_64th(monkeypatch, finetuned, tmp_path):
    """Symmetric, and a scale per output: its largest weight becomes 64, which leaves one of the 8 bits unused."""
    task, folder, prepared = finetuned
    measure(monkeypatch, folder, prepared, tmp_path)
    graph = onnx.load(tmp_path / "tiny" / "model.int8.onnx").graph
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    step = forms.load_kept(folder / "model", task)
    linear = {name: module for name, module in step.model.named_modules() if isinstance(module, torch.nn.Linear)}
    assert len(linear) > 12
    for name, module in linear.items():
        weights = module.weight.detach().numpy().T  # [inputs, outputs], as ONNX multiplies
        steps = np.rint(weights / (np.abs(weights).max(axis=0) / 64))
        assert any(values.dtype == np.int8 and np.array_equal(values, steps) for values in stored), name


NOTICE = "Generated data: not real."


def test_the_programs_of_the_cards_run_as_they_stand(monkeypatch, finetuned, tmp_path, capsys):
    """Both folders that are meant to be used: transformers' answers are those that were scored, int8 gives as many."""
    task, folder, prepared = finetuned
    measure(monkeypatch, folder, prepared, tmp_path, notice=NOTICE)
    run_program(folder / "model", monkeypatch, capsys)
    printed = run_program(tmp_path / "tiny", monkeypatch, capsys)
    assert printed or task == "ner"  # where nothing is named, nothing is printed
    rows = [row for row in pq.read_table(folder / "predictions.parquet").to_pylist() if row["run"] == "seed1"]
    test = ROWS[task](20, 3)
    for number in range(6):
        texts, wanted = asked(task, test, rows, number)
        assert [
            line.split()[0] if task == "re" else line.strip()
            for line in run_program(folder / "model", monkeypatch, capsys, **texts)
        ][: len(wanted)] == wanted
        quantised = run_program(tmp_path / "tiny", monkeypatch, capsys, **texts)
        if task == "re":
            assert sorted(line.split()[0] for line in quantised) == LABELS["re"]
            assert sum(float(line.split()[1]) for line in quantised) == pytest.approx(1.0, abs=2e-3)
        else:
            assert all(line.strip() in texts["text" if task == "ner" else "context"] for line in quantised)
    card = ModelCard.load(tmp_path / "tiny" / CARD)
    assert card.data.tags == ["generated-data"] and f"> **{NOTICE}**" in card.text
    assert "in int8" in card.text and "tiny, fine-tuned on toy" in card.text
    assert "| learning rate | 0.003 |" in card.text and "| run | seed1 |" in card.text
    plain = ModelCard.load(folder / "model" / CARD)
    assert plain.data.pipeline_tag == card.data.pipeline_tag and not plain.data.tags
    for word in ("PubMed", "biomedical", "language: en", "/tmp", str(folder)):
        assert word not in plain.content + card.content


def asked(task: str, test: dict[str, list], rows: list[dict], number: int) -> tuple[dict[str, str], list[str]]:
    """Return a test example as the card's program takes it, and what it must print first by the stored predictions."""
    if task == "ner":
        words, tags = test["words"][number], [*rows[number]["predicted"], "O"]
        starts = [i for i, tag in enumerate(tags) if tag == "B" or (tag == "I" and (i == 0 or tags[i - 1] == "O"))]
        ends = [next(j for j in range(i + 1, len(tags)) if tags[j] != "I") for i in starts]
        return {"text": " ".join(words)}, [" ".join(words[i:j]) for i, j in zip(starts, ends, strict=True)]
    if task == "re":
        return {"text": test["sentence"][number]}, [rows[number]["predicted"]]
    place = {name: test[name][number] for name in ("question_id", "snippet")} | {"rank": 1, "max_answer_tokens": 30}
    [best] = [row["text"] for row in rows if place.items() <= row.items()]
    return {name: test[name][number] for name in ("question", "context")}, [best]


@pytest.mark.parametrize("finetuned", ["distilbert"], indirect=True)  # of sentences: their score is short to restate
def test_the_folder_alone_answers_as_it_was_scored(monkeypatch, finetuned, tmp_path):
    _, folder, prepared = finetuned
    scores = measure(monkeypatch, folder, prepared, tmp_path)["models"]["tiny"]["forms"][INT8]["scores"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "tiny")
    labels = transformers.AutoConfig.from_pretrained(tmp_path / "tiny").id2label
    session = onnxruntime.InferenceSession(tmp_path / "tiny" / "model.int8.onnx", providers=["CPUExecutionProvider"])
    test = re_rows(20, 3)
    batch = tokenizer(test["sentence"], padding=True, return_tensors="np")
    (logits,) = session.run(None, {entry.name: batch[entry.name].astype(np.int64) for entry in session.get_inputs()})
    predicted = [labels[place] for place in logits.argmax(-1)]
    gold = [LABELS["re"][label] for label in test["label"]]
    assert scores["standard"]["f1"] == pytest.approx(sklearn.metrics.f1_score(gold, predicted, pos_label="yes"))


def test_another_batch_and_length_than_the_exported_ones_give_torch_s_numbers(finetuned, tmp_path):
    task, folder, _ = finetuned
    step = forms.load_kept(folder / "model", task)
    forms.export_onnx(step, tmp_path / "model.onnx")
    file = forms.OnnxModel(tmp_path / "model.onnx", 1)
    draw = np.random.default_rng(1)
    for batch, length in ((1, 1), (5, 33), (2, 64)):
        arrays = {name: draw.integers(0, 2, (batch, length)) for name in file.inputs}
        arrays["input_ids"] = draw.integers(0, len(VOCABULARY), (batch, length))
        arrays["attention_mask"] = np.arange(length) <= draw.integers(0, length, (batch, 1))
        arrays["attention_mask"] = arrays["attention_mask"].astype(np.int64)
        with torch.inference_mode():
            output = step.model(**{name: torch.from_numpy(values) for name, values in arrays.items()})
        wanted = [output.start_logits, output.end_logits] if task == "qa" else [output.logits]
        found = file.logits(arrays)
        found = [found[..., 0], found[..., 1]] if task == "qa" else [found]
        real = slice(None) if task == "re" else arrays["attention_mask"].astype(bool)
        for one, other in zip(found, wanted, strict=True):
            np.testing.assert_allclose(one[real], other.numpy()[real], atol=1e-5)


def test_an_export_that_differs_is_refused_before_anything_is_measured(monkeypatch, finetuned, tmp_path):
    _, folder, prepared = finetuned

    def export_wrongly(step: TaskStep, path: Path) -> None:
        head = list(step.model.parameters())[-1]
        with torch.no_grad():
            head += 0.5
        export(step, path)
        with torch.no_grad():
            head -= 0.5

    export = forms.export_onnx
    monkeypatch.setattr(forms, "export_onnx", export_wrongly)
    with pytest.raises(UserError, match=r"tiny: its ONNX export differs from torch by 0\.5 .* nothing was measured"):
        measure(monkeypatch, folder, prepared, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("finetuned", ["bert"], indirect=True)
def test_folders_that_do_not_fit_are_refused(monkeypatch, finetuned, tmp_path):
    _, folder, prepared = finetuned
    with pytest.raises(UserError, match="is of model tiny, not of huge"):
        measure(monkeypatch, folder, prepared, tmp_path / "out", name="huge")
    with pytest.raises(UserError, match="there is no folder"):
        measure(monkeypatch, tmp_path / "nothing", prepared, tmp_path / "out")
    own = shutil.copytree(folder, tmp_path / "own")
    shutil.rmtree(own / "model")
    with pytest.raises(UserError, match="is gone, though"):
        measure(monkeypatch, own, prepared, tmp_path / "out")
