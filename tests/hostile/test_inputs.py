"""What a program is given instead of each file or folder that it reads: refused in one line, soon, in little memory."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hostile.forking import Started
from hostile.trials import MEMORY, SECONDS, Course, judge
from hostile.writers import WRITERS, Made, Writer


def _fifo(path: Path) -> str:
    os.mkfifo(path)
    return str(path)


def _folder(path: Path) -> str:
    path.mkdir()
    return str(path)


def _written(content: bytes) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        path.write_bytes(content)
        return str(path)

    return write


def _sparse(path: Path) -> str:
    """A file of 8 GiB that takes no room."""
    with path.open("wb") as stream:
        stream.truncate(2**33)
    return str(path)


def _of_sparse_files(path: Path) -> str:
    """A folder whose files have the names that are looked for and no end to speak of."""
    for name in ("manifest.json", "config.json", "tokenizer.json", "vocab.txt", "run.yaml", "data/dataset_dict.json"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        _sparse(path / name)
    return str(path)


INSTEAD: dict[str, Callable[[Path], str]] = {
    "a device without end": lambda path: "/dev/zero",
    "a pipe that nobody writes to": _fifo,
    "an empty folder": _folder,
    "nothing": lambda path: str(path),
    "an empty file": _written(b""),
    "a text": _written(b"what nobody expects here\n" * 40),
    "bytes": _written(bytes(range(256)) * 40),
    "null": _written(b"null\n"),
    "an empty mapping": _written(b"{}\n"),
    "deep brackets": _written(b"[" * 100_000),
    "a huge file": _sparse,
    "a folder of huge files": _of_sparse_files,
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture(scope="module")
def made() -> Made:
    return {}


@pytest.mark.parametrize("build", WRITERS, ids=lambda build: build.__name__)
def test_whatever_stands_in_an_inputs_place_is_refused_in_one_line(
    build, world, made, forkers, counts, tmp_path
) -> None:
    writer: Writer = build(world, made)
    course = Course(writer, forkers[0], tmp_path / "course")
    made[writer.name] = course.folder
    wrong = []
    for place, option in enumerate(writer.options):
        if not option.startswith("/") or not Path(option).exists():
            continue
        for name, instead in INSTEAD.items():
            folder = tmp_path / f"{place} {name}"
            folder.mkdir()
            options = [
                *writer.options[:place],
                instead(tmp_path / f"given {place} {name}"),
                *writer.options[place + 1 :],
            ]
            log = tmp_path / "log"
            started = Started(writer.program, options, str(folder), str(log), seconds=SECONDS, memory=MEMORY)
            code = forkers[0].run(started)
            printed = log.read_text(errors="replace")
            outcome = judge(code, printed)
            counts.add(f"instead of an input: {name}", outcome)
            left = [path.name for path in folder.rglob("*") if path.name.endswith(".partial")]
            if outcome != "one line" or left:
                before = writer.options[place - 1] if place else ""
                wrong.append((before, name, outcome, left, printed[-300:]))
    assert wrong == []
