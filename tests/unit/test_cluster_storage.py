"""Quotas as the commands print them, and what a configuration's stages will leave."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.configurations import read

from compactbio.cluster import storage
from compactbio.cluster.storage import Quota, read_quotas
from compactbio.settings.load import merge
from compactbio.settings.selection import trained_models
from compactbio.settings.shapes import shape_of
from compactbio.students.parameters import estimated_parameters

# after the manual pages of `quota` (quota 4.06, with --no-wrap --raw-grace) and `lfs quota` (Lustre 2.x): headings and
# columns are theirs, names and numbers ours
LINUX = """\
Disk quotas for user alice (uid 1001):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
      /dev/sda1  927840  1000000 1100000       0     120       0       0       0
nfs1:/export/home   12345*  10000   20000 1767225600    4000    5000    6000       0
Disk quotas for group lab (gid 500): none
Disk quotas for group staff (gid 50):
     Filesystem  blocks   quota   limit   grace   files   quota   limit   grace
      /dev/sda1     100       0       0       0       3       0      10       0
"""
LUSTRE = """\
Disk quotas for usr bob (uid 500):
     Filesystem  kbytes   quota   limit   grace   files   quota   limit   grace
/mnt/lustre/scratch
                 [307200]* 307200  309200  6d23h59m55s   11102       0   20000       -
Some errors happened when getting quota info. The data in "[]" is inaccurate.
uid 500 is using default file quota setting
Disk quotas for grp lab (gid 500):
     Filesystem  kbytes   quota   limit   grace   files   quota   limit   grace
    /mnt/lustre    1024       0 10485760       -     100       0       0       -
"""


def test_quotas_of_linux_and_nfs() -> None:
    assert read_quotas(LINUX) == [
        Quota("user alice", "/dev/sda1", 1024.0 * (1_000_000 - 927_840), None),
        Quota("user alice", "nfs1:/export/home", 0.0, 1000),
        Quota("group staff", "/dev/sda1", None, 7),
    ]


def test_quotas_of_lustre() -> None:
    assert read_quotas(LUSTRE) == [
        Quota("user bob", "/mnt/lustre/scratch", 0.0, 8898),
        Quota("group lab", "/mnt/lustre", 1024.0 * (10_485_760 - 1024), None),
    ]


@pytest.mark.parametrize(
    "text", ["", "Disk quotas for user root (uid 0): none\n", "quota: Cannot resolve mountpoint\n"]
)
def test_no_quota(text: str) -> None:
    assert read_quotas(text) == []


def stand_in(folder: Path, name: str, text: str, code: int = 0) -> None:
    """Make a command that prints a text."""
    program = folder / name
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {code}\n")
    program.chmod(0o755)


def test_only_quotas_of_the_folders_file_system_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, "quota", LINUX, code=1)  # it says so where something is over its limit
    stand_in(tmp_path, "df", "Filesystem\nnfs1:/export/home\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(storage.shutil, "which", lambda name: (tmp_path / name).is_file())
    quotas, unknown = storage.ask_quotas(tmp_path)
    assert ([quota.file_system for quota in quotas], unknown) == (["nfs1:/export/home"], "")
    stand_in(tmp_path, "df", "Filesystem\n/dev/sdb1\n")
    assert storage.ask_quotas(tmp_path) == ([], "none for this folder by `quota`")


def test_commands_that_are_not_there_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert storage.ask_quotas(tmp_path) == ([], "neither `quota` nor `lfs` is here")


def test_the_room_is_the_file_systems(tmp_path: Path) -> None:
    room = storage.room_in(tmp_path)
    assert room.bytes > 0
    assert room.files is None or room.files > 0


def test_sizes_of_models() -> None:
    """BERT-base has 109 M parameters with its pooler, the paper's distilled six layers 65 M, TinyBioBERT 14 M."""
    config = read()
    found = {
        name: estimated_parameters(config, name) / 1e6 for name in ("biobert-v1.2", "DistilBioBERT", "TinyBioBERT")
    }
    assert found == {"biobert-v1.2": pytest.approx(108, rel=0.02), "DistilBioBERT": pytest.approx(65, rel=0.02)} | {
        "TinyBioBERT": pytest.approx(14, rel=0.05)
    }
    assert shape_of(config, "BioTinyBERT") == config["checkpoints"]["tinybert-general-4l-312d"]["shape"]
    assert shape_of(config, "CompactBioBERT")["num_hidden_layers"] == 6


def test_needs_of_the_papers_configuration() -> None:
    config = read()
    needs = {need.stage: need for need in storage.stages(config, trained_models(config))}
    assert set(needs) == {"downloads", "corpus", "students", "tasks", "pretraining", "finetuning", "logs"}
    assert 40e9 < needs["downloads"].bytes < 60e9  # 1,334 files of 30 MB, and 12 checkpoints
    assert needs["downloads"].files > 1334
    # texts and two tokenizers' stores of 67 batches
    assert needs["corpus"].files == 67 * (3 + 2 * 4)
    # of 12 models on 8 datasets 3 seeds, but GAD's ten folds; the weights of one dataset, two copies of 8 files
    assert needs["finetuning"].files == 15 * 96 + 7 * 12 * (7 * 3 + 10) + 12 * 2 * 8
    # seven models, 357 M parameters: three states of 12 bytes and a model of 4 each
    assert needs["pretraining"].bytes == pytest.approx(331e6 * 40, rel=0.2)


def test_ids_of_a_large_or_unknown_vocabulary_are_counted_with_twice_the_bytes() -> None:
    def tokens(**changes: object) -> float:
        config = merge(read(), {"run": {"models": ["DistilBioBERT"]}, **changes})
        [need] = [need for need in storage.stages(config, ["DistilBioBERT"]) if need.stage == "corpus"]
        return need.bytes - 1334 * storage.TEXT_BYTES

    small = tokens()
    assert small == 1334 * 10e6
    assert tokens(tokenizers={"cased": {"vocabulary_size": 119_547}}) == 2 * small
    own = {"checkpoints": {"biobert-v1.2": {"tokenizer": None}}, "models": {"DistilBioBERT": {"tokenizer": None}}}
    assert tokens(**own) == 2 * small


def test_published_models_need_no_corpus() -> None:
    config = read("released.yaml")
    assert {need.stage for need in storage.stages(config, [])} == {
        *("downloads", "students", "tasks", "finetuning", "logs")
    }


def test_what_is_there_is_not_needed_again(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    need = storage.Need("corpus", 1000.0, 3, (folder, tmp_path / "missing"))
    assert storage.still_to_come(need) == need
    (folder / "text").mkdir(parents=True)
    (folder / "text" / "0001.parquet").write_bytes(b"x" * 400)
    left = storage.still_to_come(need)
    assert left.files == 1 and left.bytes < 600  # the folder counts as a file too
    (folder / "more").write_bytes(b"x" * 900)
    assert storage.still_to_come(need).bytes == 0


def test_needs_are_told_apart_by_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    here = storage.Need("corpus", 1.0, 1, (Path("results/corpus"),))
    also_here = storage.Need("tasks", 1.0, 1, (Path("results/tasks"),))
    elsewhere = storage.Need("downloads", 1.0, 1, (Path("/proc/self"),))
    assert storage.by_file_system([here, also_here, elsewhere]) == {
        tmp_path / "results": [here, also_here],
        Path("/proc/self"): [elsewhere],
    }
