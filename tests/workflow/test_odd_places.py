"""The workflow from a checkout, into folders and with data whose names a shell would take apart or run.

The checkout has no git and is read-only, the working directory is another, and new files are their owner's alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from helpers.configurations import ROOT

pytestmark = pytest.mark.slow

CHECKOUT = (
    "Snakefile",
    "rules",
    "scripts",
    "config",
    "profiles",
    "envs",
    "CITATION.cff",
    "pyproject.toml",
    "README.md",
)
ODD = "a folder with 'quotes', $dollar and spaces"
RUN = "x'$(touch RAN)'`touch RAN`"  # as text in a command it would leave a file
CUT = {  # the miniature with one student, its teacher and one dataset
    "results_dir": f'of o\'neil; $HOME "{RUN}" & results',
    "downloads_dir": f"o'neil/{RUN} downloads",
    "mirror": f"the mirror's {RUN} $place",
    "run": {"models": ["DistilBioBERT"], "datasets": ["NCBI-disease"], "seeds": [42]},
    "corpus": {"baseline": {"files": 1, "as_of": "2030-01-01"}, "files_per_job": 1},
    "models": {name: {"optimisation": {"steps": 3, "warmup_steps": 1}} for name in ("BioBERT-v1.1", "DistilBioBERT")},
    "finetuning": {"ner": {"epochs": 1}},
    "reporting": {"baseline_model": "DistilBioBERT", "deployment_dataset": "NCBI-disease", "repetitions": 1},
}


@dataclass(frozen=True)
class Place:
    """Where the workflow is started: the read-only checkout and another folder as working directory."""

    checkout: Path
    work: Path

    def start(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a Python command in the working directory, its files for their owner only."""
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.work,
            env=environment,
            umask=0o077,
            capture_output=True,
            text=True,
            timeout=900,
        )

    def snakemake(self, *arguments: str, **changes: object) -> str:
        """Run the cut miniature with changes of its configuration; return what was printed."""
        (self.work / "cut.yaml").write_text(yaml.safe_dump(CUT | changes))
        snakefile = os.path.relpath(self.checkout / "Snakefile", self.work)  # as a person would name it
        files = ["--configfile", str(self.checkout / "config" / "demo.yaml"), "cut.yaml"]
        profile = ["--profile", str(self.checkout / "profiles" / "demo"), "--cores", "2"]
        done = self.start("-m", "snakemake", "-s", snakefile, *profile, *arguments, *files)
        assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
        return done.stdout + done.stderr


def contents(folder: Path) -> dict[str, str]:
    """Return the digests of a folder's files by their path; what Python compiles is left out."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A read-only checkout in an odd folder, and the miniature's data in a working directory elsewhere."""
    folder = tmp_path_factory.mktemp("odd") / ODD
    checkout, work = folder / "check 'out'", folder / "work"
    work.mkdir(parents=True)
    for name in CHECKOUT:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, checkout / name, ignore=shutil.ignore_patterns("__pycache__", "site.env"))
        else:
            checkout.mkdir(exist_ok=True)
            shutil.copy(source, checkout)
    writable = [checkout, *checkout.rglob("*")]
    for path in writable:
        path.chmod(path.stat().st_mode & ~0o222)
    there = Place(checkout, work)
    made = there.start(str(checkout / "scripts" / "make_miniature.py"), "--output", CUT["mirror"])
    assert made.returncode == 0, made.stderr
    yield there
    for path in writable:
        path.chmod(path.stat().st_mode | 0o200)


@pytest.fixture(scope="module")
def finished(place: Place) -> Place:
    """The same place after every rule of the cut miniature has run; the checkout is as it was."""
    before = contents(place.checkout)
    place.snakemake()
    assert contents(place.checkout) == before
    return place


def test_the_whole_workflow_runs_and_no_name_is_a_command(finished: Place) -> None:
    results = finished.work / CUT["results_dir"]
    assert "DistilBioBERT" in (results / "tables" / "ner.md").read_text()
    assert (results / "ro-crate-metadata.json").is_file()
    assert sorted(path.name for path in finished.work.iterdir() if not path.name.startswith(".")) == sorted(
        ["cut.yaml", CUT["results_dir"], CUT["mirror"], CUT["downloads_dir"].split("/")[0]]
    )
    assert not [path for path in finished.work.parent.rglob("*") if path.name == "RAN"]


def test_only_their_owner_reads_the_results(finished: Place) -> None:
    written = list((finished.work / CUT["results_dir"]).rglob("*"))
    assert len(written) > 100
    assert [str(path) for path in written if path.stat().st_mode & 0o077 and not path.is_symlink()] == []


def test_a_finished_run_has_nothing_to_do(finished: Place) -> None:
    assert "Nothing to be done" in finished.snakemake("--dry-run")


def test_renamed_results_are_exported_without_training_again(finished: Place) -> None:
    renamed = f"renamed {CUT['results_dir']}"
    (finished.work / CUT["results_dir"]).rename(finished.work / renamed)
    exported = Path(renamed) / "pretraining" / "DistilBioBERT" / "model" / "manifest.json"
    digest = json.loads((finished.work / exported).read_text())["digest"]
    shutil.rmtree((finished.work / exported).parent)
    printed = finished.snakemake(str(exported), results_dir=renamed)
    assert re.findall(r"start  (.+)", printed) == ["export DistilBioBERT"]
    assert json.loads((finished.work / exported).read_text())["digest"] == digest
    (finished.work / renamed).rename(finished.work / CUT["results_dir"])


def test_files_of_ones_own_may_have_any_name(place: Place) -> None:
    own = place.work / "my own" / RUN
    own.mkdir(parents=True)
    for split in ("train", "devel", "test"):
        (own / f"{split} 'of' $mine.tsv").write_text("Aspirin\tB-Drug\nhelps\tO\n.\tO\n\n" * 3)
    (own / "a 'text'.txt").write_text("Aspirin helps against pain.\n" * 3)
    folder = str(own.relative_to(place.work))
    files = {name: f"{split} 'of' $mine.tsv" for name, split in (("train", "train"), ("test", "test"))}
    dataset = {"task": "ner", "layout": "tagged_words", "source": None, "folder": folder, "files": files}
    dataset["labels"] = ["O", f"B-{RUN}", f"I-{RUN}", "B-Drug", "I-Drug"]
    targets = ["results/own/tasks/Own/manifest.json", "results/own/corpus/text/0001.parquet"]
    place.snakemake(
        *targets,
        results_dir="results/own",
        corpus={"source": "documents", "documents": [f"{folder}/a 'text'.txt"]},
        datasets={"Own": dataset},
    )
    assert all((place.work / target).is_file() for target in targets)
    assert not [path for path in place.work.parent.rglob("*") if path.name == "RAN"]
