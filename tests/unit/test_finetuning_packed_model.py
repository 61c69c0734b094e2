"""A model that takes packed micro-batches besides padded ones: ModernBERT's windows and its mean of states."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from helpers.finetuning import VOCABULARY, write_model

from compactbio.finetuning.model.task_model import load_task_model
from compactbio.finetuning.packed import grouped_attention
from compactbio.finetuning.packed.groups import pack
from compactbio.finetuning.packed.packed_model import PackedModel

torch.set_num_threads(1)

LENGTHS = (7, 12, 30)


@pytest.fixture
def models(tmp_path):
    """One of transformers as it is, and one with the same weights that takes packed micro-batches."""
    folder = write_model(tmp_path / "model", architecture="modernbert")
    plain, ours = (load_task_model(folder, "re", ["0", "1"], seed=5).eval() for _ in range(2))
    return plain, ours, PackedModel(ours, max_length=64, reads_one_state=True)


def sequences():
    draw = torch.Generator().manual_seed(1)
    return [torch.randint(5, len(VOCABULARY), (1, length), generator=draw) for length in LENGTHS]


def packed_inputs():
    places = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    return {"input_ids": torch.cat(sequences(), 1), "position_ids": places, "packing": pack(LENGTHS, 2)}


def test_no_mask_is_made_of_a_packed_micro_batch_and_each_sequence_has_its_windows(models, monkeypatch):
    plain, ours, packed = models
    monkeypatch.setattr(grouped_attention, "sdpa_mask", lambda *_, **__: 1 / 0)
    tensors = packed_inputs()
    found = ours(input_ids=tensors["input_ids"], **packed.expect(tensors)).logits
    expected = torch.cat([plain(input_ids=one, attention_mask=torch.ones_like(one)).logits for one in sequences()])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [True, False])
def test_padded_micro_batches_keep_mask_and_windows(models, masked):
    plain, ours, packed = models
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    ids = torch.zeros(mask.shape, dtype=torch.int64).masked_scatter(mask, torch.cat(sequences(), 1))
    inputs = {"input_ids": ids} | ({"attention_mask": mask.long()} if masked else {})
    assert packed.expect(inputs) == {}
    torch.testing.assert_close(ours(**inputs).logits, plain(**inputs).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_mean_of_a_sequence_is_not_rounded_under_autocast(models, dtype):
    _, _, packed = models
    tensors = packed_inputs()
    packed.expect(tensors)
    states = torch.randn(1, sum(LENGTHS), 32, generator=torch.Generator().manual_seed(2)).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        found = packed._keep_one_state(torch.nn.Identity(), (), SimpleNamespace(last_hidden_state=states))
    expected = torch.cat([part.double().mean(1) for part in states.split(LENGTHS, 1)])
    torch.testing.assert_close(found.last_hidden_state[:, 0].double(), expected, rtol=1e-5, atol=1e-6)
