"""Jobs on nodes never ask the hub: each rule that is no localrule and may import a library that would says so."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.configurations import ROOT

SCRIPTS = ROOT / "scripts"
ASKING = {"transformers", "datasets", "huggingface_hub"}
SAID = re.compile(r'HF_HUB_OFFLINE(=1 |", "1"\))')  # in a command, or to the environment of a program


def rules_sent_to_nodes() -> dict[str, str]:
    """Return the text of each rule that is no localrule, by its name."""
    found = {}
    for file in sorted((ROOT / "rules").glob("*.smk")):
        for text in re.split(r"(?m)^ *(?=rule \w+:)", file.read_text(encoding="utf-8"))[1:]:
            if "localrule: True" not in text:
                found[re.match(r"rule (\w+):", text).group(1)] = text
    return found


def imports(file: Path) -> Iterator[str]:
    """Yield the modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def reached(program: Path) -> set[Path]:
    """Return a program and the files of the library that it may import."""
    found, waiting = {program}, [program]
    while waiting:
        for module in imports(waiting.pop()):
            path = SCRIPTS.joinpath(*module.split("."))
            files = {file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()} - found
            found |= files
            waiting += files
    return found


def files_that_ask(programs: list[Path]) -> set[Path]:
    """Return the files among those reached that import a library which may ask the hub."""
    everything = set().union(*map(reached, programs))
    return {file for file in everything if {module.split(".")[0] for module in imports(file)} & ASKING}


@pytest.mark.parametrize(("rule", "text"), rules_sent_to_nodes().items(), ids=lambda value: value.partition(":")[0])
def test_a_rule_that_may_ask_the_hub_is_offline(rule: str, text: str) -> None:
    programs = [SCRIPTS / name for name in re.findall(r"\{params\.scripts:q\}/(\w+\.py)", text)]
    assert programs
    asking = files_that_ask(programs)
    said = SAID.search(text) or any(SAID.search(program.read_text(encoding="utf-8")) for program in programs)
    silent = [] if said else [file.name for file in asking if not SAID.search(file.read_text(encoding="utf-8"))]
    assert not silent, f"{rule}: write HF_HUB_OFFLINE=1 before its command"


def test_the_rules_that_are_known_to_load_models_are_among_them() -> None:
    asking = {
        rule
        for rule, text in rules_sent_to_nodes().items()
        if files_that_ask([SCRIPTS / name for name in re.findall(r"\{params\.scripts:q\}/(\w+\.py)", text)])
    }
    assert {"tokenize_shard", "pretrain_model", "finetune_model", "prepare_task"} <= asking
    assert {"measure_efficiency", "measure_deployment"} <= asking
    assert "parse_baseline" not in asking


def test_the_pinned_onnx_runtime_reports_nothing(tmp_path: Path) -> None:
    """Those that do (1.29 and later) keep what they send, and an id of the machine, under the home folder."""
    environment = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    command = [sys.executable, "-B", "-c", "import onnxruntime"]
    subprocess.run(command, env=environment | {"HOME": str(tmp_path)}, check=True)
    assert list(tmp_path.iterdir()) == []
