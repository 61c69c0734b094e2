"""How many positions fit: from two small passes to a trial, without a GPU by passes whose memory is a formula."""

from __future__ import annotations

import copy
import weakref
from types import SimpleNamespace

import pytest
import torch
from helpers import pretraining as tiny
from helpers.memory_errors import MEMORY_ERRORS
from helpers.objectives import distillation

from compactbio.pretraining import layout
from compactbio.pretraining.layout import full_micro_batch
from compactbio.pretraining.memory_probe import fitting_positions, probe_positions
from compactbio.training.processes import start_accelerator
from compactbio.training.submissions import Submissions

GB = 1e9


class Memory:
    """A device whose passes take so much memory; what is beyond all of it ends them."""

    def __init__(self, of, capacity=80 * GB, error=None):
        self.of, self.capacity = of, capacity
        self.error = error or torch.OutOfMemoryError("CUDA out of memory")
        self.tried = []

    def __call__(self, positions):
        self.tried.append(positions)
        if self.of(positions) > self.capacity:
            raise self.error
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


@MEMORY_ERRORS
def test_memory_that_grows_faster_is_seen_by_trials(error):
    memory = Memory(lambda positions: 1e5 * positions + 3.0 * positions**2, error=error)
    fits = fitting_positions(memory, smallest=4096, largest=10**6, budget=60 * GB)
    assert memory.of(fits) <= 60 * GB < memory.of(1.3 * fits)
    assert any(memory.of(one) > memory.capacity for one in memory.tried)  # one trial ran out


def test_an_error_that_is_not_of_memory_ends_the_probe():
    memory = Memory(lambda positions: 15e6 * positions, error=RuntimeError("CUDA error: an illegal memory access"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        fitting_positions(memory, smallest=4096, largest=10**6, budget=60 * GB)


def test_what_a_pass_held_is_free_before_its_memory_is_given_back(monkeypatch):
    held, alive = [], []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.append(held[-1]() is not None))

    def peak_of(positions):
        activations = torch.zeros(8)
        held.append(weakref.ref(activations))
        if positions > 8192:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return 1e5 * positions

    assert fitting_positions(peak_of, smallest=4096, largest=10**6, budget=60 * GB) == 8192
    assert alive and not any(alive)


def test_too_little_for_the_first_pass_is_an_error_and_for_the_second_is_not():
    with pytest.raises(torch.OutOfMemoryError):
        fitting_positions(Memory(lambda positions: 100 * GB), smallest=4096, largest=10**6, budget=60 * GB)
    memory = Memory(lambda positions: 15e6 * positions)
    assert fitting_positions(memory, smallest=4096, largest=10**6, budget=60 * GB) == 4096


@pytest.mark.parametrize("kernel", ["unpacked", None])
def test_a_full_micro_batch_is_as_large_as_it_says(tmp_path, kernel):
    store = tiny.open_store(tmp_path / "store")
    batch = full_micro_batch(192, 8, kernel=kernel, store=store, masking=tiny.masking())
    assert batch.tensors["input_ids"].numel() == 192
    assert batch.counts["tokens"] > 0.8 * 192
    assert batch.counts["masked"] > 0


def test_a_later_start_on_such_devices_takes_what_was_found(tmp_path):
    submissions = Submissions(tmp_path)
    found = {"device": "H100", "micro_batches": {"tokens": 40_000, "automatic": True}}
    assert submissions.fitting_tokens(device="H100", processes=1) is None
    submissions.begin(step=0, seconds=0.0)
    submissions.note(**found)
    again = Submissions(tmp_path)
    again.begin(step=0, seconds=0.0)
    assert again.fitting_tokens(device="H100", processes=1) == 40_000
    assert again.fitting_tokens(device="V100", processes=1) is None
    assert again.fitting_tokens(device="H100", processes=2) is None
    again.note(**found, out_of_memory=True)
    assert again.fitting_tokens(device="H100", processes=1) == 20_000
    again.begin(step=0, seconds=0.0)
    again.note(device="H100", micro_batches={"tokens": 512, "automatic": False})
    assert again.fitting_tokens(device="H100", processes=1) == 20_000


@pytest.mark.parametrize("lacked", [True, False])
def test_a_start_that_another_process_s_lack_of_memory_killed_halves_the_next_one_s(tmp_path, lacked):
    first = Submissions(tmp_path)
    first.begin(step=0, seconds=0.0)
    first.note(device="H100", micro_batches={"tokens": 40_000, "automatic": True})
    second = Submissions(tmp_path)
    second.begin(step=0, seconds=0.0, lacked_memory=lacked)
    assert second.fitting_tokens(device="H100", processes=1) == (20_000 if lacked else 40_000)
    second.end(step=0, seconds=0.0, reason="signal")
    third = Submissions(tmp_path)
    third.begin(step=0, seconds=0.0, lacked_memory=True)  # no start was killed
    assert "out_of_memory" not in third.all[1]


def test_a_probe_leaves_weights_gradients_and_random_numbers_alone(tmp_path, monkeypatch):
    """Its passes are those of a training; what a GPU would say of its memory is a formula of their positions."""
    store = tiny.open_store(tmp_path / "store")
    module = distillation(tiny.bert(dropout=0.1, seed=2), tiny.bert(layers=4, seed=1), tiny.DISTIL, tiny.SOUND)
    accelerator = start_accelerator()
    made = []
    for name, value in {
        "reset_peak_memory_stats": lambda device: None,
        "synchronize": lambda device: None,
        "empty_cache": lambda: None,
        "mem_get_info": lambda device: (1_000_000, 1_000_000),
        "memory_reserved": lambda device: 0,
        "max_memory_allocated": lambda device: 100 * made[-1],
    }.items():
        monkeypatch.setattr(torch.cuda, name, value)

    def make(positions):
        made.append(positions)
        return full_micro_batch(positions, positions // 24, kernel="unpacked", store=store, masking=tiny.masking())

    before = copy.deepcopy(module.state_dict())
    torch.manual_seed(3)
    weights = 4 * sum(value.numel() for value in module.parameters())
    fits = probe_positions(make, module, accelerator, max_length=tiny.MAX_LENGTH, largest=10**6)
    assert torch.rand(1) == torch.rand(1, generator=torch.Generator().manual_seed(3))
    assert fits == int((0.85 * 1_000_000 - 3 * weights) / 100)
    assert made == [384, 768, fits]
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())
    assert all(value.grad is None for value in module.parameters())


def test_on_a_gpu_shape_and_size_follow_from_memory_and_corpus(tmp_path, monkeypatch):
    store = tiny.open_store(tmp_path / "store")
    module = distillation(tiny.bert(), None, tiny.MLM, tiny.SOUND)
    accelerator = SimpleNamespace(device=torch.device("cuda"), num_processes=1, process_index=0, mixed_precision="bf16")
    monkeypatch.setattr(layout, "packed_layout", lambda device, **options: "flash")
    monkeypatch.setattr(layout, "fuse_blocks", lambda *_: False)
    monkeypatch.setattr(layout, "logit_refusal", lambda *_, **__: "no compiler")
    for fits in (10**6, 96):
        monkeypatch.setattr(layout, "probe_positions", lambda *arguments, fits=fits, **options: fits)
        record = layout.batches_of(store, tiny.masking(), module, accelerator, None).record()
        assert (record["layout"], record["kernel"], record["tokens"]) == ("fixed", "flash", fits)
        assert max(one["positions"] for one in record["shapes"]) <= min(fits, 8 * tiny.MAX_LENGTH + 64)
    told = layout.batches_of(store, tiny.masking(), module, accelerator, 64)
    assert told.record()["shapes"][0]["positions"] == 64
    assert told.examples()[0].tensors["input_ids"].shape == (1, 64)
    batches = [batch for step in (1, 2, 3) for batch in told(step)]
    sizes = {(1, one["positions"]) for one in told.record()["shapes"]}
    assert {tuple(batch.tensors["input_ids"].shape) for batch in batches} <= sizes
    assert sum(batch.counts["sequences"] for batch in batches) == 24
