"""A model with a task's head that takes packed micro-batches besides padded ones."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.finetuning.packed.grouped_attention import ATTENTION
from compactbio.finetuning.packed.groups import Packing


class PackedModel:
    """What a model with a task's head needs to take packed micro-batches besides padded ones.

    Its attention is replaced; embeddings that see their neighbours' tokens are kept from the neighbours' sequences;
    where the head reads first tokens, the encoder's output is cut down to these.
    """

    def __init__(self, model: PreTrainedModel, *, max_length: int, reads_first_tokens: bool) -> None:
        model.set_attn_implementation(ATTENTION)
        self.packing: Packing | None = None
        self.architecture = architecture_of(model)
        self.borders = self.architecture.borders(model, max_length)
        if reads_first_tokens:
            model.base_model.get_submodule(self.architecture.stack).register_forward_hook(self._first_tokens)

    def expect(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Take note of the micro-batch that comes next; return what the model's call needs beside its inputs."""
        self.packing = tensors.get("packing")
        if self.borders is not None:
            self.borders.positions = None if self.packing is None else tensors["position_ids"]
        if self.packing is None:
            return {}
        return {"packing": self.packing, "position_ids": self.architecture.position_ids(tensors["position_ids"])}

    def _first_tokens(self, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        """Give the head (sequences, 1, hidden) for a packed (1, tokens, hidden)."""
        if self.packing is not None:
            rows = output.last_hidden_state[0].index_select(0, self.packing.first_tokens)
            output.last_hidden_state = rows[:, None]
        return output
