"""Which tries leave the `stalled` marker, and what the next one says."""

from __future__ import annotations

import pytest

from compactbio.errors import UserError
from compactbio.training.tries import Tries


@pytest.mark.parametrize(
    ("end", "stalled"),
    [
        ({"started_at": 5, "step": 5, "finished": False, "reason": "deadline"}, "time limit"),
        ({"started_at": 5, "step": 5, "finished": False, "reason": "OutOfMemoryError: x"}, "OutOfMemory"),
        ({"started_at": 5, "step": 5, "finished": False, "reason": "signal"}, None),
        ({"started_at": 5, "step": 6, "finished": False, "reason": "deadline"}, None),
        ({"started_at": 5, "step": 5, "finished": True, "reason": "finished"}, None),
    ],
)
def test_only_a_try_without_gain_by_its_own_doing_stalls(tmp_path, end, stalled):
    tries = Tries(tmp_path)
    tries.begin(5)
    tries.end(**end)
    if stalled is None:
        tries.refuse_if_stalled()
    else:
        with pytest.raises(UserError, match=rf"{stalled}.*rm '.*stalled'"):
            Tries(tmp_path).refuse_if_stalled()
        (tmp_path / "stalled").unlink()
        Tries(tmp_path).begin(5)


def test_two_tries_that_died_without_a_word_from_one_step_stall(tmp_path):
    for _ in range(2):
        Tries(tmp_path).begin(5)
    with pytest.raises(UserError, match="killed before their first checkpoint"):
        Tries(tmp_path).begin(5)
    (tmp_path / "stalled").unlink()
    Tries(tmp_path).begin(5)


def test_deaths_after_a_gain_do_not_add_up(tmp_path):
    for step in (0, 0, 5, 5, 9, 9):
        Tries(tmp_path).begin(step)
    assert not (tmp_path / "stalled").exists()


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
