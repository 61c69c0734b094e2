"""How many positions fit: from two small passes to a trial, without a GPU by passes whose memory is a formula."""

from __future__ import annotations

import pytest
import torch
from helpers import pretraining as tiny

from compactbio.pretraining.layout import full_micro_batch
from compactbio.pretraining.masking import Masking
from compactbio.pretraining.memory_probe import fitting_positions
from compactbio.training.submissions import Submissions

GB = 1e9


class Memory:
    """A device whose passes take so much memory; what is beyond all of it ends them."""

    def __init__(self, of, capacity=80 * GB):
        self.of, self.capacity = of, capacity
        self.tried = []

    def __call__(self, positions):
        self.tried.append(positions)
        if self.of(positions) > self.capacity:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.of(positions)


@pytest.mark.parametrize("a_position", [5e4, 5e5, 5e6])
def test_what_fits_is_found_in_three_passes_where_memory_grows_evenly(a_position):
    memory = Memory(lambda positions: 2 * GB + a_position * positions)
    fits = fitting_positions(memory, smallest=4096, largest=10**6, budget=60 * GB)
    assert 0.98 * 60 * GB < memory.of(fits) <= 60 * GB or fits == 10**6
    assert len(memory.tried) == 3


def test_no_more_than_is_of_use():
    memory = Memory(lambda positions: 1e5 * positions)
    assert fitting_positions(memory, smallest=4096, largest=40_000, budget=60 * GB) == 40_000
    assert fitting_positions(memory, smallest=4096, largest=2_000, budget=60 * GB) == 2_000


def test_memory_that_grows_faster_is_seen_by_trials():
    memory = Memory(lambda positions: 1e5 * positions + 3.0 * positions**2)
    fits = fitting_positions(memory, smallest=4096, largest=10**6, budget=60 * GB)
    assert memory.of(fits) <= 60 * GB < memory.of(1.3 * fits)
    assert any(memory.of(one) > memory.capacity for one in memory.tried)  # one trial ran out


def test_too_little_for_the_first_pass_is_an_error_and_for_the_second_is_not():
    with pytest.raises(torch.OutOfMemoryError):
        fitting_positions(Memory(lambda positions: 100 * GB), smallest=4096, largest=10**6, budget=60 * GB)
    memory = Memory(lambda positions: 15e6 * positions)
    assert fitting_positions(memory, smallest=4096, largest=10**6, budget=60 * GB) == 4096


@pytest.mark.parametrize("kernel", ["masked", None])
def test_a_full_micro_batch_is_as_large_as_it_says(tmp_path, kernel):
    store = tiny.open_store(tmp_path / "store")
    masking = Masking(
        fraction=0.15,
        vocabulary_size=tiny.VOCABULARY,
        special_ids=tiny.SPECIAL_IDS,
        batch_size=8,
        max_length=tiny.MAX_LENGTH,
        seed=1,
    )
    batch = full_micro_batch(192, kernel=kernel, store=store, masking=masking)
    assert batch.tensors["input_ids"].numel() == 192
    assert batch.counts["tokens"] > 0.8 * 192
    assert batch.counts["masked"] > 0


def test_a_later_start_on_such_devices_takes_what_was_found(tmp_path):
    submissions = Submissions(tmp_path)
    found = {"device": "H100", "micro_batches": {"tokens": 40_000, "automatic": True}}
    assert submissions.fitting_tokens(device="H100", processes=1) is None
    submissions.begin(step=0, seconds=0.0)
    submissions.note(**found)
    assert submissions.newest_tokens() == 40_000
    again = Submissions(tmp_path)
    again.begin(step=0, seconds=0.0)
    assert again.newest_tokens() is None
    assert again.fitting_tokens(device="H100", processes=1) == 40_000
    assert again.fitting_tokens(device="V100", processes=1) is None
    assert again.fitting_tokens(device="H100", processes=2) is None
    again.note(**found, out_of_memory=True)
    assert again.fitting_tokens(device="H100", processes=1) == 20_000
    again.begin(step=0, seconds=0.0)
    again.note(device="H100", micro_batches={"tokens": 512, "automatic": False})
    assert again.fitting_tokens(device="H100", processes=1) == 20_000
