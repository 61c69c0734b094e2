"""Direct pins, locks, the conda environment and the images agree, and a lock lacks nothing that its packages need."""

from __future__ import annotations

import re
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from helpers.configurations import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from compactbio.files import read_yaml

ENVS = ROOT / "envs"
LOCKS = ("requirements", "development")  # .txt with the direct pins, .lock with all
OF_GPUS = re.compile(r"nvidia-|cuda-|triton$")  # what torch's builds for GPUs need, in versions that torch states


def direct_pins(name: str) -> list[str]:
    """Return the lines of a file of direct pins, those of a file that it includes first."""
    lines = (ENVS / f"{name}.txt").read_text().splitlines()
    included = [pin for line in lines if line.startswith("-r ") for pin in direct_pins(Path(line[3:]).stem)]
    return included + [line for line in lines if line and not line.startswith(("#", "-r "))]


def locked(name: str) -> list[Requirement]:
    """Return the pins of a lock, a package once for each marker."""
    lines = re.findall(r"^([a-zA-Z].*?) \\$", (ENVS / f"{name}.lock").read_text(), re.MULTILINE)
    return [Requirement(line) for line in lines]


def present(name: str) -> dict[str, str]:
    """Return the versions that a lock has for this Python and platform."""
    return {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in locked(name)
        if pin.marker is None or pin.marker.evaluate()
    }


def test_the_conda_environment_repeats_the_pins_line_by_line() -> None:
    inline = [entry["pip"] for entry in read_yaml(ENVS / "workflow.yaml")["dependencies"] if isinstance(entry, dict)]
    assert inline == [direct_pins("requirements")]


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_the_direct_pins_but_torch(name: str) -> None:
    pins = {
        canonicalize_name(pin.name): str(pin.specifier).removeprefix("==")
        for pin in map(Requirement, direct_pins(name))
    }
    assert all(re.fullmatch(r"[\d.a-z]+", version) for version in pins.values())  # exact
    assert pins.pop("torch") is not None
    differing = {package: version for package, version in pins.items() if present(name).get(package) != version}
    assert differing == {}, "run `make lock`"


def test_what_both_locks_have_is_the_same() -> None:
    assert present("requirements").items() <= present("development").items(), "run `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_every_line_of_a_lock_is_a_pin_with_digests(name: str) -> None:
    text = (ENVS / f"{name}.lock").read_text()
    entries = re.split(r"^(?=[a-zA-Z])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE), flags=re.MULTILINE)
    assert len(entries) > 100
    for entry in filter(None, entries):
        pin, *digests = entry.replace("\\", "").strip().splitlines()
        assert re.match(r"[\w.-]+==[\w.]+( ; .+)? *$", pin), pin
        assert digests and all(re.fullmatch(r" +--hash=sha256:[0-9a-f]{64} *", digest) for digest in digests), pin


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_lacks_nothing_that_its_packages_need(name: str) -> None:
    """As the installed packages state their needs, on this Python; torch's own are part of it, those of GPUs aside."""
    versions = present(name)
    installed = {canonicalize_name(package.name): package.requires for package in metadata.distributions()}
    left = [(canonicalize_name(pin.name), pin.extras) for pin in map(Requirement, direct_pins(name))]
    seen = set()
    while left:
        package, extras = left.pop()
        if (package, frozenset(extras)) in seen:
            continue
        seen.add((package, frozenset(extras)))
        for need in map(Requirement, installed[package] or []):
            applies = need.marker is None or any(need.marker.evaluate({"extra": extra}) for extra in ("", *extras))
            other = canonicalize_name(need.name)
            if not applies or (package == "torch" and OF_GPUS.match(other)):
                continue
            if other != "torch":
                assert other in versions, f"{package} needs {other}: run `make lock`"
                assert need.specifier.contains(versions[other], prereleases=True), f"{package} needs {need}"
            left.append((other, need.extras))
    assert len(seen) > 80


def test_torch_needs_what_the_lock_takes_for_granted() -> None:
    [stated] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["dependency-metadata"]
    own = [Requirement(need) for need in metadata.requires("torch") or []]
    own = [need for need in own if not OF_GPUS.match(need.name) and "extra" not in str(need.marker)]
    assert stated["name"] == "torch"
    assert {str(Requirement(need)) for need in stated["requires-dist"]} == {str(need) for need in own}


def test_no_lock_names_where_packages_lie() -> None:
    for file in ENVS.iterdir():
        assert not re.search(r"index-url|https?://(?!.*\.invalid)", file.read_text()), file.name


LOOKING = ("status", "tables", "checkpoints", "cost", "site")


@pytest.mark.parametrize("target", LOOKING)
def test_targets_that_only_look_install_nothing(tmp_path: Path, target: str) -> None:
    (tmp_path / "Makefile").write_text((ROOT / "Makefile").read_text())
    done = subprocess.run(
        ["make", "--silent", target], cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stderr.splitlines()[0] == "no packages here: run make install"
    assert {path.name for path in tmp_path.iterdir()} == {"Makefile"}
