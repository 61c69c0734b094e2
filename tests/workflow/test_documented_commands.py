"""Every command of README, the pages and the configurations' first lines is tried, by the rule for its program.

make by its own dry run. snakemake by its parser, with the profile, and what it asks for by a dry run. python: the
program reads its options. Commands of other programs need a network, a scheduler or an environment of their own: what
they name must be there, and a program without a rule fails.
"""

from __future__ import annotations

import argparse
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.configurations import CONFIG, ROOT
from helpers.documents import Command, commands

from workflow.conftest import jobs_of, run_snakemake, touch_mirror

COMMANDS = commands()
MADE = {".venv/bin/activate", "profiles/slurm/site.env"}  # by a command before
PLANNED = {(), ("downloads",), ("corpus",), ("TinyBioBERT",)}  # of one shipped configuration: by test_dry_runs.py
PACKAGES = {"snakemake-executor-plugin-cluster-generic"}  # whose plugin a profile of another scheduler needs


def of(*programs: str) -> list[Command]:
    return [command for command in COMMANDS if Path(command.words[0]).name in programs]


def parametrized(*programs: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("command", of(*programs), ids=lambda command: command.text)


@parametrized("make")
def test_make_knows_its_targets(command: Command) -> None:
    assert "$(MAKE)" not in (ROOT / "Makefile").read_text()  # make -n would start that recipe, of one shell, for real
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(["make", "-n", *command.words[1:]], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


class OptionsRead(Exception):  # noqa: N818
    """A program has read its options."""


@parametrized("python")
def test_programs_read_their_options(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(*arguments: object, **named: object) -> None:
        parse(*arguments, **named)
        raise OptionsRead

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    _, program, *options = command.words
    monkeypatch.setattr(sys, "argv", [program, *options])
    assert (ROOT / program).is_file()
    if program == ".ci/release_notes.py":  # without argparse: tests/unit/test_ci.py
        return
    with pytest.raises((OptionsRead, SystemExit)) as ended:
        runpy.run_path(str(ROOT / program), run_name="__main__")
    assert ended.type is OptionsRead or ended.value.code == 0


def read_by_snakemake(command: Command) -> argparse.Namespace:
    """Return what Snakemake's own parser makes of a command, with the profile that it names."""
    from snakemake.cli import parse_args

    _, arguments = parse_args(command.words[1:])
    return arguments


@parametrized("snakemake")
def test_snakemake_reads_its_options(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    arguments = read_by_snakemake(command)
    files = [*(arguments.configfile or []), *(Path(profile) / "config.yaml" for profile in arguments.profile or [])]
    assert [file for file in files if not Path(file).is_file() and str(file) != "FILE"] == []


def asked_for(command: Command) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return targets and configurations of a command; FILE is one of the reader's."""
    words = command.words[1:]
    with_values = {"--profile", "--config", "--configfile", "--cores", "--resources", "--sdm", "--apptainer-args"}
    with_values |= {"--report", "--forcerun", "--set-resources"}
    configurations: list[str] = []
    targets: list[str] = []
    option = None
    for word in words:
        if word.startswith("-"):
            option = word if word in with_values else None
        elif option == "--configfile":
            configurations.append(word)
        elif option is None:
            targets.append(word)
        elif option != "--config":
            option = None
    return tuple(targets), tuple(name for name in configurations if name != "FILE")


NOT_PLANNED = {"--unlock", "--report"}  # they plan nothing
TO_PLAN = sorted(
    {
        (targets, configurations)
        for command in of("snakemake")
        for targets, configurations in [asked_for(command)]
        if not NOT_PLANNED & {*command.words} and not (targets in PLANNED and len(configurations) < 2)
    }
)


@pytest.mark.slow
@pytest.mark.parametrize(("targets", "configurations"), TO_PLAN, ids=str)
def test_what_is_asked_for_can_be_planned(
    tmp_path: Path, targets: tuple[str, ...], configurations: tuple[str, ...]
) -> None:
    touch_mirror(tmp_path / "mirror")
    files = ["--configfile", *(str(ROOT / name) for name in configurations)] if configurations else []
    mirror = ["--config", f"mirror={tmp_path / 'mirror'}"] if files else []
    done = run_snakemake(tmp_path, "--quiet", "rules", "--dry-run", *files, *mirror, "--", *targets)
    assert sum(jobs_of(done).values()) > 0


def test_the_tutorial_runs_what_ends_in_a_shipped_configuration() -> None:
    named = {name for command in of("snakemake") for name in asked_for(command)[1]}
    shipped = {f"config/{path.relative_to(CONFIG)}" for path in CONFIG.rglob("*.yaml")}
    assert named <= shipped
    assert shipped - named == {
        "config/config.yaml",
        "config/schema.yaml",
        "config/demo.yaml",
        "config/demo_more.yaml",
    }  # of none, and of make demo and make demo-more


OTHERS = [command for command in COMMANDS if command not in of("make", "python", "snakemake")]


@pytest.mark.parametrize("command", OTHERS, ids=lambda command: command.text)
def test_what_other_programs_are_given_is_there(command: Command) -> None:
    program, *words = command.words
    options = {word for word in words if word.startswith("-")}
    plain = [word for word in words if not word.startswith("-")]
    match Path(program).name, plain:
        case (("source" | "sbatch"), [file]):
            assert (ROOT / file).is_file() or file in MADE
        case "pip", ["install", package, *_] if package.startswith("torch=="):
            assert package in (ROOT / "envs" / "requirements.txt").read_text().splitlines()
            assert options <= {"--force-reinstall", "--index-url"}
        case "pip", ["install", package]:
            assert package in PACKAGES
        case "conda", ["env", "create", file]:
            assert (ROOT / file).is_file() and options == {"--file"}
        case "apptainer", ["build", image, recipe]:
            assert (ROOT / recipe).is_file() and image in (ROOT / "rules" / "common.smk").read_text()
        case "docker", ["build", "compactbio", folder]:
            assert (ROOT / folder / "Dockerfile").is_file() and options == {"--tag"}
        case "bash", [script, *_]:
            assert (ROOT / script).is_file()
        case "pytest", files:
            assert all((ROOT / file).exists() for file in files) and options <= {"-q"}
        case ("pip", ["check"]) | ("squeue", []) | ("pre-commit", ["install"]) | ("snakedeploy", ["deploy-workflow"]):
            assert options <= {"--me"}
        case _:
            pytest.fail(f"{command.document}: {command.text}: no rule for it")


def test_the_rules_see_commands_of_every_kind() -> None:
    programs = {Path(command.words[0]).name for command in COMMANDS}
    assert {"make", "python", "snakemake", "pip", "apptainer", "sbatch"} <= programs
    assert len(COMMANDS) > 50
    assert not [command for command in COMMANDS if re.search(r"[<>]", command.text)]
