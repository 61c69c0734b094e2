"""Sequences a second that reach a training step: our token stores and masking, against datasets and its collator."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compactbio.benchmarks.cases import CASED
from compactbio.benchmarks.random_tokens import SEED, SPECIAL_IDS, draw_lengths, write_store
from compactbio.benchmarks.steps import MASKED_FRACTION, masking_of
from compactbio.corpus.tokens import TokenStore
from compactbio.pretraining.micro_batches import PretrainingBatches

SEQUENCES, BATCH_SIZE = 20_000, 192
COLUMNS = ("hardware", "case", "reference_sequences_per_second", "ours_sequences_per_second", "ratio")


def measure_input(rounds: int) -> list[dict[str, Any]]:
    """Return rows of `COLUMNS` (without hardware): one core, batches of 192, packed and padded.

    The reference is what a Trainer reads: a `datasets.Dataset` of ids on disk, and DataCollatorForLanguageModeling.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder) / "store", draw_lengths(SEQUENCES, SEED), CASED)
        ours = partial(PretrainingBatches, store, masking_of(store, BATCH_SIZE), micro_batch_tokens=16384)
        sides = {"reference": _collated(store, Path(folder) / "dataset")}
        sides |= {"packed": ours(packed=True), "padded": ours(packed=False)}
        taken: dict[str, list[float]] = {name: [] for name in sides}
        for batch in range(1, rounds + 2):  # the first is a warm-up
            for name, make in sides.items():
                started = time.perf_counter()
                make(batch)
                taken[name].append(time.perf_counter() - started)
    rate = {name: BATCH_SIZE / statistics.median(seconds[1:]) for name, seconds in taken.items()}
    return [
        {
            "case": f"input_{name}",
            "reference_sequences_per_second": round(rate["reference"]),
            "ours_sequences_per_second": round(rate[name]),
            "ratio": f"{rate[name] / rate['reference']:.1f}",
        }
        for name in ("packed", "padded")
    ]


def _collated(store: TokenStore, folder: Path) -> Callable[[int], Any]:
    """Return the function that reads and collates a random batch the usual way."""
    from datasets import Dataset, load_from_disk
    from transformers import DataCollatorForLanguageModeling

    from compactbio.students.tokenizers import tokenizer_of_vocabulary

    names = {f"[{name.upper()}]": number for name, number in SPECIAL_IDS.items()}
    vocabulary = names | {f"w{number}": number for number in range(len(names), CASED)}
    collator = DataCollatorForLanguageModeling(
        tokenizer_of_vocabulary(vocabulary, lower_case=False), mlm_probability=MASKED_FRACTION
    )
    Dataset.from_dict({"input_ids": [ids.tolist() for ids in store.gather(np.arange(len(store)))]}).save_to_disk(folder)
    dataset = load_from_disk(folder)
    random = np.random.default_rng(SEED)

    def make(batch: int) -> Any:
        rows = dataset[random.choice(len(dataset), BATCH_SIZE, replace=False)]
        return collator([{"input_ids": ids} for ids in rows["input_ids"]])

    return make
