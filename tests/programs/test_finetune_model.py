"""finetune_model on toy data: it learns, resumes to the same predictions, and takes finished runs from before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers.finetuning import (
    NER_LABELS,
    ner_rows,
    qa_rows,
    re_rows,
    run_settings,
    write_dataset,
    write_model,
)

from compactbio.errors import UserError
from compactbio.finetuning.examples import Dataset
from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.execution import finetune
from compactbio.finetuning.runs.grid import choose_point, plan_trials
from compactbio.finetuning.runs.one_run import OneRun
from compactbio.finetuning.runs.outputs import publish
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.pretraining.packed_attention import UNPACKED
from compactbio.training.processes import start_accelerator

LABELS = {"ner": NER_LABELS, "re": ["no", "yes"], "qa": []}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("models") / "bert", masked_lm=True)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    root = tmp_path_factory.mktemp("tasks")
    ner = {"train": ner_rows(320, 1), "validation": ner_rows(30, 2), "test": ner_rows(40, 3)}
    # awkward rows: no word, a word without pieces, a sentence beyond the length limit
    ner["test"]["words"][:3] = [[], ["\u200b", "flux"], ["cell", "flux", "the"] * 25]
    ner["test"]["labels"][:3] = [[], [0, 1], [0, 1, 0] * 25]
    write_dataset(root / "ner", "ner", ner, NER_LABELS)
    folds = [re_rows(300, fold, fold) for fold in (1, 2)]
    train = {name: folds[0][name] + folds[1][name] for name in folds[0]}
    tests = [re_rows(40, 10 + fold, fold) for fold in (1, 2)]
    write_dataset(
        root / "re",
        "re",
        {"train": train, "test": {name: tests[0][name] + tests[1][name] for name in tests[0]}},
        LABELS["re"],
    )
    qa_test = qa_rows(40, 6)
    qa_test["answers"] = [{"text": [], "answer_start": []} for _ in qa_test["answers"]]
    write_dataset(root / "qa", "qa", {"train": qa_rows(400, 5), "test": qa_test}, [])
    return root


class StopAfter:
    """A stop signal that arrives when it has been looked at `looks` times."""

    def __init__(self, looks: int) -> None:
        self.looks = looks

    @property
    def reason(self) -> str | None:
        self.looks -= 1
        return "SIGTERM" if self.looks < 0 else None


def do(settings, model, task_folder, place: Path, stop=None):
    """Fine-tune as the program does and return the predictions as rows, or None if it left early."""
    digests = {"model": model_digest(model), "dataset": dataset_digest(task_folder)}
    trials = plan_trials(settings, digests, place / "checkpoints")
    if not finetune(settings, model, task_folder, trials, deadline=None, stop=stop):
        return None
    chosen, grid = choose_point(settings, trials)
    planned = plan_runs(chosen, digests, place / "checkpoints")
    if not finetune(settings, model, task_folder, planned, deadline=None, stop=stop):
        return None
    publish(planned, settings["task"], place / "output", grid)
    return pq.read_table(place / "output" / "predictions.parquet").to_pylist()


def test_entities_are_learnt_and_every_word_is_predicted(model, tasks, tmp_path):
    settings = run_settings("ner", NER_LABELS, epochs=6)
    rows = do(settings, model, tasks / "ner", tmp_path)
    assert [row["id"] for row in rows] == list(range(40))
    assert all(len(row["gold"]) == len(row["predicted"]) == len(row["score"]) for row in rows)
    assert rows[0]["predicted"] == []
    assert rows[1]["predicted"][0] == "O" and rows[1]["score"][0] == 0
    assert len(rows[2]["predicted"]) == 75
    assert [word for word in rows[2]["piece_words"] if word % 3 == 1] == [n for n in range(1, 75, 3) for _ in "ab"]
    gold = [label for row in rows[3:] for label in row["gold"]]
    predicted = [label for row in rows[3:] for label in row["predicted"]]
    assert np.mean([a == b for a, b in zip(gold, predicted, strict=True)]) > 0.95
    for row in rows[3:]:
        firsts = dict(reversed(list(zip(row["piece_words"], row["piece_predicted"], strict=True))))
        assert [firsts[word] for word in range(len(row["gold"]))] == row["predicted"]
    lines = [json.loads(line) for line in (tmp_path / "output" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["run"], line["epoch"], line["step"]) for line in lines] == [
        ("seed1", epoch, 20 * epoch) for epoch in range(1, 7)
    ]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[-1]["validation"]["loss"] < 0.5
    assert lines[-1]["validation"]["f1"] > 0.6


def test_relations_are_learnt_on_the_run_s_own_fold(model, tasks, tmp_path):
    runs = [{"run": f"seed1-fold{fold}", "seed": 1, "fold": fold} for fold in (1, 2)]
    settings = run_settings("re", LABELS["re"], runs=runs, validation_fraction=0.1)
    rows = do(settings, model, tasks / "re", tmp_path)
    assert [(row["run"], row["fold"]) for row in rows] == [("seed1-fold1", 1)] * 40 + [("seed1-fold2", 2)] * 40
    assert np.mean([row["gold"] == row["predicted"] for row in rows]) > 0.9
    assert all(sum(row["probabilities"]) == pytest.approx(1, abs=1e-5) for row in rows)
    assert all(LABELS["re"][int(np.argmax(row["probabilities"]))] == row["predicted"] for row in rows)
    training = json.loads((tmp_path / "output" / "training.json").read_text())
    assert [(run["train"]["rows"], run["validation"]["rows"]) for run in training["runs"]] == [(270, 30)] * 2
    assert training["steps"] == 2 * 3 * 17


def test_answers_are_learnt_and_offsets_point_at_the_text(model, tasks, tmp_path):
    rows = do(run_settings("qa", [], epochs=6), model, tasks / "qa", tmp_path)
    test = qa_rows(40, 6)
    by_row = dict(zip(zip(test["question_id"], test["snippet"], strict=True), range(40), strict=True))
    assert {row["max_answer_tokens"] for row in rows} == {15, 30}
    correct = 0
    for row in rows:
        number = by_row[row["question_id"], row["snippet"]]
        assert test["context"][number][row["start"] : row["end"]] == row["text"] != ""
        if row["rank"] == 1 and row["max_answer_tokens"] == 15:
            correct += row["text"] == test["answers"][number]["text"][0]
    assert correct > 32
    assert max(row["rank"] for row in rows) <= 20


def training_of(place: Path) -> dict:
    return json.loads((place / "output" / "training.json").read_text())


def test_the_best_epoch_is_taken_and_training_stops_early_also_after_an_interruption(model, tasks, tmp_path):
    # a learning rate that spoils the model after a while, so that the best epoch is not the last
    options = {"epochs": 8, "learning_rate": 2.0e-2, "best_epoch_by": "f1", "patience": 2}
    settings = run_settings("ner", NER_LABELS, **options)
    whole = do(settings, model, tasks / "ner", tmp_path / "whole")
    (run,) = training_of(tmp_path / "whole")["runs"]
    lines = [json.loads(line) for line in (tmp_path / "whole" / "output" / "metrics.jsonl").read_text().splitlines()]
    scores = [line["validation"]["f1"] for line in lines]
    assert run["epoch"] == 1 + scores.index(max(scores)) <= len(lines) < 8
    assert len(lines) == run["epoch"] + 2 and run["steps"] == 20 * len(lines)
    # the same training cut off at the best epoch predicts the same: its weights were the ones taken
    for looks in (7, 31):
        assert do(settings, model, tasks / "ner", tmp_path / "parts", StopAfter(looks)) is None
    assert do(settings, model, tasks / "ner", tmp_path / "parts") == whole
    assert training_of(tmp_path / "parts")["runs"][0]["epoch"] == run["epoch"]
    assert not [path for path in (tmp_path / "whole" / "checkpoints").rglob("*") if path.name == "best"]


def test_muon_and_groups_learn_and_go_on_after_an_interruption_in_the_same_bits(model, tasks, tmp_path):
    groups = [{"parameters": "embeddings", "learning_rate_factor": 0.5, "weight_decay": 0.0}]
    options = {"epochs": 3, "optimizer": {"name": "muon", "learning_rate": 5.0e-3}, "parameter_groups": groups}
    settings = run_settings("ner", NER_LABELS, **options)
    whole = do(settings, model, tasks / "ner", tmp_path / "whole")
    assert do(settings, model, tasks / "ner", tmp_path / "parts", StopAfter(23)) is None
    assert do(settings, model, tasks / "ner", tmp_path / "parts") == whole
    losses = [
        json.loads(line)["loss"] for line in (tmp_path / "parts" / "output" / "metrics.jsonl").read_text().splitlines()
    ]
    assert losses[-1] < 0.5 * losses[0]


def test_a_grid_is_tried_with_the_first_run_and_the_choice_is_trained_with_all(model, tasks, tmp_path):
    runs = [{"run": f"seed{seed}", "seed": seed, "fold": 1} for seed in (1, 2)]
    grid = {"learning_rate": [1.0e-5, 3.0e-3], "epochs": [4]}
    settings = run_settings("re", LABELS["re"], runs=runs, validation_fraction=0.2, grid=grid)
    rows = do(settings, model, tasks / "re", tmp_path)
    training = training_of(tmp_path)
    assert [(point["learning_rate"], point["chosen"]) for point in training["grid"]] == [
        (1.0e-5, False),
        (3.0e-3, True),
    ]
    assert training["hyperparameters"]["learning_rate"] == 3.0e-3 and "grid" not in training["hyperparameters"]
    assert training["grid"][1]["fingerprint"] == training["runs"][0]["fingerprint"]  # not trained again
    assert len(list((tmp_path / "checkpoints").rglob("result.json"))) == 3
    plain = run_settings("re", LABELS["re"], runs=runs, validation_fraction=0.2, learning_rate=3.0e-3, epochs=4)
    assert do(plain, model, tasks / "re", tmp_path / "plain") == rows


def test_markers_of_one_token_and_class_weights_are_trained_with(model, tasks, tmp_path):
    runs = [{"run": "seed1", "seed": 1, "fold": 1}]
    common = {"runs": runs, "epochs": 4}
    plain = do(run_settings("re", LABELS["re"], **common), model, tasks / "re", tmp_path / "plain")
    marked = run_settings("re", LABELS["re"], added_tokens=["@gene$"], class_weights="balanced", **common)
    rows = do(marked, model, tasks / "re", tmp_path / "marked")
    assert [row["probabilities"] for row in rows] != [row["probabilities"] for row in plain]
    assert np.mean([row["gold"] == row["predicted"] for row in rows]) > 0.9
    heavy = run_settings("re", LABELS["re"], class_weights=[0.001, 1000.0], runs=runs, epochs=1)
    rows = do(heavy, model, tasks / "re", tmp_path / "heavy")
    assert {row["predicted"] for row in rows} == {"yes"}


def test_validation_of_answers_has_the_standard_protocol_s_measures(model, tasks, tmp_path):
    settings = run_settings("qa", [], epochs=6, validation_fraction=0.1, best_epoch_by="mrr")
    do(settings, model, tasks / "qa", tmp_path)
    (run,) = training_of(tmp_path)["runs"]
    assert (run["train"]["rows"], run["validation"]["rows"]) == (360, 40)
    lines = [json.loads(line) for line in (tmp_path / "output" / "metrics.jsonl").read_text().splitlines()]
    best = lines[run["epoch"] - 1]["validation"]
    assert best["mrr"] == max(line["validation"]["mrr"] for line in lines) > 0.8
    assert best["strict"] <= best["mrr"] <= best["lenient"]


@pytest.mark.parametrize("task", ["ner", "qa"])
def test_an_interrupted_run_equals_an_uninterrupted_one(task, model, tasks, tmp_path):
    settings = run_settings(task, LABELS[task], epochs=1)  # dropout is on: the configuration's 0.1
    whole = do(settings, model, tasks / task, tmp_path / "whole")
    for looks in (3, 9):
        assert do(settings, model, tasks / task, tmp_path / "parts", StopAfter(looks)) is None
        assert not (tmp_path / "parts" / "output").exists()
    assert do(settings, model, tasks / task, tmp_path / "parts") == whole


def test_an_added_seed_costs_one_run_and_a_changed_setting_all(model, tasks, tmp_path):
    one = run_settings("re", LABELS["re"], epochs=1, runs=[{"run": "seed1", "seed": 1, "fold": 1}])
    first = do(one, model, tasks / "re", tmp_path)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").rglob("*.parquet")}
    two = {**one, "runs": [{"run": "seed2", "seed": 2, "fold": 1}, *one["runs"]], "positive_labels": ["no"]}
    both = do(two, model, tasks / "re", tmp_path)
    assert [row for row in both if row["run"] == "seed1"] == first
    assert [row["probabilities"] for row in both if row["run"] == "seed2"] != [row["probabilities"] for row in first]
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "checkpoints").rglob("*.parquet")}
    assert len(after) == 2 and before.items() <= after.items()
    assert not list((tmp_path / "checkpoints").rglob("step-*"))
    digests = {"model": model_digest(model), "dataset": dataset_digest(tasks / "re")}
    changed = run_settings("re", LABELS["re"], epochs=2, runs=one["runs"])
    plans = [plan_runs(settings, digests, tmp_path / "checkpoints") for settings in (two, changed)]
    assert [run.is_finished() for plan in plans for run in plan] == [True, True, False]
    damaged = plans[0][0].finished / "predictions.parquet"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert not plans[0][0].is_finished()


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("ner", {"max_length": 100}, "max_length is 100"),
        ("ner", {"labels": ["O", "B"]}, "label 'I'"),
        ("ner", {"labels": ["B", "I"]}, "label 'O' is not among"),
        ("re", {"labels": ["no"], "runs": [{"run": "a", "seed": 1, "fold": 1}]}, "label 'yes'"),
        ("re", {"runs": [{"run": "a", "seed": 1, "fold": 7}]}, "no rows of fold 7"),
        ("qa", {"stride": 20}, "stride 20"),
        ("qa", {"best_epoch_by": "mrr"}, "best_epoch_by needs validation data"),
        ("qa", {"grid": {"epochs": [1]}, "epochs": 1}, "grid needs validation data"),
    ],
)
def test_what_does_not_fit_together_is_refused(task, changes, message, model, tasks, tmp_path):
    with pytest.raises(UserError, match=message):
        do(run_settings(task, **{"labels": LABELS[task], **changes}), model, tasks / task, tmp_path)


def test_fp16_is_refused_for_a_model_whose_activations_exceed_it(tasks, tmp_path, monkeypatch):
    model = write_model(tmp_path / "mobilebert", architecture="mobilebert")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    with pytest.raises(UserError, match=r"fp16 does not hold the activations of MobileBERT; use half \(fp32 here\)"):
        do(run_settings("ner", NER_LABELS, precision="fp16"), model, tasks / "ner", tmp_path)


def test_micro_batches_of_fixed_shape_train_a_run_to_the_same_scores(model, tasks, tmp_path):
    """As a GPU has them, through the recorder of passes that a CPU stands in with, and without dropout, drawn anew."""
    without = tmp_path / "model"
    shutil.copytree(model, without)
    config = json.loads((without / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (without / "config.json").write_text(json.dumps(config))
    for task in ("ner", "qa"):
        settings = run_settings(task, LABELS[task], epochs=1)
        dataset = Dataset(tasks / task, settings, PieceTokenizer(without))
        logits = []
        for kernel in ("", UNPACKED, None):
            run = OneRun(settings, without, dataset, 1, 0, start_accelerator())
            if kernel != "":
                run.fixed, run.grouped, run.kernel = True, False, kernel
            assert run.train(tmp_path / f"{task}{kernel}", deadline=None, stop=None).finished
            # what is the same for all places leaves an answer's softmax alone: AdamW takes it wherever rounding points
            logits.append(np.concatenate([(row - row.mean(axis=0)).ravel() for row in run._logits(run.test_part)]))
        for other in logits[1:]:
            assert np.abs(other - logits[0]).max() < 2e-3 * np.abs(logits[0]).max()
