"""What the documents for users name is there: files, make targets, options, resources, folders of results."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from helpers.configurations import ROOT

DOCUMENTS = ("README.md", "profiles/slurm/README.md", "results/README.md")
SITE_FILES = {"profiles/slurm/partitions.yaml", "profiles/slurm/site.env"}  # a site writes them
OTHER_OPTIONS = {  # of commands that are not ours
    "pip": {"--force-reinstall", "--index-url"},
    "conda": {"--file"},
    "squeue": {"--me"},
}
RULES = "".join(path.read_text() for path in (ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))))


@pytest.fixture(scope="module")
def options_of_snakemake() -> set[str]:
    """The options that the pinned Snakemake and its SLURM plugin know."""
    done = subprocess.run([sys.executable, "-m", "snakemake", "--help"], capture_output=True, text=True, check=True)
    return set(re.findall(r"--[a-z][a-z-]*", done.stdout))


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_and_make_targets_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for link in set(re.findall(r"\]\(([^)#:]+)\)", text)):
        assert ((ROOT / name).parent / link).exists(), link
    for path in set(re.findall(r"(?:scripts|config|profiles|envs|rules)/[\w./-]+\w", text)) - SITE_FILES:
        assert (ROOT / path).exists(), path
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\bmake ([a-z-]+)", text)) <= targets


@pytest.mark.parametrize("name", DOCUMENTS)
def test_options_exist(name: str, options_of_snakemake: set[str]) -> None:
    text = (ROOT / name).read_text()
    programs = {
        option
        for program in re.findall(r"python (scripts/\w+\.py)", text)
        for option in re.findall(r"\"(--[a-z-]+)\"", (ROOT / program).read_text())
    }
    known = options_of_snakemake | programs | set().union(*OTHER_OPTIONS.values())
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text)) <= known


@pytest.mark.parametrize("name", DOCUMENTS)
def test_rules_and_their_resources_exist(name: str) -> None:
    for rule, resource in re.findall(r"\b([a-z_]+):([a-z_]+)=", (ROOT / name).read_text()):
        body = RULES.partition(f"rule {rule}:")[2].partition("\nrule ")[0]
        assert re.search(rf"^ +{resource}=", body, re.MULTILINE), f"{rule}:{resource}"


def test_the_readme_names_every_rule_of_its_overview() -> None:
    overview = (ROOT / "README.md").read_text().partition("## How it works")[2].partition("Each stage is one file")[0]
    rules = set(re.findall(r"\b[a-z]+_[a-z_]+\b", overview))
    assert len(rules) > 10
    assert rules <= set(re.findall(r"rule (\w+):", RULES))


def test_the_folders_of_results_are_those_of_the_tree() -> None:
    rows = re.findall(r"^\| `(\w+)/[^|]*\|([^|]*)\|$", (ROOT / "results" / "README.md").read_text(), re.MULTILINE)
    assert len(rows) > 8
    tree = (ROOT / "scripts" / "compactbio" / "settings" / "results.py").read_text()
    configured = (ROOT / "config" / "config.yaml").read_text()
    for folder, contents in rows:
        assert re.search(rf'"{folder}["/]', tree) or f"results/{folder}" in configured, folder
        for file in re.findall(r"`([\w.]+\.\w+)`", contents):
            stem = file.partition(".")[0]
            assert f'"{file}"' in tree or f'"{stem}"' in tree or f"/{file}" in configured, file
