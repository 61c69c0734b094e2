"""Commands fit what the operating system takes, 131,072 bytes: no list of files or shards stands in one."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import yaml
from helpers.configurations import read

from workflow.conftest import run_snakemake

MOST = 65_536  # half of it: names may be longer than here
PER_MODEL = 900  # of which the definition of a model in the checked configuration has most


def many(models: int, datasets: int) -> dict:
    """Return a configuration of so many trained models on so many datasets, variants of the paper's."""
    paper = read()
    trained = [name for name, model in paper["models"].items() if model["source"] == "train"]
    variants = {f"Variant-{n:02d}-of-{name}": paper["models"][name] for n in range(models) for name in [trained[n % 7]]}
    given = paper["run"]["datasets"]
    others = {f"Another-{n}-{given[n]}": paper["datasets"][given[n]] for n in range(datasets - len(given))}
    return {
        "models": copy.deepcopy(variants),
        "datasets": copy.deepcopy(others),
        "run": {"models": list(variants), "datasets": [*given, *others]},
        "reporting": {"baseline_model": next(iter(variants)), "deployment_dataset": given[0]},
    }


def lengths(folder: Path, configuration: dict) -> dict[str, int]:
    """Return the length in bytes of the longest command of each program that a dry run plans."""
    (folder / "own.yaml").write_text(yaml.safe_dump(configuration))
    done = run_snakemake(folder, "--dry-run", "--printshellcmds", "--configfile", "own.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    longest: dict[str, int] = {}
    for command in re.findall(r"^Shell command: (.+)$", done.stdout + done.stderr, re.MULTILINE):
        program = re.search(r"(\w+)\.py", command)
        if program:
            longest[program[1]] = max(longest.get(program[1], 0), len(command.encode()))
    return longest


@pytest.mark.parametrize("shipped", [{}, {"corpus": {"files_per_job": 1}}], ids=["paper", "a file a job"])
def test_commands_of_the_largest_shipped_configuration_are_short(tmp_path: Path, shipped: dict) -> None:
    found = lengths(tmp_path, shipped)
    assert {"build_tables", "compare_models", "collect_scores", "build_figures", "summarise_corpus"} <= found.keys()
    assert max(found.values()) < MOST / 3, found


def test_sixty_models_by_twelve_datasets_fit_a_command_line(tmp_path: Path) -> None:
    few, more = lengths(tmp_path, many(12, 12)), lengths(tmp_path, many(60, 12))
    assert few.keys() == more.keys()
    assert max(more.values()) < MOST, more
    grown = {name: (more[name] - few[name]) / 48 for name in few}
    assert max(grown.values()) < PER_MODEL, grown
    names = max(map(len, many(60, 1)["models"])) + 1
    for program in ("collect_scores", "compare_models"):  # the name alone
        assert grown[program] <= names, grown
