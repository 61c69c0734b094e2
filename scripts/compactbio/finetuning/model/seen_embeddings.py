"""Word embeddings cut to the pieces that training sees, for as long as it lasts.

A benchmark's training split holds a part of the vocabulary only: 6,481 of 30,522 pieces for NCBI-disease, 11,587 for
BC2GM. AdamW moves what has never had a gradient by weight decay alone, which is a product known beforehand: w becomes
w x (1 - rate x decay) in each step. So the table that is trained has the rows of seen pieces only, and neither
gradients, their norm, nor the optimizer's state and work are spent on the others. The result is that of training the
whole table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedModel

from compactbio.finetuning.features import Feature


class SeenEmbeddings:
    """A model's word embeddings while it trains: cut at once, whole again inside `whole` and after `restore`.

    `unseen_decay` is what a step (counted from 1) multiplies an embedding by that never had a gradient. It is None
    where the optimizer does something else with it: the whole table is trained then. `pad` is the padding piece's row.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        features: Sequence[Feature],
        pad: int,
        unseen_decay: Callable[[int], float] | None,
    ) -> None:
        self.model = model
        self.unseen_decay = unseen_decay or (lambda step: 1.0)
        self.table = _embeddings(model)
        seen = np.unique(np.concatenate([[pad], *(feature.ids for feature in features)]))
        if unseen_decay is None:
            seen = np.arange(self.table.num_embeddings)
        self.rows = torch.from_numpy(seen)
        self.places = np.full(self.table.num_embeddings, -1, dtype=np.int64)
        self.places[seen] = np.arange(len(seen))
        self.pad = int(self.places[pad])
        cut = nn.Embedding.from_pretrained(self.table.weight.detach()[self.rows], freeze=False)
        if self.table.padding_idx is not None:
            cut.padding_idx = int(self.places[self.table.padding_idx])
        model.set_input_embeddings(cut)

    def translate(self, features: Sequence[Feature]) -> list[Feature]:
        """Return features whose ids are rows of the cut table."""
        return [replace(feature, ids=self.places[feature.ids]) for feature in features]

    @contextmanager
    def whole(self, step: int) -> Iterator[None]:
        """Give the model the whole table as it is after a step, for a block that does not train."""
        cut = _embeddings(self.model)
        self.restore(step)
        try:
            yield
        finally:
            self.model.set_input_embeddings(cut)

    def restore(self, step: int) -> None:
        """Give the model the whole table as it is after a step, for good."""
        cut = _embeddings(self.model)
        kept = math.prod(map(self.unseen_decay, range(1, step + 1)))
        with torch.no_grad():
            weight = self.table.weight.to(cut.weight.device) * kept
            weight[self.rows] = cut.weight
        whole = nn.Embedding.from_pretrained(weight, freeze=False)
        whole.padding_idx = self.table.padding_idx
        self.model.set_input_embeddings(whole)


def _embeddings(model: PreTrainedModel) -> nn.Embedding:
    """Return a model's table of word embeddings."""
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    return table
