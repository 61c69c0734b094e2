"""The workflow as a module of another one: from its folder, and from a git repository as snakedeploy names it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers.configurations import CONFIG, ROOT

from .conftest import jobs_of, run_snakemake

pytestmark = pytest.mark.slow

OTHER = """\
configfile: "own.yaml"
module compactbio:
    snakefile: {snakefile!r}
    config: config
use rule * from compactbio as compactbio_*
rule summary:
    default_target: True
    input: rules.compactbio_all.input
    output: "summary.txt"
    shell: "touch {{output}}"
"""
OWN = {"results_dir": "own results", "mirror": "results/demo/miniature"}


def repository(folder: Path) -> str:
    """Commit a copy of the checkout and return how a module names its Snakefile at that commit."""
    folder.mkdir()
    for name in ("Snakefile", "rules", "scripts", "config", "envs"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    git = ["git", "-C", str(folder), "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for command in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "-m", "all"]):
        subprocess.run([*git, *command], check=True)
    return f"git+file://{folder}/Snakefile@main"


@pytest.mark.parametrize("place", ["folder", "repository"])
def test_another_workflow_uses_every_rule(tmp_path: Path, miniature_folder: Path, place: str) -> None:
    """Its configuration holds only what differs; jobs run programs and read tables of the module's own folder."""
    snakefile = str(ROOT / "Snakefile") if place == "folder" else repository(tmp_path / "repository")
    work = tmp_path / "work"
    work.mkdir()
    (work / "results").symlink_to(miniature_folder / "results")
    own = yaml.safe_load((CONFIG / "demo.yaml").read_text(encoding="utf-8")) | OWN
    (work / "own.yaml").write_text(yaml.safe_dump(own), encoding="utf-8")
    (work / "Snakefile").write_text(OTHER.format(snakefile=snakefile), encoding="utf-8")
    here = ("--snakefile", str(work / "Snakefile"))
    jobs = jobs_of(run_snakemake(work, "--dry-run", *here))
    assert jobs["summary"] == 1
    assert jobs["compactbio_finetune_model"] == 32
    for target in ("own results/pretraining/TinyBioBERT/run.yaml", "own results/tasks/NCBI-disease/manifest.json"):
        done = run_snakemake(work, *here, target)
        assert done.returncode == 0, done.stdout + done.stderr
        assert (work / target).is_file()
    assert (work / ".snakemake" / "compactbio").is_dir() == (place == "repository")


def test_the_catalog_names_options_that_snakemake_has() -> None:
    entry = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text(encoding="utf-8"))["usage"]
    flags = entry["mandatory-flags"]["flags"].split()
    parsed = subprocess.run(["snakemake", "--help"], capture_output=True, text=True, check=True).stdout
    assert all(flag in parsed for flag in flags if flag.startswith("--"))
    default = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text(encoding="utf-8"))
    assert flags == ["--rerun-triggers", *default["rerun-triggers"], "--scheduler", default["scheduler"]]
