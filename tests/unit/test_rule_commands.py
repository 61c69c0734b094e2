"""No value is part of a rule's command as text: each command is one plain text whose fields the shell gets quoted."""

from __future__ import annotations

import ast
import re
import string
import textwrap
from pathlib import Path

import pytest
from helpers.configurations import ROOT

RULE_FILES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
QUOTED = {"q"}
OF_A_JOB = {"input", "log", "output", "params", "resources", "threads", "wildcards"}  # a module's commands see no other
BESIDE_COMMANDS = re.compile(r"^\s*(run|script|notebook|wrapper|cwl|template_engine)\s*:|\bshell\s*\(", re.MULTILINE)
OF_THE_SHELL = re.compile(r"""["'`$\\;|*?~!#()\n]|&(?!1)""")  # what would open a quotation or expand; `2>&1` does not


def commands(text: str) -> list[str]:
    """Return what stands after each `shell:` of a file of rules, as it is written."""
    found = []
    for match in re.finditer(r"^( *)shell:(.*\n(?:\1 +.*\n|\s*\n)*)", text, re.MULTILINE):
        found.append(textwrap.dedent(match.group(2)).strip())
    return found


def faults(written: str) -> list[str]:
    """Return why what is written after `shell:` might run a value as a command; nothing where it cannot."""
    node = ast.parse(f"(\n{written}\n)", mode="eval").body
    if not (isinstance(node, ast.Constant) and isinstance(node.value, str)):
        return ["is no plain text"]
    found, plain = [], ""
    for literal, field, form, conversion in string.Formatter().parse(node.value):
        plain += literal
        if field is not None and (form not in QUOTED or conversion):
            found.append(f"{{{field}}} is not quoted")
        if field is not None and re.split(r"[.\[]", field)[0] not in OF_A_JOB:
            found.append(f"{{{field}}} is no fact of the job: make it one of `params`")
    return [*found, *(f"{sign!r} stands in it" for sign in OF_THE_SHELL.findall(plain))]


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: file.name)
def test_every_command_quotes_every_value(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    assert len(commands(text)) == len(re.findall(r"\bshell:", text))
    assert {command: faults(command) for command in commands(text) if faults(command)} == {}


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: file.name)
def test_an_option_whose_value_may_be_empty_is_joined_to_it(file: Path) -> None:
    """Snakemake quotes an empty value as nothing, and a program would take the next option for the value."""
    may_be_empty = ("--as-of", "--notice")  # no day, where all citations are read; nothing generated
    for command in commands(file.read_text(encoding="utf-8")):
        assert not [option for option in may_be_empty if f"{option} {{" in command]


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: file.name)
def test_every_rule_says_what_it_does_and_for_what(file: Path) -> None:
    """Once for lists of rules, once for the lines of a run, where each job of a rule is told from the others."""
    text = file.read_text(encoding="utf-8")
    for rule in re.split(r"(?m)^ *(?=rule(?: \w+)?:)", text)[1:]:
        name = rule.partition(":")[0]
        assert re.match(r"rule[^:]*:\n +\"\"\"[A-Z].*\.\"\"\"\n", rule), name
        if "shell:" not in rule:
            continue
        message = re.search(r"\n +message:\n +\"(.*)\"\n", rule)
        assert message, name
        patterns = rule.partition("output:")[2].partition("log:")[0]
        assert set(re.findall(r"{wildcards\.(\w+)}", message[1])) == set(re.findall(r"\"{(\w+)}\"", patterns)), name


def test_commands_were_found() -> None:
    assert sum(len(commands(file.read_text(encoding="utf-8"))) for file in RULE_FILES) > 20


@pytest.mark.parametrize("file", RULE_FILES, ids=lambda file: file.name)
def test_rules_run_programs_only_by_their_commands(file: Path) -> None:
    assert not BESIDE_COMMANDS.findall(re.sub(r"(?m)#.*", "", file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "written",
    [
        '"cat {input}"',
        '"cat {input:q} --number {resources.gpu}"',
        '"cat {input!r:q}"',
        '''"cat '{input:q}'"''',
        'f"cat {FOLDER}"',
        '"cat " + FOLDER',
        '"cat {FOLDER:q}"',
        '"cat {config[a][b]:q}"',
        '"cat {input:q}".format(1)',
        '"cat $(which {input:q})"',
        '"cat {input:q} & cat"',
    ],
)
def test_a_command_that_might_run_a_value_is_found(written: str) -> None:
    assert faults(written)


def test_a_command_of_several_lines_is_fine() -> None:
    assert not faults('"cat {input:q}"\n" --number {threads:q} {params.b:q} > {log:q} 2>&1 < /dev/null"')
