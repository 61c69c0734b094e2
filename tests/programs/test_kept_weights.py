"""The model that a fine-tuning leaves: its predictions, in transformers' own classes, and when it is made anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import transformers
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

from compactbio.errors import UserError
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.execution import finetune
from compactbio.finetuning.runs.grid import choose_point, plan_trials
from compactbio.finetuning.runs.kept_weights import kept_digest
from compactbio.finetuning.runs.outputs import publish
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.students.tokenizers import save_tokenizer, tokenizer_of_vocabulary

RE_LABELS = ["no", "yes"]


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny model with a tokenizer as the workflow's own folders have it, [CLS] and [SEP] included."""
    folder = write_model(tmp_path_factory.mktemp("models") / "bert", masked_lm=True)
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    save_tokenizer(tokenizer_of_vocabulary(vocabulary, lower_case=True, max_length=64), folder)
    return folder


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    root = tmp_path_factory.mktemp("tasks")
    ner = {"train": ner_rows(96, 1), "validation": ner_rows(20, 2), "test": ner_rows(20, 3)}
    write_dataset(root / "ner", "ner", ner, NER_LABELS)
    write_dataset(root / "re", "re", {"train": re_rows(96, 1, 1), "test": re_rows(20, 2, 1)}, RE_LABELS)
    write_dataset(root / "qa", "qa", {"train": qa_rows(96, 5), "test": qa_rows(20, 6)}, [])
    return root


def do(settings: dict, model: Path, task: Path, place: Path) -> list[dict]:
    """Fine-tune as the program does, publish, and return the predictions as rows."""
    digests = {"model": model_digest(model), "dataset": dataset_digest(task)}
    trials = plan_trials(settings, digests, place / "checkpoints")
    assert finetune(settings, model, task, trials, deadline=None, stop=None)
    chosen, grid = choose_point(settings, trials)
    planned = plan_runs(chosen, digests, place / "checkpoints")
    assert finetune(settings, model, task, planned, deadline=None, stop=None)
    publish(planned, settings["task"], place / "toy", grid)
    return pq.read_table(place / "toy" / "predictions.parquet").to_pylist()


def kept(settings: dict) -> dict:
    return {**settings, "keep_weights": True}


RUNS = [{"run": f"seed{seed}", "seed": seed, "fold": 1} for seed in (1, 2)]


def test_sentences_are_classified_alike_by_a_plain_pipeline(model, tasks, tmp_path):
    """Also with a marker that is one token of its own: the folder's tokenizer knows it."""
    settings = kept(run_settings("re", RE_LABELS, runs=RUNS, epochs=2, added_tokens=["@gene$"]))
    rows = do(settings, model, tasks / "re", tmp_path)
    folder = tmp_path / "toy" / "model"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer.tokenize("@gene$")) == 1
    classify = transformers.pipeline("text-classification", model=str(folder), top_k=None)
    first = [row for row in rows if row["run"] == "seed1"]
    for sentence, row in zip(re_rows(20, 2, 1)["sentence"], first, strict=True):
        found = {entry["label"]: entry["score"] for entry in classify([sentence])[0]}
        assert [found[label] for label in RE_LABELS] == pytest.approx(row["probabilities"], abs=1e-5)
    assert [row["probabilities"] for row in rows if row["run"] == "seed2"] != [row["probabilities"] for row in first]


def test_words_are_labelled_alike_with_the_best_epoch_s_weights(model, tasks, tmp_path):
    settings = kept(run_settings("ner", NER_LABELS, epochs=4, learning_rate=2.0e-2, best_epoch_by="f1", patience=1))
    rows = do(settings, model, tasks / "ner", tmp_path)
    folder = tmp_path / "toy" / "model"
    loaded = transformers.AutoModelForTokenClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert loaded.config.id2label == dict(enumerate(NER_LABELS))
    assert loaded.get_input_embeddings().weight.shape[0] == loaded.config.vocab_size == len(tokenizer)
    for row, words in zip(rows, ner_rows(20, 3)["words"], strict=True):
        encoded = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            labels = loaded(**encoded).logits[0, 1:-1].argmax(-1)
        assert [NER_LABELS[label] for label in labels] == row["piece_predicted"]


def test_answers_are_found_alike(model, tasks, tmp_path):
    rows = do(kept(run_settings("qa", [], epochs=6)), model, tasks / "qa", tmp_path)
    folder = tmp_path / "toy" / "model"
    loaded = transformers.AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    best = [row for row in rows if row["rank"] == 1 and row["max_answer_tokens"] == 15]
    test = qa_rows(20, 6)
    for row, question, context in zip(best, test["question"], test["context"], strict=True):
        encoded = tokenizer(question, context, return_tensors="pt")
        with torch.inference_mode():
            found = loaded(**encoded)
        inside = torch.tensor([place == 1 for place in encoded.sequence_ids()])
        start, end = (logits[0].masked_fill(~inside, -1e9) for logits in (found.start_logits, found.end_logits))
        scores = (start[:, None] + end[None, :]).triu().numpy()
        first, last = np.unravel_index(scores.argmax(), scores.shape)
        span = encoded.token_to_chars(int(first)).start, encoded.token_to_chars(int(last)).end
        assert context[slice(*span)] == row["text"]


def test_weights_wanted_later_cost_one_run_and_no_other_result(model, tasks, tmp_path):
    plain = run_settings("re", RE_LABELS, runs=RUNS, epochs=1)
    rows = do(plain, model, tasks / "re", tmp_path)
    assert json.loads((tmp_path / "toy" / "training.json").read_text())["weights"] is None
    finished = {path.parent: path.stat().st_mtime_ns for path in tmp_path.rglob("finished/predictions.parquet")}
    assert do(kept(plain), model, tasks / "re", tmp_path) == rows
    kept_ones = [path.parents[1] for path in tmp_path.rglob("finished/model/model.safetensors")]
    assert len(finished) == 2 and len(kept_ones) == 1
    changed = [
        folder for folder, time in finished.items() if (folder / "predictions.parquet").stat().st_mtime_ns != time
    ]
    assert changed == kept_ones
    folder = tmp_path / "toy" / "model"
    first = (folder / "model.safetensors").read_bytes()
    assert kept_digest(folder) == model_digest(folder) == json.loads((folder / "manifest.json").read_text())["digest"]
    # wanted no more: the run stays as it is, the published folder goes; wanted again, it comes back
    assert do(plain, model, tasks / "re", tmp_path) == rows and not folder.exists()
    assert do(kept(plain), model, tasks / "re", tmp_path) == rows
    assert (folder / "model.safetensors").read_bytes() == first


def test_the_chosen_point_of_a_grid_is_kept(model, tasks, tmp_path):
    grid = {"learning_rate": [1.0e-5, 3.0e-3]}
    settings = kept(run_settings("re", RE_LABELS, runs=RUNS[:1], validation_fraction=0.2, epochs=3, grid=grid))
    do(settings, model, tasks / "re", tmp_path)
    training = json.loads((tmp_path / "toy" / "training.json").read_text())
    (chosen,) = [point["fingerprint"] for point in training["grid"] if point["chosen"]]
    assert kept_digest(tmp_path / "toy" / "model") == model_digest(
        tmp_path / "checkpoints" / chosen / "finished" / "model"
    )
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2  # the chosen point was not trained again


def test_a_folder_of_the_users_own_is_left_alone(model, tasks, tmp_path):
    own = shutil.copytree(model, tmp_path / "toy" / "model")
    settings = run_settings("re", RE_LABELS, runs=RUNS[:1], epochs=1)
    do(settings, own, tasks / "re", tmp_path)
    with pytest.raises(UserError, match="holds no fine-tuned model and would be replaced"):
        do(kept(settings), own, tasks / "re", tmp_path)
    assert (own / "model.safetensors").read_bytes() == (model / "model.safetensors").read_bytes()


def test_a_folder_that_is_gone_or_changed_is_refused(model, tasks, tmp_path):
    settings = run_settings("re", RE_LABELS, runs=RUNS[:1], epochs=1)
    do(kept(settings), model, tasks / "re", tmp_path)
    folder = tmp_path / "toy" / "model"
    shutil.copytree(folder, tmp_path / "copy")
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    with pytest.raises(UserError, match=r"model\.safetensors differs from its digest .*: delete .*training\.json and"):
        kept_digest(folder)
    shutil.rmtree(folder)
    with pytest.raises(UserError, match=r"model is gone, though .*training\.json says"):
        kept_digest(folder)
    do({**kept(settings), "runs": RUNS[1:]}, model, tasks / "re", tmp_path)  # another seed's weights
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "copy", folder)
    with pytest.raises(UserError, match=r"holds other weights than .*training\.json says"):
        kept_digest(folder)
    do(settings, model, tasks / "re", tmp_path)
    with pytest.raises(UserError, match=r"keeps no weights: add toy to run\.keep_weights"):
        kept_digest(folder)
