"""Tries of a run: a later one starts only where an earlier one could have gained something.

The profile sets the number of retries, which may be large. A run that cannot get ahead (no time for one step, never
enough memory, a loss that is not a number) would use them all up. So a cause that repeats leaves a file `stalled` with
its facts, and later tries end at once for as long as these hold. What does not repeat by itself never counts: a signal
that a person or a scheduler sent, a disk that could not be written, an end before a step was possible. A lack of memory
always does: on a GPU most of it is found while the size of micro-batches is probed and passes are captured.
"""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import TypedDict, cast

from compactbio.errors import UserError
from compactbio.files import read_json, write_json
from compactbio.locks import Lock, holder_of, host_name, try_lock
from compactbio.training.circumstances import (
    NO_MEMORY,
    SCHEDULER,
    Origin,
    present_facts,
    present_origin,
    what_killed,
)
from compactbio.training.divergence import LossError
from compactbio.training.error_causes import in_words, is_of_files, lacks_memory
from compactbio.training.stalls import DEADLINE, DIED, LOSS, MEMORY, STALLED, UNTIL, Stall, read_stall, what_changed

TRIES = "tries.json"
LOCK = "lock"
# a trace of a process that is not the main one, which alone writes the other files
TRACE = "out-of-memory"
# how many tries from one step a cause may end; a loss is computed from the same numbers each time
ALLOWED = {MEMORY: 2, DEADLINE: 2, LOSS: 1, DIED: 3}
# where each try halves the positions of the one before: down to a sixteenth of those that seemed to fit
HALVINGS = 5
STARTING, BEGAN, STEPPED, INTERRUPTED, ENDED = "starting", "began", "stepped", "interrupted", "ended"


class TriesRecord(TypedDict):
    """Content of tries.json: the newest try, and what ended those before it that started from the same step."""

    step: int
    """The step that the tries started from."""
    phase: str
    """How far the newest try came: starting, began (its first step), stepped, interrupted (by a signal), ended."""
    counts: dict[str, int]
    """How many tries each kind of cause has ended."""
    hosts: list[str]
    """Where the tries that are counted ran."""
    origin: Origin


class Tries:
    """The tries of one run, kept in its checkpoint folder. Used by the main process only."""

    def __init__(
        self,
        folder: Path,
        *,
        minutes: float | None = None,
        micro_batch_tokens: int | None = None,
        halves: bool = False,
        began: float = 0.0,
    ) -> None:
        """Take what the command line allows.

        Args:
            halves: a try after one that lacked memory has micro-batches of half the positions.
            began: the `time.monotonic()` of the program's start.
        """
        self.folder = folder
        self.allowed = {**ALLOWED, MEMORY: HALVINGS} if halves else ALLOWED
        self.marker = folder / STALLED
        self.minutes = minutes
        self.micro_batch_tokens = micro_batch_tokens
        self.began = began or time.monotonic()
        self._lock: Lock | None = None
        self._record: TriesRecord | None = None

    def refuse_if_stalled(self) -> None:
        """Raise UserError where a marker's cause still holds, else remove the marker; costs no import of torch."""
        if not self.marker.is_file():
            return
        stall = read_stall(self.folder)
        if stall is None:
            why = "it names no facts that could be compared (it is empty, damaged or of an earlier version)"
        else:
            why = what_changed(stall, present_facts(self.minutes, self.micro_batch_tokens))
        if stall is not None and not why:
            raise UserError(
                f"this run is stalled: {stall['reason']}. It goes on by itself once {UNTIL[stall['kind']]}; to try "
                f"again all the same, remove the marker: rm '{self.marker}'"
            )
        logging.warning("the marker %s is removed and the run tried again: %s", self.marker, why)
        self.marker.unlink(missing_ok=True)
        (self.folder / TRIES).unlink(missing_ok=True)

    def begin(self, step: int) -> None:
        """Note that a try starts from `step`; refuse where a cause has ended too many such tries."""
        self._refuse_a_second_process()
        before = read_tries(self.folder)
        counts, hosts = {}, []
        if before is not None and before["step"] == step:
            counts, hosts = before["counts"], before["hosts"]
            if kind := _what_ended(before, lacked_memory(self.folder)):
                counts[kind] = counts.get(kind, 0) + 1
                hosts.append(before["origin"].get("host", ""))
        (self.folder / TRACE).unlink(missing_ok=True)
        self._record = {
            "step": step,
            "phase": STARTING,
            "counts": counts,
            "hosts": hosts,
            "origin": present_origin(),
        }
        for kind in (MEMORY, DIED):
            self._stall_at_limit(kind)
        try:
            self.refuse_if_stalled()
        except UserError:
            self._release()
            raise
        self._write()

    def at_step(self, taken: int) -> None:
        """Note that this try is about to take its first step (0) or has taken it (1): from there on it may count."""
        self._set_phase(STEPPED if taken else BEGAN)

    def interrupted(self) -> None:
        """Note that a person or a scheduler ended this try; what was counted before stays as it was."""
        self._set_phase(INTERRUPTED)

    def end(
        self, *, started_at: int, step: int, finished: bool, reason: str, error: BaseException | None = None
    ) -> None:
        """Note how a try ended; the marker is left where its cause has ended as many tries as are allowed.

        Args:
            started_at: the step that it started from.
            step: the newest one that is saved.
            finished: whether that is the last.
            reason: finished, signal or deadline, as the loop says; `error` where one ended it.
            error: what ended it.
        """
        record = self._record
        if finished or record is None:
            (self.folder / TRIES).unlink(missing_ok=True)
        else:
            kind = DEADLINE if reason == DEADLINE else _kind_of(error, record["phase"]) if error else ""
            if lacked_memory(self.folder):  # the others of the run then end by a signal or a lost connection
                kind, reason = MEMORY, "error"
            if step > started_at:
                record["counts"], record["hosts"], kind = {}, [], ""
            if kind:
                record["counts"][kind] = record["counts"].get(kind, 0) + 1
                record["hosts"].append(host_name())
            record["phase"] = INTERRUPTED if reason == "signal" else ENDED
            self._write()
            if kind:
                self._stall_at_limit(kind, in_words(error) if error else "")
        (self.folder / TRACE).unlink(missing_ok=True)
        self._record = None
        self._release()

    def undo(self, before: TriesRecord | None) -> None:
        """Leave things as they were before a try that has ended, whose record (see `read_tries`) was this one."""
        self.marker.unlink(missing_ok=True)
        self._record = before
        if before is None:
            (self.folder / TRIES).unlink(missing_ok=True)
        else:
            self._write()

    def stall(self, kind: str, reason: str, *, step: int = 0, hosts: list[str] | None = None) -> None:
        """Leave the marker with the present facts; a host only where all tries ran on it."""
        facts = present_facts(self.minutes, self.micro_batch_tokens)
        if len(set(hosts or [])) != 1:
            facts.pop("host", None)
        content: Stall = {"kind": kind, "reason": " ".join(reason.split()), "step": step, "facts": facts}
        try:
            write_json(self.marker, content)
        except OSError as error:  # the next try finds out anew
            logging.warning("%s could not be written (%s)", self.marker, error)
            return
        (self.folder / TRIES).unlink(missing_ok=True)  # without the marker, counting begins anew
        logging.error("no step was gained: later tries end at once until %s (%s)", UNTIL[kind], self.marker)

    def _stall_at_limit(self, kind: str, reason: str = "") -> None:
        """Leave the marker if a cause has ended as many tries as are allowed."""
        record = self._record
        if record is None or record["counts"].get(kind, 0) < self.allowed[kind]:
            return
        count, step = record["counts"][kind], record["step"]
        message = {
            MEMORY: f"{count} tries from step {step} ran out of memory before their first checkpoint",
            DEADLINE: f"in {count} tries from step {step} the time limit ({self.minutes or 0:g} minutes) was reached "
            f"before one step was done and saved; {time.monotonic() - self.began:.0f} s of the last passed before "
            "that; allow more minutes",
            LOSS: "the loss cannot be used",
            DIED: f"{count} tries from step {step} died while they trained, before their first checkpoint. Known: they "
            "took steps, no signal that asks to save came, and no disk failed. Not known: "
            "whether memory, a time limit or a node ended them (see the scheduler's record of the jobs)",
        }[kind]
        if kind == DIED and reason:
            message = f"{count} tries from step {step} died before their first checkpoint, the last with an error"
        self.stall(kind, f"{message}: {reason}" if reason else message, step=step, hosts=record["hosts"])

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def _set_phase(self, phase: str) -> None:
        if self._record is not None:
            self._record["phase"] = phase
            self._write()

    def _write(self) -> None:
        """Write tries.json; where the disk cannot be written, nothing is counted."""
        try:
            write_json(self.folder / TRIES, self._record)
        except OSError as error:
            logging.warning("%s could not be written (%s)", self.folder / TRIES, error)
            with contextlib.suppress(OSError):  # which needs no room; an older phase in it would count as a death
                (self.folder / TRIES).unlink(missing_ok=True)

    def _refuse_a_second_process(self) -> None:
        """Hold the folder's lock for the life of this object; a job that a scheduler started twice must not mix in.

        Raises:
            UserError: another process trains this run.
        """
        place = self.folder / LOCK
        self._lock = try_lock(place)
        if self._lock is None:
            raise UserError(
                f"another process is training this run ({self.folder}), {holder_of(place)}: wait for its end, or stop "
                "it first"
            )


def read_tries(folder: Path) -> TriesRecord | None:
    """Return the record in a run's folder; None where there is none or it is damaged or of an earlier version."""
    try:
        value = read_json(folder / TRIES)
    except (UserError, OSError):
        return None
    whole = isinstance(value, dict) and set(value) >= set(TriesRecord.__annotations__)
    return cast(TriesRecord, value) if whole else None


def was_interrupted(folder: Path) -> bool:
    """Return whether a person or a scheduler ended the newest try of the run in a folder."""
    record = read_tries(folder)
    return record is not None and record["phase"] == INTERRUPTED


def lacked_memory(folder: Path) -> bool:
    """Return whether a process that is not the main one has left a trace; `Tries` removes it."""
    return (folder / TRACE).is_file()


def note_lack_of_memory(folder: Path, error: BaseException) -> None:
    """Leave a trace for the next try if an error of a process that is not the main one was a lack of memory."""
    if lacks_memory(error):
        with contextlib.suppress(OSError):
            (folder / TRACE).touch()


def _what_ended(before: TriesRecord, trace: bool) -> str:
    """Return the kind of cause that ended a try which noted no end; empty if that must not count."""
    phase = before["phase"]
    if phase == ENDED:  # and is counted; a trace came behind it, of a process that lacked memory at the same time
        return ""
    if trace:  # torchrun ends the main process by a signal when another one lacks memory
        return MEMORY
    if phase not in (STARTING, BEGAN, STEPPED):
        return ""
    killer, words = what_killed(before["origin"])
    if killer:
        logging.warning("the try before this one was killed: %s", words)
    if killer == NO_MEMORY:
        return MEMORY
    return DIED if phase == STEPPED and killer != SCHEDULER else ""


def _kind_of(error: BaseException, phase: str) -> str:
    """Return the kind of cause that an error is; empty if it must not count."""
    if isinstance(error, LossError):
        return LOSS
    if is_of_files(error):
        return ""
    if lacks_memory(error):
        return MEMORY
    return DIED if phase in (BEGAN, STEPPED) else ""
