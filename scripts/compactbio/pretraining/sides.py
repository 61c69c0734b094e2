"""What a step of pre-training computes from one of its models: as much as the terms read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.kernels.attention_maps import Layout, Maps
from compactbio.pretraining.attention import StateCapture, install_attention
from compactbio.pretraining.flops import forward_cost
from compactbio.pretraining.hidden_states import HiddenStates
from compactbio.pretraining.last_layer import install_last_layer
from compactbio.terms.cost import Cost
from compactbio.terms.objective import Entry
from compactbio.terms.term import HIDDEN, LOGITS
from compactbio.training.dropout import replace_dropout

PACKED = ("position_ids", "lengths", "kernel", "boundaries", "longest")  # what a packed one gives beside its ids
MASKED = ("masked_positions", "masked_lengths", "masked_boundaries")  # for a last layer at these positions alone


@dataclass
class Outputs:
    """What one model gave for a micro-batch, as far as the terms need it."""

    logits: Tensor | None  # (m, vocabulary), which `layout.fill_vocabulary` may have filled up
    hidden: dict[int, Tensor]  # (b, length, hidden) by index, 0 = embeddings
    attention: dict[tuple[int, str], list[Tensor]]  # by (layer from 1, state): see `attention.StateCapture`
    maps: dict[int, Maps]  # by layer, in place of written maps
    layout: Layout | None


class Side:
    """A model with the choice of what is computed from it. No module: the teacher must stay unregistered."""

    def __init__(
        self,
        model: PreTrainedModel,
        objective: list[Entry],
        side: int,
        *,
        after_dropout: bool,
        max_length: int,
    ) -> None:
        self.model = model
        self.logits = any(LOGITS in entry.term.reads for entry in objective)
        wanted: dict[int, set[str]] = {}
        for entry in objective:
            for pair in entry.layers:
                wanted.setdefault(pair[side], set()).update(entry.term.reads)
        self.hidden = HiddenStates(model, {layer for layer, states in wanted.items() if HIDDEN in states})
        attention = {layer: states - {HIDDEN} for layer, states in wanted.items() if states != {HIDDEN}}
        self.reads_attention = bool(attention)
        self.last_at_masked = self.logits and model.config.num_hidden_layers not in wanted and install_last_layer(model)
        replace_dropout(model)
        self.capture: StateCapture = install_attention(model, attention, after_dropout=after_dropout)
        self.architecture = architecture_of(model)
        self.windowed = any(reach is not None for reach in self.architecture.reaches(model))
        self.position_ids = self.architecture.position_ids(model)
        self.borders = self.architecture.borders(model, max_length)

    def cost(self) -> Cost:
        """Return the arithmetic of a forward pass."""
        return forward_cost(self.model, head=self.logits, last_at_masked=self.last_at_masked)

    def run(self, tensors: dict[str, Any], layout: Layout | None = None) -> Outputs:
        """Return logits at the masked positions, hidden states and states of attention of a micro-batch.

        Args:
            layout: of the micro-batch, where kernels compare its maps.
        """
        self.capture.begin(layout)
        real = None if "kernel" in tensors else tensors.get("real_tokens")
        if real is not None and "real_rows" in tensors:
            real = real | ~real.any(-1, keepdim=True)  # softmax needs a key in rows of fill too
        packed = {name: tensors[name] for name in PACKED if name in tensors}
        masked = {name: tensors[name] for name in MASKED if name in tensors} if self.last_at_masked else {}
        if self.borders is not None:
            self.borders.positions = packed.get("position_ids")
        if packed:
            positions: Tensor | None = self.position_ids.packed(packed.pop("position_ids"))
        else:
            positions = self.position_ids.padded(tensors["input_ids"], tensors.get("real_tokens"))
        if packed and self.windowed:  # attention does not read it; without one, a window over the whole row is made
            real = torch.ones(1, 1, dtype=torch.bool, device=tensors["input_ids"].device)
        output = self.model.base_model(
            input_ids=tensors["input_ids"],
            position_ids=positions,
            **packed,
            **masked,
            # four dimensions: taken as it is, without a look at its values that would wait for the device
            attention_mask=None if real is None else real[:, None, None, :],
        )
        logits = None
        if self.logits:
            rows = output.last_hidden_state.flatten(0, 1)
            if not self.last_at_masked:
                rows = rows.index_select(0, tensors["masked_positions"])
            logits = self.architecture.mlm_logits(self.model, rows)
        hidden = self.hidden.take(output.last_hidden_state)
        return Outputs(logits, hidden, self.capture.states, self.capture.maps, layout)
