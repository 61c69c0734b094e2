"""One trial: a program meets a fault at one of its calls, is started again, and must end as if nothing had been."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hostile.forking import ERRORS, KILL, Fault, Forker, Started
from hostile.writers import Writer

VOLATILE = {  # what two undisturbed runs differ in: times, and how often a training was started
    *("seconds", "gpu_hours", "finished", "started", "host", "job", "submissions", "tries", "seconds_per_step"),
    *("tokens_per_second", "sequences_per_second", "dateCreated", "datePublished", "startTime", "endTime", "pid"),
    *("training.json", "metrics.jsonl"),  # their digests: they hold such times
}
AGAIN = "killed again"  # where its results were there already
FULL = ("ENOSPC", "EDQUOT")
NEEDS_ROOM = ("open", "write", "mkdir", "ftruncate", "link", "fsync")
SECONDS = 60  # of a program that must refuse what it was given, on a busy machine
MEMORY = 300 * 2**20  # bytes that it may take beyond its imports
CHECKPOINTS = "checkpoints"  # what trainings keep between tries: names are compared, contents are in the outputs


@dataclass
class Trial:
    """What a trial was and what came of it."""

    writer: str
    fault: str
    at: int
    call: str
    first: str  # killed, one line, absorbed, traceback, silent, signal, hang
    second: str = ""  # sound, locked, traceback, differs, temporaries
    detail: str = ""

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with it."""
        return self.first in ("killed", "one line", "absorbed") and self.second == "sound"


def normal(value: Any) -> Any:
    """Return a JSON value less what differs between two undisturbed runs."""
    if isinstance(value, dict):
        return {key: normal(kept) for key, kept in value.items() if key not in VOLATILE}
    return [normal(kept) for kept in value] if isinstance(value, list) else value


def content(path: Path) -> bytes:
    """Return what has to be equal of a file."""
    data = path.read_bytes()
    if path.suffix in (".json", ".jsonl", ".lock"):
        try:
            lines = [data] if path.suffix != ".jsonl" else data.splitlines()
            return json.dumps([normal(json.loads(line)) for line in lines], sort_keys=True).encode()
        except ValueError:
            pass
    return data


def tree(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder by their names; of checkpoints the names alone."""
    return {
        (name := str(path.relative_to(folder))): b"" if name.startswith(CHECKPOINTS) else content(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Course:
    """A writer, what it leaves when nothing goes wrong, and where that was."""

    def __init__(self, writer: Writer, forker: Forker, scratch: Path) -> None:
        """Run it undisturbed, once where nothing is and once over its own results, and list its calls."""
        self.writer, self.scratch = writer, scratch
        self.folder = scratch / "undisturbed"
        self.calls = self._listed(forker, self.folder)
        self.expected = tree(self.folder)
        again = shutil.copytree(self.folder, scratch / "again")
        self.again = self._listed(forker, again)
        assert self.difference(again) == ""

    def _listed(self, forker: Forker, folder: Path) -> list[list[str]]:
        """Run it undisturbed and return its calls and their paths."""
        trace = self.scratch / "trace"
        code, printed = self.start(forker, folder, Fault(str(folder)), trace=str(trace))
        assert code == 0, f"{self.writer.name}: {printed}"
        return [line.split("\t", 1) for line in trace.read_text(errors="replace").splitlines()]

    def start(self, forker: Forker, folder: Path, fault: Fault | None, trace: str = "") -> tuple[int, str]:
        """Run the writer in a folder, made anew if it is not there; return its code and what it printed."""
        if not folder.is_dir():
            if self.writer.before is None:
                folder.mkdir(parents=True)
            else:
                shutil.copytree(self.writer.before, folder)
        log = folder.with_name(f"{folder.name}.log")
        code = forker.run(Started(self.writer.program, self.writer.options, str(folder), str(log), fault, trace))
        return code, log.read_text(errors="replace")

    def trials(self, budget: int, errors: tuple[str, ...] = tuple(ERRORS)) -> Iterator[tuple[str, int]]:
        """Yield faults and the calls that they befall: all calls, or an even sample of so many for each fault."""
        for fault in ("kill", AGAIN, *errors):
            places = [
                number
                for number, (call, _) in enumerate(self.again if fault == AGAIN else self.calls, 1)
                if fault not in FULL or call in NEEDS_ROOM
            ]
            share = budget if fault == "kill" else max(budget // 3, 1)
            count = min(share, len(places))
            yield from ((fault, places[round(n * (len(places) - 1) / max(count - 1, 1))]) for n in range(count))

    def attempt(self, forker: Forker, fault: str, at: int) -> Trial:
        """Make one trial."""
        folder = self.scratch / f"{fault}-{at}".replace(" ", "-")
        if fault == AGAIN:
            shutil.copytree(self.folder, folder)
        call, path = (self.again if fault == AGAIN else self.calls)[at - 1]
        trial = Trial(self.writer.name, fault, at, f"{call} {path}", "")
        error = ERRORS.get(fault, KILL)
        met = Fault(str(folder), at, error, lasting=fault in (*FULL, "EROFS"))
        code, printed = self.start(forker, folder, met)
        trial.first = self._judge_first(fault, code, printed, folder)
        if trial.first not in ("killed", "one line", "absorbed"):
            trial.detail = printed[-1500:]
        code, printed = self.start(forker, folder, None)
        trial.second = self._judge_second(code, printed, folder)
        if trial.second not in ("sound",):
            trial.detail += f"\n-- second: {self.difference(folder)}\n{printed[-1500:] if code else ''}"
        shutil.rmtree(folder)
        folder.with_name(f"{folder.name}.log").unlink()
        return trial

    def difference(self, folder: Path) -> str:
        """Say in which files a folder differs from what is expected."""
        found = tree(folder)
        names = sorted(name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name))
        return ", ".join(
            f"{name} ({'more' if name not in self.expected else 'missing' if name not in found else 'other content'})"
            for name in names[:6]
        )

    def _judge_first(self, fault: str, code: int, printed: str, folder: Path) -> str:
        if fault not in ERRORS:
            return "killed" if code == -9 else f"code {code}"
        if code < 0:
            return "hang" if code == -14 else f"signal {-code}"
        if code == 0:
            return "absorbed" if self._finished(folder) else "silent"
        if "Traceback (most recent call last)" in printed:
            return "traceback"
        return "one line" if sum(" ERROR " in line for line in printed.splitlines()) == 1 else "not one line"

    def _finished(self, folder: Path) -> bool:
        found = tree(folder)
        return all(found.get(name) == wanted for name, wanted in self.expected.items())

    def _judge_second(self, code: int, printed: str, folder: Path) -> str:
        if code:
            return "traceback" if "Traceback (most recent call last)" in printed else "locked"
        if not self._finished(folder):
            return "differs"
        return "temporaries" if tree(folder).keys() - self.expected.keys() else "sound"


def judge(code: int, printed: str) -> str:
    """Return what became of a program that must refuse what it was given."""
    if code == -14:
        return "hang"
    if code < 0:
        return f"signal {-code}"
    if "Traceback (most recent call last)" in printed:
        return "traceback"
    if code == 0:
        return "silent"
    errors = [line for line in printed.splitlines() if " ERROR " in line]
    return "one line" if len(errors) == 1 and len(errors[0]) < 3000 else "not one line"
