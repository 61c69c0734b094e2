"""list_checkpoints.py: what is in use, what is orphaned, what cannot be known; nothing is deleted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import list_checkpoints
import pytest
import yaml
from helpers import pretraining as tiny
from helpers.finetuning import run_settings as finetuning_settings
from helpers.reporting import RUN

from compactbio.cluster.inventory import age_in_words, stored_runs
from compactbio.errors import UserError
from compactbio.files import write_json, write_manifest
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.grid import at_point, plan_trials
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.pretraining.inputs import read_inputs
from compactbio.training.tries import Tries


def write_run(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content))
    return path


def write_model(folder, content=b"weights"):
    """A checkpoint folder by its names and digests only: nothing here loads a model."""
    folder.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / name).write_bytes(content)
    write_manifest(folder, tokenizer_digest=tiny.TOKENIZER_DIGEST)


def write_store(results, number):
    """The token store of one shard of the corpus."""
    tiny.write_store(results / "corpus" / "tokens" / "test" / f"{number:04d}", count=5, seed=number)


@pytest.fixture
def results(tmp_path):
    """A results folder with one pre-training and one fine-tuning of two runs, and no checkpoint yet."""
    results = tmp_path / "my results"
    write_run(results / "pretraining" / "Small" / "run.yaml", tiny.run_settings(tiny.DISTIL))
    write_model(results / "students" / "initialised" / "Small", b"student")
    write_model(results / "students" / "fetched" / "teacher", b"teacher")
    write_store(results, 1)
    runs = [{"run": f"seed{seed}", "seed": seed, "fold": 0} for seed in (1, 2)]
    settings = finetuning_settings("ner", ["O", "B", "I"], runs=runs)
    write_run(results / "finetuning" / "Small" / "toy" / "run.yaml", settings)
    write_model(results / "pretraining" / "Small" / "model")
    (results / "tasks" / "toy" / "data" / "train").mkdir(parents=True)
    (results / "tasks" / "toy" / "data" / "train" / "rows.arrow").write_bytes(b"rows")
    return results


def pretraining_folder(results, stores=2):
    """The checkpoint folder of the present pre-training, made."""
    inputs = read_inputs(
        results / "pretraining" / "Small" / "run.yaml",
        results / "students" / "initialised" / "Small",
        results / "students" / "fetched" / "teacher",
        sorted((results / "corpus" / "tokens" / "test").glob("*"))[:stores],
    )
    folder = results / "checkpoints" / "pretraining" / "Small" / inputs.fingerprint
    (folder / "step-00000004").mkdir(parents=True)
    (folder / "step-00000004" / "model.safetensors").write_bytes(b"x" * 1_000_000)
    write_json(folder / "state.json", {"step": 4, "total_steps": 6, "finished": False, "reason": "deadline"})
    return folder


def finetuning_folders(results):
    """The checkpoint folders of the present fine-tuning: the first run finished, the second stalled."""
    settings = yaml.safe_load((results / "finetuning" / "Small" / "toy" / "run.yaml").read_text())
    model, task = results / "pretraining" / "Small" / "model", results / "tasks" / "toy"
    digests = {"model": model_digest(model), "dataset": dataset_digest(task)}
    planned = plan_runs(settings, digests, results / "checkpoints" / "finetuning" / "Small" / "toy")
    first, second = (run.folder for run in planned)
    write_json(first / "finished" / "result.json", {"steps": 80})
    write_manifest(first / "finished")
    Tries(second).stall("loss", "the loss diverges")
    return first, second


def listed(results):
    return {run.folder: (run.use, run.status, f"{run.step}/{run.total}") for run in stored_runs(results)}


def printed(results, capsys, monkeypatch, *options):
    monkeypatch.setattr(sys, "argv", ["list_checkpoints.py", "--results", str(results), *options])
    list_checkpoints.main()
    return capsys.readouterr().out


def test_present_runs_are_in_use_and_superseded_ones_orphaned(results, capsys, monkeypatch):
    pretrained = pretraining_folder(results)
    finished, stalled = finetuning_folders(results)
    assert listed(results) == {
        pretrained: ("in use", "unfinished", "4/6"),
        finished: ("in use", "finished", "80/80"),
        stalled: ("in use", "stalled", "0/None"),
    }
    assert "orphaned: 0 of them" in printed(results, capsys, monkeypatch)
    write_run(results / "pretraining" / "Small" / "run.yaml", tiny.run_settings(tiny.DISTIL, seed=43))
    (results / "tasks" / "toy" / "data" / "train" / "rows.arrow").write_bytes(b"other rows")
    assert {use for use, _, _ in listed(results).values()} == {"orphaned"}
    text = printed(results, capsys, monkeypatch)
    assert "3 runs, 1.0 MB; orphaned: 3 of them, 1.0 MB" in text
    [line] = [line for line in text.splitlines() if line.startswith("pretraining")]
    assert line.split()[:6] == ["pretraining", "Small", "-", pretrained.name[:12], "4/6", "1.0"]
    assert line.split()[-2:] == ["unfinished", "orphaned"]
    assert sum(line.endswith("stalled     orphaned  the loss diverges") for line in text.splitlines()) == 1
    assert f"'{results}' --orphans-only | xargs -r -d '\\n' rm -r" in text
    assert pretrained.is_dir() and finished.is_dir() and stalled.is_dir()


def test_a_run_after_a_stage_is_in_use_as_long_as_the_stages_weights_are_the_same(results):
    path = results / "finetuning" / "Small" / "toy" / "run.yaml"
    settings = {**yaml.safe_load(path.read_text()), "starts_from": "before"}
    write_run(path, settings)
    stage = shutil.copytree(
        results / "pretraining" / "Small" / "model", results / "finetuning" / "Small" / "before" / "model"
    )
    (stage / "manifest.json").unlink()
    (stage / "model.safetensors").write_bytes(b"weights of the stage")
    digests = {"model": model_digest(stage), "dataset": dataset_digest(results / "tasks" / "toy")}
    planned = plan_runs(settings, digests, results / "checkpoints" / "finetuning" / "Small" / "toy")
    for run in planned:
        run.folder.mkdir(parents=True)
    assert {use for use, _, _ in listed(results).values()} == {"in use"}
    (stage / "model.safetensors").write_bytes(b"other weights")
    assert {use for use, _, _ in listed(results).values()} == {"orphaned"}
    shutil.rmtree(stage)
    assert {use for use, _, _ in listed(results).values()} == {"unknown"}


def test_points_of_a_grid_are_in_use_and_what_follows_them_once_they_are_finished(results):
    path = results / "finetuning" / "Small" / "toy" / "run.yaml"
    settings = yaml.safe_load(path.read_text())
    settings["hyperparameters"] |= {"grid": {"epochs": [2, 3]}}
    write_run(path, settings)
    digests = {
        "model": model_digest(results / "pretraining" / "Small" / "model"),
        "dataset": dataset_digest(results / "tasks" / "toy"),
    }
    place = results / "checkpoints" / "finetuning" / "Small" / "toy"
    trials = plan_trials(settings, digests, place)
    chosen = plan_runs(at_point(settings, {"epochs": 3}), digests, place)
    left_out = plan_runs(at_point(settings, {"epochs": 2}), digests, place)
    for run in (trials[0], chosen[1], left_out[1]):
        run.folder.mkdir(parents=True)
    assert [listed(results)[run.folder][0] for run in (trials[0], chosen[1])] == ["in use", "unknown"]
    for run, score in zip(trials, (0.1, 0.2), strict=True):
        write_json(run.finished / "result.json", RUN | {"steps": 80, "epoch": 1})
        line = {"epoch": 1, "step": 80, "loss": 0.5, "validation": {"f1": score}}
        (run.finished / "metrics.jsonl").write_text(json.dumps(line) + "\n")
        write_manifest(run.finished)
    uses = {folder: use for folder, (use, _, _) in listed(results).items()}
    assert [uses[run.folder] for run in (*trials, chosen[1], left_out[1])] == ["in use"] * 3 + ["orphaned"]


def test_the_printed_command_removes_the_orphans_alone(results):
    orphan = pretraining_folder(results)
    write_run(results / "pretraining" / "Small" / "run.yaml", tiny.run_settings(tiny.DISTIL, seed=43))
    used = pretraining_folder(results)
    kept = finetuning_folders(results)
    program = [sys.executable, list_checkpoints.__file__, "--results", str(results)]
    listing = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60).stdout
    command = listing.split("To remove the orphaned: ")[1]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    subprocess.run(command, shell=True, check=True, timeout=60, env={**os.environ, "PATH": path})
    assert not orphan.exists()
    assert all(folder.is_dir() for folder in (used, *kept))
    assert not subprocess.run([*program, "--orphans-only"], capture_output=True, check=True, timeout=60).stdout


def test_what_cannot_be_told_is_not_called_orphaned(results, capsys, monkeypatch):
    pretrained = pretraining_folder(results)
    first, second = finetuning_folders(results)
    (results / "students" / "initialised" / "Small" / "model.safetensors").unlink()  # being made again
    (results / "finetuning" / "Small" / "toy" / "run.yaml").unlink()
    assert {use for use, _, _ in listed(results).values()} == {"unknown"}
    reasons = {run.folder: run.reason for run in stored_runs(results)}
    assert "model.safetensors is missing" in reasons[pretrained]
    assert "run.yaml does not exist" in reasons[first]
    assert reasons[second] == f"the loss diverges; {reasons[first]}"
    assert printed(results, capsys, monkeypatch, "--orphans-only") == ""


def test_a_teacher_that_is_being_trained_again_leaves_its_students_alone(results):
    pretraining_folder(results)
    (results / "pretraining" / "teacher").mkdir()
    assert {use for use, _, _ in listed(results).values()} == {"unknown"}


def test_which_shards_are_used_is_what_the_configuration_says(results):
    write_store(results, 2)
    of_one, of_both = pretraining_folder(results, stores=1), pretraining_folder(results)
    uses = {run.folder: (run.use, run.reason) for run in stored_runs(results)}
    assert uses[of_both][0] == "in use"
    assert uses[of_one] == ("unknown", "whether all 2 token stores are used is known with --configfile only")
    for shards, used in ((1, of_one), (2, of_both)):
        config = {"models": {}, "corpus": {"source": "documents", "documents": ["texts"] * shards}}
        found = {run.folder: run.use for run in stored_runs(results, config)}
        assert found == {of_one: "orphaned", of_both: "orphaned"} | {used: "in use"}


def test_a_running_one_is_in_use_whatever_the_run_files_say(results):
    folder = pretraining_folder(results)
    write_run(results / "pretraining" / "Small" / "run.yaml", tiny.run_settings(tiny.DISTIL, seed=43))
    tries = Tries(folder)
    tries.begin(4)
    assert listed(results)[folder][:2] == ("in use", "running")
    tries.end(started_at=4, step=5, finished=False, reason="deadline")
    assert listed(results)[folder][:2] == ("orphaned", "unfinished")


def test_other_folders_and_torn_states_are_no_trouble(results):
    folder = pretraining_folder(results)
    (folder.parent / "notes").mkdir()
    (folder.parent / "state.json").write_text("{}")
    (folder / "state.json").write_text('{"step": ')
    assert listed(results) == {folder: ("in use", "unfinished", "4/None")}


def test_no_results_and_no_checkpoints_are_said(results, capsys, monkeypatch):
    assert printed(results, capsys, monkeypatch) == f"no checkpoints under {results}/checkpoints\n"
    with pytest.raises(UserError, match="give the results_dir of a configuration"):
        printed(results / "none", capsys, monkeypatch)


def test_torch_is_not_loaded(results):
    pretraining_folder(results)
    finetuning_folders(results)
    program = [sys.executable, "-X", "importtime", list_checkpoints.__file__, "--results", str(results)]
    ended = subprocess.run(program, capture_output=True, text=True, check=True, timeout=60)
    assert "3 runs" in ended.stdout
    loaded = {line.rsplit("|", 1)[1].strip() for line in ended.stderr.splitlines() if "|" in line}
    assert "compactbio.finetuning.runs.planning" in loaded
    assert not loaded & {"torch", "transformers", "datasets", "pyarrow"}


def test_ages_in_words():
    assert [age_in_words(seconds) for seconds in (-1, 59, 60, 7200, 200_000)] == ["0 s", "59 s", "1 min", "2 h", "2 d"]
