"""Masking proportions, order, split and micro-batches: functions of (seed, step, position) alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import pretraining as tiny

from compactbio.errors import UserError
from compactbio.pretraining.masking import Masking
from compactbio.pretraining.micro_batches import PretrainingBatches
from compactbio.pretraining.sampling import GlobalOrder, check_split, share_of_process
from compactbio.pretraining.shape_sizes import plan_shapes
from compactbio.training.cuts import padded_cuts


def masking(batch_size=8, max_length=tiny.MAX_LENGTH, seed=1, vocabulary=tiny.VOCABULARY):
    return Masking(
        fraction=0.15,
        vocabulary_size=vocabulary,
        special_ids=tiny.SPECIAL_IDS,
        batch_size=batch_size,
        max_length=max_length,
        seed=seed,
    )


def test_shares_are_those_of_the_paper():
    sequences, length, vocabulary = 2000, 100, 5000
    lengths = np.full(sequences, length)
    random = np.random.default_rng(0)
    joined = random.integers(5, vocabulary, sequences * length).astype(np.uint16)
    masked = masking(sequences, length, vocabulary=vocabulary).apply(1, np.arange(sequences), lengths, joined)
    share = masked.selected.mean()
    became = masked.inputs[masked.selected]
    was = joined[masked.selected]
    assert share == pytest.approx(0.15, abs=0.003)  # standard error 0.0008
    assert (became == 4).mean() == pytest.approx(0.8, abs=0.01)
    assert (became == was).mean() == pytest.approx(0.1, abs=0.01)
    random_share = ((became != 4) & (became != was)).mean()
    assert random_share == pytest.approx(0.1, abs=0.01)
    replaced = became[(became != 4) & (became != was)]
    assert replaced.min() < 100
    assert replaced.max() > vocabulary - 100
    assert (masked.inputs == joined)[~masked.selected].all()


@pytest.mark.parametrize("vocabulary", [120, 28_996, 65_535])
def test_random_tokens_are_drawn_as_ever(vocabulary):
    """The whole step by hand: NumPy's Philox of (seed, 1, step), a share of the vocabulary for each token."""
    lengths, random = np.array([24, 20, 9]), np.random.default_rng(3)
    joined = random.integers(0, vocabulary, lengths.sum()).astype(np.uint16)
    stream = np.random.Generator(np.random.Philox(np.random.SeedSequence([1, 1, 7])))
    choice, replacement = stream.random((2, 8, 24), dtype=np.float32)
    expected, chosen = joined.astype(np.int64), np.zeros(len(joined), bool)
    token = 0
    for row, length in zip((5, 0, 2), lengths, strict=True):
        for column in range(length):
            share = choice[row, column] / np.float32(0.15)
            chosen[token] = share < 1 and joined[token] > 4
            if chosen[token] and share < 0.8:
                expected[token] = 4
            elif chosen[token] and share < np.float64(0.8) + np.float64(0.1):
                expected[token] = int(np.float64(replacement[row, column]) * vocabulary)
            token += 1
    masked = masking(vocabulary=vocabulary).apply(7, np.array([5, 0, 2]), lengths, joined)
    assert (masked.inputs == expected).all() and (masked.selected == chosen).all()


def test_random_tokens_are_real_ones_of_large_vocabularies_too():
    vocabulary, unused = 250_002, range(5, 200_000)
    made = Masking(
        fraction=0.9,
        vocabulary_size=vocabulary,
        unused_ids=unused,
        special_ids=tiny.SPECIAL_IDS,
        batch_size=400,
        max_length=100,
        seed=1,
    )
    joined = np.full(40_000, 250_001, dtype=np.uint32)
    masked = made.apply(1, np.arange(400), np.full(400, 100), joined)
    drawn = masked.inputs[masked.selected & (masked.inputs != 4) & (masked.inputs != 250_001)]
    assert len(drawn) > 3000
    assert not np.isin(drawn, unused).any()
    real = drawn[drawn > 4]
    assert real.min() < 200_100 and 249_900 < real.max() < vocabulary
    assert np.unique(drawn).size > 3000  # of 50,007 real ones


def test_special_tokens_are_never_selected_and_unknown_is_one():
    lengths = np.array([20] * 8)
    joined = np.tile(np.arange(5, dtype=np.uint16), 32)
    for step in range(1, 50):
        assert not masking().apply(step, np.arange(8), lengths, joined).selected.any()


def test_masks_differ_by_step_seed_and_position_but_not_by_company():
    lengths = np.array([20] * 8)
    joined = np.full(160, 50, dtype=np.uint16)
    first = masking().apply(1, np.arange(8), lengths, joined).selected
    assert (first == masking().apply(1, np.arange(8), lengths, joined).selected).all()
    assert (first != masking().apply(2, np.arange(8), lengths, joined).selected).any()
    assert (first != masking(seed=2).apply(1, np.arange(8), lengths, joined).selected).any()
    assert len({row.tobytes() for row in first.reshape(8, 20)}) > 4
    alone = masking().apply(1, np.array([5]), lengths[:1], joined[:20])
    assert (alone.selected == first.reshape(8, 20)[5]).all()


def test_every_epoch_holds_every_sequence_once_in_another_order():
    order = GlobalOrder(sequences=10, batch_size=4, seed=3)
    stream = np.concatenate([order.batch(step) for step in range(1, 6)])
    assert sorted(stream[:10]) == sorted(stream[10:]) == list(range(10))
    assert stream[:10].tolist() != stream[10:].tolist()
    assert (GlobalOrder(10, 4, 3).batch(3) == stream[8:12]).all()
    assert (GlobalOrder(10, 25, 3).batch(1)[:10] == stream[:10]).all()


@pytest.mark.parametrize("processes", [1, 2, 4, 8])
def test_processes_share_a_batch_without_rest_and_evenly(processes):
    lengths = np.random.default_rng(0).integers(5, 25, 16)
    shares = [share_of_process(lengths, rank, processes) for rank in range(processes)]
    assert sorted(np.concatenate(shares)) == list(range(16))
    for share in shares:
        assert (np.diff(lengths[share]) <= 0).all()
    work = [lengths[share].sum() for share in shares]
    assert max(work) - min(work) <= 24


def test_an_impossible_split_names_the_divisors():
    check_split(192, 8)
    with pytest.raises(UserError, match=r"192 sequences cannot be split over 5 .* 1, 2, 3, 4, 6, 8, 12"):
        check_split(192, 5)


def test_micro_batches_hold_the_token_limit():
    lengths = np.array([24, 20, 20, 10, 9, 5])
    bounds = padded_cuts(lengths, tokens=48, max_length=24)
    assert bounds == [(0, 2), (2, 4), (4, 6)]
    assert padded_cuts(lengths, tokens=48, max_length=24, to_max_length=True) == [(0, 2), (2, 4), (4, 6)]
    assert padded_cuts(lengths, tokens=24, max_length=24) == [(0, 1), (1, 2), (2, 3), (3, 5), (5, 6)]
    assert padded_cuts(lengths[3:], tokens=30, max_length=24, border=1) == [(0, 2), (2, 3)]


def test_micro_batches_end_where_padding_would_be_a_waste():
    lengths = np.array([24, 23, 22, 12, 11, 11, 4, 4])
    options = {"tokens": 1000, "max_length": 24}
    assert padded_cuts(lengths, **options, enough_tokens=24) == [(0, 3), (3, 6), (6, 8)]
    assert padded_cuts(lengths, **options, enough_tokens=100) == [(0, 5), (5, 8)]
    assert padded_cuts(lengths, **options, enough_tokens=24, to_max_length=True) == [(0, 8)]


@pytest.mark.parametrize("layout", ["padded", "packed", "fixed"])
@pytest.mark.parametrize(("processes", "tokens"), [(1, 10_000), (2, 10_000), (4, 48), (1, 24)])
def test_a_step_is_the_same_whatever_the_split(tmp_path, processes, tokens, layout):
    """Every token, label and count of the global batch is there once, whoever computes it."""
    store = tiny.open_store(tmp_path / "store")

    sizes = {"max_length": tiny.MAX_LENGTH, "fraction": 0.15, "kernel": "unpacked"}

    def content(processes: int, tokens: int, layout: str):
        rows, counts = [], dict.fromkeys(("masked", "tokens", "sequences", "token_pairs", "key_rows"), 0.0)
        for rank in range(processes):
            batches = PretrainingBatches(
                store,
                masking(),
                micro_batch_tokens=tokens,
                packed=layout != "padded",
                fixed=plan_shapes([np.full(8, 20)], most_positions=tokens, **sizes) if layout == "fixed" else None,
                rank=rank,
                processes=processes,
            )
            for batch in batches(7):
                ids = batch.tensors["input_ids"]
                assert ids.numel() <= max(tokens, 64 if layout == "fixed" else tiny.MAX_LENGTH)
                labels = ids.new_full((ids.numel(),), -100)
                labels[batch.tensors["masked_positions"]] = batch.tensors["labels"]
                lengths = batch.tensors.get("lengths") or (ids != 0).sum(-1).tolist()
                if layout == "fixed":
                    assert batch.fixed
                    lengths = batch.tensors["boundaries"].diff().tolist()
                    lengths = lengths[: int(batch.counts["sequences"])]
                    ids = ids[:, : sum(lengths)]
                    labels = labels[: sum(lengths)]
                both = ids, labels.view_as(ids)
                if layout != "padded":
                    places = torch.cat([torch.arange(length) for length in lengths])
                    assert batch.tensors["position_ids"][:, : len(places)].equal(places[None])
                    both = tuple(part[0].split(lengths) for part in both)
                for row, targets, length in zip(*both, lengths, strict=True):
                    rows.append((tuple(row[:length].tolist()), tuple(targets[:length].tolist())))
                for name in counts:
                    counts[name] += batch.counts[name]
        return sorted(rows), counts

    rows, counts = content(processes, tokens, layout)
    assert (rows, counts) == content(1, 10_000, "padded")
    assert counts["masked"] == sum(label != -100 for _, labels in rows for label in labels)
    assert counts["tokens"] == sum(len(row) for row, _ in rows)
