"""The tree of results is known in one place, gives text with wildcards or paths, and is what the rules make."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers.configurations import ROOT

from compactbio.files import MANIFEST
from compactbio.provenance import PROVENANCE
from compactbio.settings import results as tree
from compactbio.settings.results import Entry, Finetuning, Results, Room, find

# names that are words of other things too where they stand alone, as keys of settings or columns
FOLDERS = {
    *(tree.CORPUS, tree.STUDENTS, tree.PRETRAINING, tree.TASKS, tree.FINETUNING, tree.REPORTING, tree.TABLES),
    *(tree.FIGURES, tree.TABLES_SO_FAR, tree.CHECKPOINTS, tree.LOGS, tree.BENCHMARKS, tree.MODEL),
    *("baseline", "text", "tokens", "fetched", "initialised", "sources", "deployment", "pages", "model_cards"),
}
FILES = {
    entry.name
    for room in vars(tree).values()
    if inspect.isclass(room) and issubclass(room, Room)
    for entry in vars(room).values()
    if isinstance(entry, Entry) and "." in entry.name
} | {tree.INT8_FILE}
HOMES = {
    "settings/results.py": FILES,
    "files.py": {MANIFEST},
    "provenance.py": {PROVENANCE},
}
OTHER_FOLDERS = {  # folders of other trees, of which these files are the makers
    "miniature/assembly.py": "the generated mirror",
    "cluster/timings.py": "a temporary folder",
}


def test_rooms_of_text_give_text_and_keep_wildcards() -> None:
    results = Results("results/demo")
    assert results.finetuning("{model}", "{dataset}").run == "results/demo/finetuning/{model}/{dataset}/run.yaml"
    assert results.log("score_model", "{model}") == "results/demo/logs/score_model/{model}.log"
    assert results.log("collect_scores") == "results/demo/logs/collect_scores/all.log"
    assert results.benchmark("tokenize_shard", "{tokenizer}", "{shard}").endswith("/{tokenizer}/{shard}.tsv")


def test_rooms_of_paths_give_paths() -> None:
    results = Results(Path("results"))
    assert results.pretraining("A").model.manifest == Path("results/pretraining/A/model/manifest.json")
    assert Finetuning(Path("anywhere")).predictions == Path("anywhere/predictions.parquet")
    assert Finetuning.predictions.name == "predictions.parquet"


def test_the_logs_of_slurm_lie_where_the_profile_says() -> None:
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "config.yaml").read_text())
    assert profile["slurm-logdir"] == tree.SLURM_LOGS


def test_what_is_there_is_found_under_a_folder_with_any_name(tmp_path: Path) -> None:
    results = Results(tmp_path / "results[1]")
    for model in ("B", "A"):
        path = results.model_scores(model).scores
        path.parent.mkdir(parents=True)
        path.touch()
    found = find(results, results.model_scores("*").scores)
    assert found == [results.model_scores("A").scores, results.model_scores("B").scores]


def pieces_of_paths(file: Path) -> Iterator[tuple[int, str]]:
    """Yield line and value of every text in a Python file that is joined to a path or looks like one."""
    module = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(module):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            given = [node.left, node.right]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in CALLS:
            given = [*node.args]
        else:
            continue
        for argument in given:
            parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
            texts = [part.value for part in parts if isinstance(part, ast.Constant)]
            yield from ((node.lineno, text) for text in texts if isinstance(text, str))


CALLS = {"Path", "glob", "rglob", "joinpath", "with_name", "folder_of"}
PYTHON = sorted((ROOT / "scripts").rglob("*.py"))


@pytest.mark.parametrize("file", PYTHON, ids=lambda file: str(file.relative_to(ROOT / "scripts")))
def test_no_other_file_writes_a_name_of_the_tree(file: Path) -> None:
    name = str(file.relative_to(ROOT / "scripts")).removeprefix("compactbio/")
    if name == "settings/results.py" or name in OTHER_FOLDERS:
        return
    known = FOLDERS | FILES
    pieces = [(line, text) for line, text in pieces_of_paths(file) if known & set(text.split("/"))]
    whole = [
        (node.lineno, node.value)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in FILES - HOMES.get(name, set())
    ]
    assert not pieces + whole


@pytest.mark.parametrize("file", sorted((ROOT / "rules").glob("*.smk")), ids=lambda file: file.name)
def test_no_rule_writes_a_path_of_results(file: Path) -> None:
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    written = [
        line
        for line in lines
        if re.search(r"\{(RESULTS|DOWNLOADS)[^}]*\}/", line) or any(f"/{name}" in line for name in FILES)
    ]
    assert not written
