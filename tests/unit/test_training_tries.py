"""Which ends of tries leave the `stalled` marker, and what takes it away again."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from compactbio.errors import UserError
from compactbio.training import circumstances, tries
from compactbio.training.checkpoints import NotSavedError
from compactbio.training.divergence import LossError
from compactbio.training.error_causes import is_taken, lacks_memory
from compactbio.training.stalls import DEADLINE, DIED, LOSS, MEMORY, what_changed
from compactbio.training.submissions import Submissions
from compactbio.training.tries import Tries, was_interrupted

STEPPED, BEGAN, STARTING = (0, 1), (0,), ()


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def behind(error: Exception, before: Exception) -> Exception:
    """Return an error that was raised while another one was dealt with, as the end of a capture is."""
    error.__context__ = before
    return error


def caused(error: Exception, cause: Exception) -> Exception:
    """Return an error that comes from another."""
    error.__cause__ = cause
    return error


def start(folder: Path, reached: tuple[int, ...] = STEPPED, step: int = 5, **allowed: float) -> Tries:
    """Begin a try as the programs do and take it so far."""
    one = Tries(folder, **allowed)
    one.refuse_if_stalled()
    one.begin(step)
    for taken in reached:
        one.at_step(taken)
    return one


def killed(folder: Path, reached: tuple[int, ...] = STEPPED, step: int = 5) -> None:
    """A try that was killed without a trace: its lock is free and no end is noted."""
    start(folder, reached, step)._release()


def failed(folder: Path, error: Exception, reached: tuple[int, ...] = STEPPED) -> None:
    start(folder, reached).end(started_at=5, step=5, finished=False, reason="error", error=error)


def left(folder: Path, reason: str, reached: tuple[int, ...] = STEPPED, step: int = 5, **allowed: float) -> None:
    start(folder, reached, **allowed).end(started_at=5, step=step, finished=False, reason=reason)


def marker(folder: Path) -> dict:
    return json.loads((folder / "stalled").read_text())


@pytest.mark.parametrize("reached", [STARTING, BEGAN, STEPPED])
def test_a_signal_never_counts(tmp_path: Path, reached: tuple[int, ...]) -> None:
    for _ in range(5):
        left(tmp_path, "signal", reached)
        assert was_interrupted(tmp_path)
    for _ in range(5):
        start(tmp_path, reached).interrupted()
    start(tmp_path)


def test_a_disk_that_fills_up_before_the_end_is_noted_never_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no")

    for _ in range(5):
        one = start(tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr("compactbio.training.tries.write_json", full)
            one.end(started_at=5, step=5, finished=False, reason="error", error=NotSavedError("x"))
    start(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG])
def test_a_disk_that_cannot_be_written_never_counts(tmp_path: Path, code: int) -> None:
    full = OSError(code, "no")
    for error in (full, NotSavedError("x"), caused(NotSavedError("x"), full), caused(RuntimeError("y"), full)):
        for _ in range(3):
            failed(tmp_path, error)
    start(tmp_path)


def test_no_marker_is_left_empty_by_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    one = start(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(tries, "write_json", full)
        one.end(started_at=5, step=5, finished=False, reason="error", error=LossError("nan"))
    assert not (tmp_path / "stalled").exists()


def test_what_died_before_a_step_was_possible_never_counts(tmp_path: Path) -> None:
    for _ in range(6):
        killed(tmp_path, STARTING)
        killed(tmp_path, BEGAN)
        failed(tmp_path, RuntimeError("no such device"), STARTING)
    start(tmp_path)


def test_three_deaths_without_a_trace_after_steps_stall_and_say_what_is_not_known(tmp_path: Path) -> None:
    for _ in range(3):
        killed(tmp_path)
    with pytest.raises(UserError, match=r"3 tries from step 5 died while they trained.*Known: .*Not known: "):
        start(tmp_path)
    assert marker(tmp_path)["kind"] == DIED
    (tmp_path / "stalled").unlink()
    for _ in range(2):  # counted from the beginning
        killed(tmp_path)
    start(tmp_path)


def test_interruptions_between_deaths_change_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        killed(tmp_path)
        if not (tmp_path / "x").exists():
            left(tmp_path, "signal")
            (tmp_path / "x").touch()
    with pytest.raises(UserError, match="3 tries from step 5"):
        start(tmp_path)


def test_deaths_after_a_gain_do_not_add_up(tmp_path: Path) -> None:
    for step in (0, 0, 5, 5, 9, 9):
        killed(tmp_path, step=step)
    start(tmp_path, step=9)


@pytest.mark.parametrize(
    "error",
    [
        OutOfMemoryError("CUDA"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: x"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("Triton Error [CUDA]: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        behind(RuntimeError("operation failed due to a previous error during capture"), OutOfMemoryError("CUDA")),
        caused(UserError("no"), MemoryError()),
    ],
    ids=str,
)
@pytest.mark.parametrize("reached", [STARTING, BEGAN, STEPPED], ids=["starting", "began", "stepped"])
def test_two_lacks_of_memory_stall(tmp_path: Path, error: Exception, reached: tuple[int, ...]) -> None:
    failed(tmp_path, error, reached)
    failed(tmp_path, error, reached)
    with pytest.raises(
        UserError, match=r"2 tries from step 5 ran out of memory.*goes on by itself once.*rm '.*stalled'"
    ):
        start(tmp_path)


@pytest.mark.parametrize("holds", [6000, 3000])
def test_where_each_try_halves_its_positions_a_stall_waits_for_a_sixteenth(tmp_path: Path, holds: int) -> None:
    """A card on which 65,536 positions seem to fit, and so many do."""
    tried = []
    for _ in range(9):
        one = Tries(tmp_path, halves=True)
        try:
            one.begin(5)
        except UserError:
            break
        submissions = Submissions(tmp_path)
        submissions.begin(step=5, seconds=0.0)
        tried.append(submissions.fitting_tokens(device="H100", processes=1) or 65536)
        submissions.note(device="H100", micro_batches={"tokens": tried[-1], "automatic": True})
        short = tried[-1] > holds
        error = OutOfMemoryError("CUDA") if short else None
        one.end(started_at=5, step=5 if short else 9, finished=not short, reason="x", error=error)
        if not short:
            break
        submissions.note(out_of_memory=True)
    assert tried == [65536, 32768, 16384, 8192, 4096]
    assert (tmp_path / "stalled").exists() == (holds < 4096)


@pytest.mark.parametrize("reached", [STARTING, BEGAN])
def test_the_kernel_s_count_of_kills_names_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reached: tuple[int, ...]
) -> None:
    kills = iter(range(100))
    monkeypatch.setattr(circumstances, "_memory_kills", lambda _: next(kills))
    for _ in range(2):
        killed(tmp_path, reached)
    with pytest.raises(UserError, match="ran out of memory"):
        start(tmp_path)


def test_the_scheduler_s_word_names_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setattr(circumstances, "output_of", lambda *_, **__: "PREEMPTED\nOUT_OF_ME+\n")
    for _ in range(2):
        killed(tmp_path, BEGAN)
    with pytest.raises(UserError, match="ran out of memory"):
        start(tmp_path)


@pytest.mark.parametrize("word", ["CANCELLED+", "PREEMPTED", "NODE_FAIL"])
def test_what_the_scheduler_ended_never_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    monkeypatch.setattr(circumstances, "output_of", lambda *_, **__: f"{word}\n")
    for number in range(5):
        monkeypatch.setenv("SLURM_JOB_ID", str(number))
        killed(tmp_path)


def test_a_job_put_back_into_the_queue_never_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "17")
    monkeypatch.setattr(circumstances, "output_of", lambda *_, **__: "JobState=RUNNING")
    for number in range(5):
        monkeypatch.setenv("SLURM_RESTART_COUNT", str(number))
        killed(tmp_path)


@pytest.mark.parametrize("gone", [True, False])
def test_another_process_s_lack_of_memory_counts_although_a_signal_ended_the_main_one(tmp_path: Path, gone) -> None:
    for _ in range(2):
        one = start(tmp_path, BEGAN)
        tries.note_lack_of_memory(tmp_path, OutOfMemoryError("CUDA"))
        if gone:
            one._release()
        else:
            one.end(started_at=5, step=5, finished=False, reason="signal")
    with pytest.raises(UserError, match="ran out of memory"):
        start(tmp_path)


def test_what_two_processes_lack_at_the_same_time_counts_once(tmp_path: Path) -> None:
    failed(tmp_path, OutOfMemoryError("CUDA"), STARTING)
    tries.note_lack_of_memory(tmp_path, OutOfMemoryError("CUDA"))  # the other was a moment later
    start(tmp_path)


def test_two_deadlines_before_a_step_stall(tmp_path: Path) -> None:
    left(tmp_path, "deadline", STARTING, minutes=2.0)
    start(tmp_path, minutes=2.0).end(started_at=5, step=5, finished=False, reason="deadline")
    with pytest.raises(UserError, match=r"time limit \(2 minutes\).*allow more minutes"):
        start(tmp_path, minutes=2.0)
    start(tmp_path, minutes=3.0)
    assert not (tmp_path / "stalled").exists()


def test_deadlines_with_a_gain_do_not_stall(tmp_path: Path) -> None:
    for _ in range(3):
        left(tmp_path, "deadline", step=6)


def test_a_loss_that_cannot_be_used_stalls_at_once(tmp_path: Path) -> None:
    failed(tmp_path, LossError("the loss diverges"))
    with pytest.raises(UserError, match="the loss diverges"):
        start(tmp_path)
    assert marker(tmp_path)["kind"] == LOSS


@pytest.mark.parametrize(
    ("kind", "name", "then", "same", "gone"),
    [
        (DEADLINE, "minutes", 2.0, (2.0, 1.0), (3.0, 0.0)),
        (MEMORY, "memory_mb", 8000, (8000, 4000), (16000,)),
        (MEMORY, "gpu_memory_mb", 16000, (16000, 0), (40000,)),
        (MEMORY, "micro_batch_tokens", 8192, (8192, 16384), (4096,)),
        (MEMORY, "host", "a", ("b",), ()),
        (LOSS, "processes", 2, (2,), (1, 4)),
        (LOSS, "minutes", 2.0, (9.0,), ()),
        (DIED, "host", "a", ("a",), ("b",)),
        *((kind, "code", "a", ("a",), ("b",)) for kind in (DEADLINE, MEMORY, LOSS, DIED)),
    ],
)
def test_a_marker_holds_while_its_cause_does(kind, name, then, same, gone) -> None:
    stall = {"kind": kind, "reason": "", "step": 0, "facts": {name: then}}
    assert not any(what_changed(stall, {name: value}) for value in same)
    assert all(what_changed(stall, {name: value}) for value in gone)
    assert not what_changed(stall, {})  # what is not known has not changed


@pytest.mark.parametrize("kind", [MEMORY, DIED, LOSS])
def test_a_number_in_place_of_auto_may_take_a_cause_of_memory_away(kind) -> None:
    stall = {"kind": kind, "reason": "", "step": 0, "facts": {"host": "a"}}
    assert what_changed(stall, {"micro_batch_tokens": 2048}) == "micro_batch_tokens was auto and is 2048"
    assert not what_changed(stall | {"kind": DEADLINE}, {"micro_batch_tokens": 2048})


@pytest.mark.parametrize(
    "text", ["", "2 tries from step 0 were killed before their first checkpoint\n", "{", "[]", '{"kind": "other"}']
)
def test_a_marker_without_facts_is_removed(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "stalled").write_text(text)
    start(tmp_path)
    assert not (tmp_path / "stalled").exists()
    assert "names no facts" in caplog.text


@pytest.mark.parametrize("text", ["", '{"step": 5, "deaths": 2}', "{"])
def test_damaged_or_older_counts_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "tries.json").write_text(text)
    start(tmp_path)


def test_a_second_process_on_the_same_run_is_refused_and_told_of_the_first(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.setenv("SLURMD_NODENAME", "gpu7")
    first = Tries(tmp_path)
    first.begin(0)
    for _ in range(2):  # asking leaves what the holder wrote
        with pytest.raises(UserError, match=r"another process .*on gpu7, job 4711, process \d+, since \d{4}-"):
            Tries(tmp_path).begin(0)
    first.end(started_at=0, step=3, finished=False, reason="deadline")
    Tries(tmp_path).begin(3)


def test_a_gpu_that_another_process_has_alone_is_told_from_one_without_memory() -> None:
    taken = RuntimeError("CUDA error: CUDA-capable device(s) is/are busy or unavailable\nCUDA kernel errors might be")
    full = RuntimeError("CUDA error: out of memory")
    assert is_taken(taken) and is_taken(caused(UserError("x"), taken)) and not is_taken(full)
    assert lacks_memory(full) and not lacks_memory(taken)
