"""Every shipped configuration makes a DAG, without network and within seconds; a changed number moves one branch."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from helpers.configurations import CONFIG, ROOT

from workflow.conftest import jobs_of, run_snakemake

OWN_MIRROR = [f"examples/{name}.yaml" for name in ("baseline_2022", "own_corpus", "own_data", "real_input")]
SHIPPED = sorted(
    str(path.relative_to(CONFIG))
    for path in (*CONFIG.glob("*.yaml"), *CONFIG.glob("examples/*.yaml"))
    if path.name != "schema.yaml"
)


def dry_run(folder: Path, *arguments: str) -> dict[str, int]:
    """Return the jobs per rule of a dry run that must succeed."""
    return jobs_of(run_snakemake(folder, "--quiet", "rules", "--dry-run", *arguments))


def touch(path: Path) -> None:
    """Make an empty file where a configuration expects a user's own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_make_a_dag(tmp_path: Path, name: str) -> None:
    arguments = ["--configfile", str(CONFIG / name)]
    if name in OWN_MIRROR:
        arguments += ["--config", f"mirror={tmp_path / 'mirror'}"]
    for document in re.findall(r'"\{mirror\}/([\w.]+\.(?:txt\.gz|jsonl))"', (CONFIG / name).read_text()):
        touch(tmp_path / "mirror" / document)
    if name == "examples/own_data.yaml":
        for folder, ending in (("ner", "tsv"), ("sentences", "tsv"), ("questions", "json")):
            for split in ("train", "devel", "test"):
                touch(tmp_path / "mirror" / folder / f"{split}.{ending}")
    begin = time.perf_counter()
    jobs = dry_run(tmp_path, *arguments)
    assert time.perf_counter() - begin < 60
    assert jobs["all"] == 1


def test_the_paper_in_numbers(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path)
    assert jobs["pretrain_model"] == jobs["export_model"] == jobs["initialise_student"] == 7
    assert jobs["finetune_model"] == 12 * 8
    assert jobs["score_model"] == 12
    assert jobs["download_baseline"] == jobs["parse_baseline"] == 67  # 1,334 files, 20 a job
    assert jobs["tokenize_shard"] == 2 * 67


def test_published_models_need_no_corpus(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path, "--configfile", str(CONFIG / "released.yaml"))
    assert not {"download_baseline", "parse_baseline", "tokenize_shard", "pretrain_model"} & set(jobs)
    assert jobs["fetch_checkpoint"] == 12


def test_a_model_is_a_target_and_runs_its_branch_only(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path, "TinyBioBERT")
    assert jobs["pretrain_model"] == 1
    assert jobs["finetune_model"] == 8
    assert jobs["tokenize_shard"] == 67
    assert "build_tables" not in jobs


def test_downloads_gather_what_needs_the_network(tmp_path: Path) -> None:
    jobs = dry_run(tmp_path, "downloads")
    assert set(jobs) == {"downloads", "download_baseline", "fetch_checkpoint", "fetch_task_data", "total"}


@pytest.mark.parametrize("key", ["modles", "run"])
def test_a_faulty_configuration_ends_with_its_key(tmp_path: Path, key: str) -> None:
    faulty = tmp_path / "faulty.yaml"
    faulty.write_text(yaml.safe_dump({key: {"models": ["NoBERT"]}}))
    done = run_snakemake(tmp_path, "--dry-run", "--configfile", str(faulty))
    assert done.returncode != 0
    printed = done.stdout + done.stderr
    assert {"modles": "unknown key `modles`", "run": "`NoBERT` is not defined"}[key] in printed
    assert "Traceback" not in printed


def test_no_machine_is_named_in_tracked_files() -> None:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: the list of tracked files is not known")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        assert not re.search(r"/(root|home/\w+|work)/\w", text), name
