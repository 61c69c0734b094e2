"""pretrain_model.py on tiny models: resume to the bit, processes, fingerprints, refusals, export."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pretrain_model
import pytest
import torch
import yaml
from helpers import pretraining as tiny
from helpers.pretrain_program import SCRIPTS, arguments, call, environment, losses, run_folder, write_world

from compactbio.errors import UserError
from compactbio.files import write_manifest
from compactbio.pretraining import layout, micro_batches
from compactbio.training import trainer
from compactbio.training.progress import read_metrics


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Student, teacher and tokens, never changed by a test."""
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def own_world(world, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(world, tmp_path / "world")


@pytest.mark.parametrize(
    ("objective", "student"),
    [(tiny.DISTIL, "student"), (tiny.COMPACT, "student"), (tiny.TINY, "narrow"), (tiny.MLM, "student")],
)
def test_each_objective_trains_and_leaves_its_records(world, tmp_path, monkeypatch, objective, student):
    assert call(arguments(world, tmp_path, objective, student=student), monkeypatch) == 0
    record = json.loads((tmp_path / "training.json").read_text())
    assert (record["step"], record["total_steps"], record["model"]) == (6, 6, "Small")
    assert record["loss_first"] == losses(tmp_path)[0]
    assert record["loss_last"] == losses(tmp_path)[-1]
    assert record["checkpoint"] == f"checkpoints/{record['fingerprint']}/step-00000006"  # from the file's folder
    assert record["metrics"] == f"checkpoints/{record['fingerprint']}/metrics.jsonl"
    assert run_folder(tmp_path).name == record["fingerprint"]
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    roles = {"student", "tokens/0001", "tokens/0002"} | ({"teacher"} if objective is not tiny.MLM else set())
    assert provenance["inputs"].keys() == roles
    terms = {line["term"] for line in objective}
    lines = read_metrics(run_folder(tmp_path) / "metrics.jsonl")
    assert all(line["terms"].keys() == terms and line["model_flops_per_second"] > 0 for line in lines)


def test_a_student_learns_of_an_encoder_of_another_architecture_without_a_head(own_world, tmp_path, monkeypatch):
    """As ELECTRA's discriminators are: by terms that read no logits; one that reads them is refused."""
    tiny.write_checkpoint(own_world / "discriminator", tiny.electra(layers=4, seed=1).base_model)
    tiny.write_checkpoint(own_world / "roberta", tiny.roberta(seed=2))
    pair = {"student": "roberta", "teacher": "discriminator", "architecture": "roberta"}
    objective = [
        {"term": "hidden_cosine", "weight": 1.0, "layers": [[2, 4]]},
        {"term": "attention_kl", "weight": 1.0, "layers": [[1, 2]]},
        {"term": "value_relation_kl", "weight": 1.0, "layers": [[2, 4]]},
    ]
    assert call(arguments(own_world, tmp_path / "run", objective, **pair), monkeypatch) == 0
    found = losses(tmp_path / "run")
    assert found[-1] < found[0]
    with pytest.raises(UserError, match=r"no masked-language-model head .* cannot be a teacher of logits"):
        call(arguments(own_world, tmp_path / "other", tiny.DISTIL, **pair), monkeypatch)


def test_token_stores_may_be_given_by_the_first_and_their_number(world, tmp_path, monkeypatch):
    """As the rule does it, so that its command does not grow with the corpus: the training is the same one."""
    line = arguments(world, tmp_path, tiny.MLM)
    assert call(line, monkeypatch) == 0
    listed = run_folder(tmp_path).name
    last = line.index(str(world / "tokens" / "0002" / "manifest.json"))
    assert call([*line[:last], "--shards", "2", *line[last + 1 :]], monkeypatch) == 0
    assert run_folder(tmp_path).name == listed  # the fingerprint; a second folder would raise


def test_training_lowers_the_loss(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path, tiny.DISTIL, student="student-plain", steps=60, peak_learning_rate=1e-2)
    assert call(line, monkeypatch) == 0
    seen = losses(tmp_path)
    assert sum(seen[-10:]) < 0.8 * sum(seen[:10])


def test_finished_ends_at_once_and_writes_the_outputs_again(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path)
    call(line, monkeypatch)
    written = (tmp_path / "training.json").read_bytes()
    (tmp_path / "training.json").unlink()
    monkeypatch.setattr(pretrain_model, "train", None)  # would fail if called
    assert call(line, monkeypatch) == 0
    assert (tmp_path / "training.json").read_bytes() == written


class Clock:
    """Stands in for the module `time` of the loop; its time can be moved on."""

    def __init__(self):
        self.ahead = 0.0

    def monotonic(self):
        return time.monotonic() + self.ahead


def test_a_deadline_leaves_unfinished_and_the_next_try_goes_on(world, tmp_path, monkeypatch):
    whole = arguments(world, tmp_path / "whole", steps=30)
    cut = arguments(world, tmp_path / "cut", steps=30)
    assert call(whole, monkeypatch) == 0
    clock = Clock()

    class Slow(micro_batches.PretrainingBatches):
        def __call__(self, step):
            clock.ahead += 3600.0 if step == 12 else 0.0
            return super().__call__(step)

    with monkeypatch.context() as patched:
        patched.setattr(trainer, "time", clock)
        patched.setattr(layout, "PretrainingBatches", Slow)
        assert call([*cut, "--max-minutes", "30"], patched) == pretrain_model.UNFINISHED
    state = json.loads((tmp_path / "cut" / "checkpoints" / "state.json").read_text())
    assert (state["finished"], state["reason"]) == (False, "deadline")
    assert state["step"] in (10, 11)
    assert not (tmp_path / "cut" / "training.json").exists()
    assert call(cut, monkeypatch) == 0
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_a_try_without_gain_stalls_the_next_before_torch(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path)
    short = [*line, "--max-minutes", "0.00001"]
    for _ in range(2):  # the first may have been slow to start
        assert call(short, monkeypatch) == pretrain_model.UNFINISHED
    marker = run_folder(tmp_path) / "stalled"
    program = [sys.executable, "-X", "importtime", SCRIPTS / "pretrain_model.py", *short]
    again = subprocess.run(program, env=environment(), capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 1
    assert f"rm '{marker}'" in again.stderr
    assert " torch\n" not in again.stderr
    assert call([*line, "--max-minutes", "10"], monkeypatch) == 0  # more minutes: nobody has to remove it
    assert not marker.exists()


@pytest.mark.parametrize("part", ["run", "student", "teacher", "tokens"])
def test_one_changed_byte_starts_from_the_first_step(own_world, tmp_path, monkeypatch, part):
    output = tmp_path / "out"
    call(arguments(own_world, output), monkeypatch)
    before = run_folder(output)
    changes = {}
    if part == "run":
        changes["seed"] = 43
    else:
        folder = own_world / ("tokens/0001" if part == "tokens" else part)
        file = folder / ("ids.npy" if part == "tokens" else "model.safetensors")
        content = bytearray(file.read_bytes())
        content[-2] ^= 1  # the last token's low byte, or a bit of the last weight
        file.write_bytes(content)
        manifest = json.loads((folder / "manifest.json").read_text())
        write_manifest(folder, **{key: value for key, value in manifest.items() if key not in ("digest", "files")})
    assert call(arguments(own_world, output, **changes), monkeypatch) == 0
    [after] = {path for path in (output / "checkpoints").iterdir() if path.is_dir()} - {before}
    assert [line["step"] for line in read_metrics(after / "metrics.jsonl")] == [1, 2, 3, 4, 5, 6]


def test_damaged_weights_are_refused(own_world, tmp_path, monkeypatch):
    file = own_world / "teacher" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"teacher/model.safetensors differs from its digest"):
        call(arguments(own_world, tmp_path / "out"), monkeypatch)


def test_other_tokenizers_are_refused_naming_both(own_world, tmp_path, monkeypatch):
    shutil.rmtree(own_world / "teacher")
    tiny.write_checkpoint(own_world / "teacher", tiny.bert(layers=4), digest="e" * 64)
    with pytest.raises(UserError, match=r"student .*student and of teacher .*teacher differ"):
        call(arguments(own_world, tmp_path / "out"), monkeypatch)


@pytest.mark.parametrize(
    ("changes", "more", "message"),
    [
        ({}, ("--micro-batch-tokens", "23"), r"--micro-batch-tokens 23 is less than .* at least 24"),
        ({"max_length": 20}, (), r"max_length is 20, but the token store .* was made with 24"),
        ({"max_length": 64}, (), r"max_length: 64 is more than the 32 positions"),
        ({"warmup_steps": 99}, (), "warmup_steps"),
        ({"precision": "fp8"}, (), "precision"),
        ({"precision": "fp16"}, (), "fp16 needs a GPU"),
        (
            {"objective": [{"term": "hidden_cosine", "weight": 1.0, "layers": [[2, 9]]}]},
            (),
            "teacher layer 9 of .* is outside 0..4",
        ),
    ],
)
def test_settings_that_cannot_run_are_refused(world, tmp_path, monkeypatch, changes, more, message):
    with pytest.raises(UserError, match=message):
        call(arguments(world, tmp_path, more=more, **changes), monkeypatch)


def test_fp16_is_refused_where_the_teacher_s_activations_exceed_it(own_world, tmp_path, monkeypatch):
    """As on a V100."""
    shutil.rmtree(own_world / "teacher")
    tiny.write_checkpoint(own_world / "teacher", tiny.mobilebert())
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: False)
    objective = [{"term": "hidden_cosine", "weight": 1.0, "layers": [[2, 2]]}]
    with pytest.raises(UserError, match=r"fp16 does not hold the activations of MobileBERT; use half \(fp32 here\)"):
        call(arguments(own_world, tmp_path / "out", objective, precision="fp16"), monkeypatch)


def test_an_impossible_split_and_a_missing_teacher_are_refused(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path)
    place = line.index("--teacher")
    with pytest.raises(UserError, match="give its folder with --teacher"):
        call(line[:place] + line[place + 2 :], monkeypatch)
    monkeypatch.setattr(sys, "argv", ["pretrain_model.py", *line])
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UserError, match="8 sequences cannot be split over 3 processes; use one of 1, 2, 4, 8"):
        pretrain_model.main()


def test_a_run_file_without_a_key_is_refused(world, tmp_path, monkeypatch):
    line = arguments(world, tmp_path)
    run = copy.deepcopy(tiny.run_settings(tiny.DISTIL))
    del run["optimisation"]["steps"]
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    with pytest.raises(UserError, match=r"required field `steps`, in `optimisation`"):
        call(line, monkeypatch)


def test_micro_batches_of_one_shape_train_the_same_and_the_records_say_what_was_chosen(world, tmp_path, monkeypatch):
    """As on a GPU, with plain attention in place of its kernels: losses without dropout, and a run that goes on."""
    chosen = {"student": "student-plain", "teacher": "teacher-plain"}
    assert call(arguments(world, tmp_path / "packed", **chosen), monkeypatch) == 0
    with monkeypatch.context() as patched:
        patched.setattr(layout, "packed_layout", lambda *arguments, **options: "unpacked")
        patched.setattr(layout, "PACKED_TOKENS_ON_CPU", 128)
        assert call(arguments(world, tmp_path / "fixed", **chosen), patched) == 0
        short = arguments(world, tmp_path / "cut", **chosen, more=("--max-minutes", "0.0001"))
        assert call(short, patched) == pretrain_model.UNFINISHED
        assert call(arguments(world, tmp_path / "cut", **chosen), patched) == 0
    assert losses(tmp_path / "fixed") == pytest.approx(losses(tmp_path / "packed"), rel=1e-5)
    assert losses(tmp_path / "cut") == losses(tmp_path / "fixed")
    [submission] = json.loads((run_folder(tmp_path / "fixed") / "submissions.json").read_text())
    sizes = submission["micro_batches"]
    assert sizes["layout"] == "fixed"
    assert sizes["automatic"] is False  # the tests name a number
    assert 24 < sizes["shapes"][0]["positions"] <= 128
    assert all(one["rows"] > 24 for one in sizes["shapes"])
    assert (submission["device"], submission["precision"], submission["deterministic"]) == ("cpu", "fp32", False)


def test_whether_bits_are_repeated_names_no_other_results(own_world, tmp_path, monkeypatch):
    line = arguments(own_world, tmp_path)
    assert call(line, monkeypatch) == 0
    run = Path(line[line.index("--run") + 1])
    run.write_text(yaml.safe_dump(yaml.safe_load(run.read_text()) | {"deterministic": True}))
    assert call(line, monkeypatch) == 0
    [submission] = json.loads((run_folder(tmp_path) / "submissions.json").read_text())
    assert submission["deterministic"] is False
