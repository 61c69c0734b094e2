"""A model with a task's head that takes packed micro-batches besides padded ones."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from compactbio.finetuning.packed.grouped_attention import ATTENTION
from compactbio.finetuning.packed.groups import Packing
from compactbio.pretraining.packed_attention import TrigramBorders, sees_neighbours

ENCODERS = ("encoder", "transformer")  # BERT's and MobileBERT's name for the stack of layers, DistilBERT's


class PackedModel:
    """What a model with a task's head needs to take packed micro-batches besides padded ones.

    Its attention is replaced; MobileBERT's embeddings are kept from their neighbours' sequences; where the head reads
    first tokens (re), the encoder's output is cut down to these.
    """

    def __init__(self, model: PreTrainedModel, *, max_length: int, reads_first_tokens: bool) -> None:
        model.set_attn_implementation(ATTENTION)
        self.packing: Packing | None = None
        self.borders = TrigramBorders(model, max_length) if sees_neighbours(model) else None
        if reads_first_tokens:
            base = model.base_model
            encoder = next(getattr(base, name) for name in ENCODERS if hasattr(base, name))
            encoder.register_forward_hook(self._first_tokens)

    def expect(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Take note of the micro-batch that comes next; return what the model's call needs beside its inputs."""
        self.packing = tensors.get("packing")
        if self.borders is not None:
            self.borders.positions = None if self.packing is None else tensors["position_ids"]
        return {} if self.packing is None else {"packing": self.packing}

    def _first_tokens(self, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        """Give the head (sequences, 1, hidden) for a packed (1, tokens, hidden)."""
        if self.packing is not None:
            rows = output.last_hidden_state[0].index_select(0, self.packing.first_tokens)
            output.last_hidden_state = rows[:, None]
        return output
