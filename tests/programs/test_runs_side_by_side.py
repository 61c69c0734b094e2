"""Runs of a job side by side: the bits of one after the other, also after a signal and a death; how many fit."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from helpers.finetuning import re_rows, run_settings, write_dataset, write_model

from compactbio.errors import UserError
from compactbio.finetuning.runs import side_by_side, worker
from compactbio.finetuning.runs.execution import finetune
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.finetuning.runs.side_by_side import CONTEXT_BYTES, SHARE, Crew, Room, fitting_runs
from compactbio.provenance import read_provenance
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.deadlines import StopSignal
from compactbio.training.stalls import MEMORY
from compactbio.training.tries import Tries, read_tries

LABELS = ["no", "yes"]
NAMES = ["seed1", "seed2", "seed3"]


def test_they_have_the_bits_of_one_after_the_other_after_a_signal_and_a_death(tmp_path, monkeypatch):
    torch.set_num_threads(1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    model = write_model(tmp_path / "model", masked_lm=True)
    rows = {"train": re_rows(200, 1), "test": re_rows(20, 2)}
    task = write_dataset(tmp_path / "task", "re", rows, LABELS)
    runs = [{"run": name, "seed": number, "fold": 0} for number, name in enumerate(NAMES, start=1)]
    settings = run_settings("re", LABELS, epochs=6, runs=runs)  # long enough for a signal to come before their end

    def do(place: str, at_once: int, stop: StopSignal | None = None) -> bool:
        planned = plan_runs(settings, {}, tmp_path / place)
        return finetune(settings, model, task, planned, deadline=None, stop=stop, at_once=at_once)

    def finished(place: str) -> dict[str, list]:
        planned = plan_runs(settings, {}, tmp_path / place)
        done = [run for run in planned if run.is_finished()]
        return {run.name: pq.read_table(run.finished / "predictions.parquet").to_pylist() for run in done}

    def at_first_step(act):
        """Have the main process do something when it hears of a run's first step."""
        heard = Crew._hear

        def hear(crew, worker):
            before = worker.stepped
            heard(crew, worker)
            if worker.stepped and not before and worker.run is not None:
                act(worker)

        patch = pytest.MonkeyPatch()
        patch.setattr(Crew, "_hear", hear)
        return patch

    stop = StopSignal()
    patch = at_first_step(lambda worker: setattr(stop, "reason", "SIGTERM"))
    assert not do("apart", 2, stop)
    patch.undo()
    saved = [CheckpointFolder(run.folder).latest_step() for run in plan_runs(settings, {}, tmp_path / "apart")]
    assert max(saved) > 0 and saved[2] == 0 and not finished("apart")

    patch = at_first_step(lambda worker: worker.process.kill() if worker.run.name == "seed1" else None)
    with pytest.raises(UserError, match=r"run seed1: its process died \(exit code -9\)"):
        do("apart", 2)
    patch.undo()
    assert set(finished("apart")) == {"seed2", "seed3"}
    assert do("apart", 2)  # one is missing: done here
    assert do("in turn", 1)
    assert finished("apart") == finished("in turn")
    facts = [read_provenance(run.finished / "provenance.json") for run in plan_runs(settings, {}, tmp_path / "apart")]
    assert [(one["at_once"], one["precision"], one["deterministic"]) for one in facts] == [
        (1, "fp32", False),
        (2, "fp32", False),
        (2, "fp32", False),
    ]


def test_as_many_fit_as_memory_and_cores_take():
    room = Room(free=int(10e9), held=int(1.3e9), host=int(3e9))  # 2 GB each with their context: 4 beside the first
    assert SHARE * room.free / (room.held + CONTEXT_BYTES) == 4.0
    assert fitting_runs(room, runs=10, cores=16, memory_mb=None) == 5
    assert fitting_runs(room, runs=3, cores=16, memory_mb=None) == 3
    assert fitting_runs(room, runs=10, cores=4, memory_mb=None) == 4
    assert fitting_runs(room, runs=10, cores=16, memory_mb=10_000) == 3
    assert fitting_runs(Room(0, int(70e9), 1), runs=10, cores=16, memory_mb=1) == 1


class Script:
    """Workers that answer as they are told, in the place of processes."""

    def __init__(self, monkeypatch, answers, dead=()):
        self.dies_at = set(dead).__contains__  # (which worker, the run that it is given or "answer")
        self.asked, self.answers, self.started = [], answers, 0
        monkeypatch.setattr(Crew, "_start", lambda crew: self.start(crew))
        monkeypatch.setattr(side_by_side, "wait", lambda channels, timeout: channels[:1])

    def start(self, crew):
        script, number = self, self.started
        self.started += 1

        class Double:
            exitcode = -9

            def send(self, task):
                if script.dies_at((number, task.run)):
                    raise BrokenPipeError
                script.asked.append((task.run, task.at_once))
                self.pending = list(script.answers(task))

            def recv(self):
                if script.dies_at((number, "answer")):
                    raise EOFError
                return self.pending.pop(0)

            def close(self):
                pass

            terminate = join = close

        double = Double()
        crew.workers.append(side_by_side.Worker(double, double))
        return crew.workers[-1]


class Named(str):
    """A run as far as its name goes."""

    __slots__ = ()
    folder = Path("nowhere")

    @property
    def name(self):
        return str(self)


def crew_of(count: int, at_once: int | None) -> Crew:
    return Crew(None, [Named(number) for number in range(count)], None, at_once, None)


def test_the_first_measures_and_the_others_follow(monkeypatch):
    room = Room(free=int(3.9e9), held=int(0.8e9), host=1)  # two more
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    script = Script(monkeypatch, lambda task: [room, side_by_side.Outcome(True)])
    assert crew_of(5, None).finish()
    assert script.asked[0] == ("0", 1)
    assert [asked for asked in script.asked[1:]] == [(str(number), 3) for number in range(1, 5)]


def test_what_lacks_memory_beside_others_is_done_again_alone(monkeypatch):
    room = Room(0, 0, 1)

    def answers(task):
        short = task.run == "0" and task.at_once > 1
        return [room, side_by_side.Outcome(not short, "OutOfMemoryError: no" if short else "", short)]

    script = Script(monkeypatch, answers)
    assert crew_of(3, 2).finish()
    assert script.asked == [("0", 2), ("1", 2), ("2", 1), ("0", 1)]


def test_an_error_before_the_first_step_is_taken_for_that_of_all(monkeypatch):
    script = Script(monkeypatch, lambda task: [side_by_side.Outcome(False, "the labels are others")])
    with pytest.raises(UserError, match="run 0: the labels are others"):
        crew_of(3, None).finish()
    assert len(script.asked) == 1


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


def test_a_lack_of_memory_beside_others_counts_nowhere(monkeypatch, tmp_path):
    """Job after job, though each ends before the try alone does; what tries alone have counted stays."""
    monkeypatch.setattr(Named, "folder", property(lambda self: tmp_path / self))

    def short(folder):
        one = Tries(folder)
        one.refuse_if_stalled()
        one.begin(0)
        one.at_step(0)
        one.at_step(1)
        one.end(started_at=0, step=0, finished=False, reason="error", error=OutOfMemoryError("no"))
        return side_by_side.Outcome(False, "OutOfMemoryError: no", lacked_memory=True)

    def answers(task):
        if task.run == "0" and task.at_once > 1:
            return [short(task.run.folder)]
        return [side_by_side.Outcome(task.run != "0")]  # alone, the deadline comes

    script = Script(monkeypatch, answers)
    for _ in range(4):
        assert not crew_of(2, 2).finish()
        assert read_tries(tmp_path / "0") is None and not (tmp_path / "0" / "stalled").exists()
    assert script.asked == [("0", 2), ("1", 2), ("0", 1)] * 4
    short(tmp_path / "0")
    before = read_tries(tmp_path / "0")
    assert before["counts"] == {MEMORY: 1}
    assert not crew_of(2, 2).finish()  # where the second such try leaves the marker
    assert read_tries(tmp_path / "0") == before and not (tmp_path / "0" / "stalled").exists()


def test_a_gpu_that_takes_one_process_only_is_used_by_one(monkeypatch):
    def answers(task):
        taken = task.run in ("1", "2") and task.at_once > 1
        return [side_by_side.Outcome(not taken, "CUDA error: busy or unavailable" if taken else "", taken=taken)]

    script = Script(monkeypatch, answers)
    assert crew_of(4, 3).finish()
    assert script.asked == [("0", 3), ("1", 3), ("2", 3), ("3", 3), ("2", 1), ("1", 1)]
    assert script.started == 3  # the first has the GPU
    with pytest.raises(UserError, match="run 1: CUDA error"):  # others have it
        Script(monkeypatch, lambda task: [side_by_side.Outcome(False, "CUDA error", taken=True)])
        crew_of(2, 2).finish()


def test_another_process_is_started_for_one_that_died_idle(monkeypatch):
    script = Script(monkeypatch, lambda task: [side_by_side.Outcome(True)], dead=[(0, "1")])
    assert crew_of(3, 1).finish()
    assert script.asked == [("0", 1), ("1", 1), ("2", 1)] and script.started == 2


def test_a_process_that_dies_at_its_start_is_the_run_s_failure(monkeypatch):
    script = Script(monkeypatch, lambda task: [], dead=[(0, "0"), (0, "answer")])
    with pytest.raises(UserError, match=r"run 0: its process died \(exit code -9\)"):
        crew_of(3, 1).finish()
    assert script.started == 1


@pytest.mark.parametrize(("usable", "threads"), [(True, 1), (False, 2)])
def test_one_thread_is_enough_beside_a_gpu_that_torch_can_use(monkeypatch, usable, threads):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: usable)
    torch.set_num_threads(2)
    try:
        worker._leave_cores_to_others()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(1)
