"""A model with a task's head that takes packed micro-batches besides padded ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.finetuning.packed.grouped_attention import ATTENTION


def first_tokens(tensors: dict[str, Any]) -> Tensor:
    """Return where the sequences of a packed micro-batch begin, int64; where its shape is fixed, (rows,)."""
    if "packing" in tensors:
        begins: Tensor = tensors["packing"].first_tokens
        return begins
    return tensors["boundaries"][: tensors["rows"]].long().clamp(max=tensors["input_ids"].shape[1] - 1)


def token_shares(tensors: dict[str, Any]) -> Tensor:
    """Return each token's share in the mean of its sequence, [sequences, tokens], of a packed micro-batch.

    Where its shape is fixed these are `rows` sequences; one that it has not has no tokens.
    """
    if "packing" in tensors:
        ends = torch.tensor(tensors["packing"].lengths).cumsum(0)
        begins = tensors["packing"].first_tokens
    else:
        begins, ends = (tensors["boundaries"][place : tensors["rows"] + place] for place in (0, 1))
    places = torch.arange(tensors["input_ids"].shape[1], device=ends.device)
    inside = (places >= begins[:, None]) & (places < ends[:, None])
    return inside / (ends - begins).clamp_min(1)[:, None]


class PackedModel:
    """What a model with a task's head needs to take packed micro-batches besides padded ones.

    Its attention is replaced; embeddings that see their neighbours' tokens are kept from the neighbours' sequences;
    where the head reads one state a sequence, the first token's or the mean of all, the encoder's output is cut down to
    these.
    """

    def __init__(self, model: PreTrainedModel, *, max_length: int, reads_one_state: bool) -> None:
        model.set_attn_implementation(ATTENTION)
        self.packed = False
        self.reads_one_state = reads_one_state
        self.architecture = architecture_of(model)
        self.position_ids = self.architecture.position_ids(model)
        self.borders = self.architecture.borders(model, max_length)
        self.reads_mean = self.architecture.pools_mean(model.config.to_dict())
        if reads_one_state:
            model.base_model.get_submodule(self.architecture.stack).register_forward_hook(self._keep_one_state)

    def expect(self, tensors: dict[str, Any]) -> dict[str, Any]:
        """Take note of the micro-batch that comes next; return what the model's call needs beside its inputs."""
        self.packed = "packing" in tensors or "kernel" in tensors
        if self.packed and self.reads_one_state:
            self.read = token_shares(tensors) if self.reads_mean else first_tokens(tensors)
        if self.borders is not None:
            self.borders.positions = tensors["position_ids"] if self.packed else None
        if not self.packed:
            return {}
        known = {name: tensors[name] for name in ("packing", "kernel", "boundaries", "longest") if name in tensors}
        return known | {"position_ids": self.position_ids.packed(tensors["position_ids"])}

    def _keep_one_state(self, module: nn.Module, arguments: tuple[Any, ...], output: Any) -> Any:
        """Give the head (sequences, 1, hidden) for a packed (1, tokens, hidden): a mean of one is itself."""
        if self.packed:
            states = output.last_hidden_state[0]
            if self.reads_mean:
                with torch.autocast(states.device.type, enabled=False):  # which would round shares and states
                    rows = self.read @ states.float()
            else:
                rows = states.index_select(0, self.read)
            output.last_hidden_state = rows[:, None]
        return output
