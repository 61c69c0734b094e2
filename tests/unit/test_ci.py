"""Public CI, the hooks before a commit and releases name what is there, and the versions that they should."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys

import pytest
from helpers.configurations import CONFIG, ROOT

from compactbio.files import read_yaml

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text()
RELEASE = runpy.run_path(str(ROOT / ".ci" / "release_notes.py"))


def steps(path) -> list[dict]:
    """Return the steps of all jobs of a workflow."""
    return [step for job in read_yaml(path)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_and_commands_name_what_is_there(path) -> None:
    text = path.read_text()
    used = re.findall(r"uses: (.*)", text)
    assert used and all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)
    for step in steps(path):
        for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
            assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
        for file in re.findall(r"(?<![\w/])((?:\.ci|tests|scripts)/[\w./-]+)", step.get("run", "")):
            assert (ROOT / file).is_file(), file
    jobs = read_yaml(path)["jobs"].values()
    assert all({"runs-on", "timeout-minutes", "steps"} <= job.keys() for job in jobs)
    assert read_yaml(path)["permissions"].keys() == {"contents"}


def test_every_shipped_configuration_is_dry_run() -> None:
    jobs = read_yaml(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    assert set(jobs) == {"lint", "tests", "dry-run", "docs"}
    shipped = {str(path.relative_to(CONFIG)) for path in CONFIG.rglob("*.yaml")} - {"schema.yaml"}
    assert set(jobs["dry-run"]["strategy"]["matrix"]["configuration"]) == shipped
    test = jobs["dry-run"]["steps"][-1]["run"].partition("::")[2].partition("[")[0]
    assert f"def {test}(" in (ROOT / "tests" / "workflow" / "test_dry_runs.py").read_text()


def test_hooks_run_what_make_lint_runs() -> None:
    recipe = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0].splitlines()[1:]
    hooks = [hook["entry"] for repo in read_yaml(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    assert [entry.replace("env PYTHONPATH", "PYTHONPATH").replace(".venv/bin/", "") for entry in hooks] == [
        line.strip() for line in recipe
    ]
    command = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


def test_the_newest_release_is_the_version_of_the_citation() -> None:
    texts = [(ROOT / name).read_text() for name in ("CHANGELOG.md", "CITATION.cff")]
    [version] = re.findall(r"^version: (.+)$", texts[1], re.MULTILINE)
    assert RELEASE["release_notes"](f"v{version}", *texts)
    assert "version" not in re.findall(
        r"^(\w+) = ", (ROOT / "pyproject.toml").read_text(), re.MULTILINE
    )  # no third place
    citation = read_yaml(ROOT / "CITATION.cff")
    assert {"cff-version", "title", "message", "authors", "version", "date-released"} <= citation.keys()


@pytest.mark.parametrize(
    ("tag", "changelog", "version", "day", "said"),
    [
        ("v1.0.1", "## 1.0.1 - 2026-12-01\n\nNew.\n", "1.0.0", "2026-12-01", "CITATION.cff has version 1.0.0"),
        ("v1.0.1", "## Unreleased\n\n## 1.0.0 - 2026-12-01\n", "1.0.1", "2026-12-01", "CHANGELOG.md: the newest"),
        ("v1.0.1", "## 1.0.1 - 2026-12-01\n\nNew.\n", "1.0.1", "2026-12-02", "date-released 2026-12-02"),
    ],
)
def test_a_release_that_disagrees_is_refused(tag: str, changelog: str, version: str, day: str, said: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(said)):
        RELEASE["release_notes"](tag, changelog, f'version: {version}\ndate-released: "{day}"\n')


def test_the_notes_of_a_release_are_its_section() -> None:
    changelog = (
        "# Changelog\n\n## Unreleased\n\n- later\n\n## 1.0.1 - 2026-12-01\n\n- this\n\n## 1.0.0 - 2026-11-01\n\n- old\n"
    )
    assert RELEASE["release_notes"]("v1.0.1", changelog, "version: 1.0.1\ndate-released: 2026-12-01\n") == "- this"
