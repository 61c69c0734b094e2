"""Ways to damage a file, and how a program that is started in this process ends."""

from __future__ import annotations

import importlib
import io
import json
import logging
import os
import random
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from compactbio import digests
from compactbio.logs import run_program
from compactbio.training.deadlines import STOPPING

DEEP = 100_000


class Ended(NamedTuple):
    """How a program ended: exit code, lines of level ERROR, the traceback if it left one."""

    code: int
    errors: list[str]
    trace: str


def start(name: str, line: list[Any]) -> Ended:
    """Run a program's main function in this process as a shell would run the program."""
    logger, printed, errors, trace = logging.getLogger(), io.StringIO(), io.StringIO(), ""
    before = (sys.argv, sys.stderr, sys.stdout, dict(os.environ), logger.handlers[:], logger.level)
    handlers = {number: signal.getsignal(number) for number in STOPPING}
    sys.argv, sys.stderr, sys.stdout = [f"{name}.py", *map(str, line)], errors, printed
    code = 0
    try:
        run_program(importlib.import_module(name).main)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        code, trace = 1, traceback.format_exc()
    finally:
        digests._verify.on = False
        sys.argv, sys.stderr, sys.stdout = before[:3]
        os.environ.clear()
        os.environ.update(before[3])
        logger.handlers[:], logger.level = before[4:]
        for number, handler in handlers.items():
            signal.signal(number, handler)
    lines = errors.getvalue().splitlines()
    return Ended(code, [line for line in lines if " ERROR " in line], trace or ("Traceback" in errors.getvalue()) * "?")


@contextmanager
def damaged(path: Path, content: bytes) -> Iterator[None]:
    """Give a file another content for a block."""
    whole = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(whole)


def same_size(content: bytes, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield what a disk or a memory may do to a file: a bit flipped in each third, the middle third zeroed."""
    draw = random.Random(seed)
    for part in range(3 if content else 0):
        changed = bytearray(content)
        place = (part * len(content) + draw.randrange(max(1, len(content)))) // 3
        changed[place] ^= 1 << draw.randrange(8)
        yield f"bit of byte {place}", bytes(changed)
    third = len(content) // 3
    if content[third : 2 * third].strip(b"\0"):
        yield "a third zeroed", content[:third] + bytes(third) + content[2 * third :]


def damages(path: Path, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield ways to damage a file, each with a name: bits, cuts, another type, and of JSON and YAML keys and values."""
    yield from same_size(content)
    yield "cut", content[: len(content) // 2]
    yield "empty", b""
    yield "a web page", b"<html><body>404</body></html>\n"
    yield "not UTF-8", b"\xff\xfe\xfa" + content[3:]
    if path.suffix in (".json", ".yaml", ".jsonl"):
        yield "deep", b"[" * DEEP + b"\n"
        yield "a list", b"[1, 2]\n"
        yield "null", b"null\n"
        yield "half a character", b'{"text": "\\ud800"}\n'
        value = (
            yaml.safe_load(content)
            if path.suffix == ".yaml"
            else json.loads(content.splitlines()[0])
            if (path.suffix == ".jsonl")
            else json.loads(content)
        )
        yield from ((name, json.dumps(changed).encode() + b"\n") for name, changed in _changes(value))


def _changes(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield a mapping without each of its keys, and with a value of another type at each."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "seal":  # which manifests of older versions lack
                yield f"without {key}", {name: other for name, other in value.items() if name != key}
            yield f"{key} of another type", value | {key: [[None]] if not isinstance(inner, list) else {"a": {}}}
