"""The hidden states of a forward pass that terms read, kept by hooks on the layers.

transformers' own `output_hidden_states` takes a list as well, which named layers until 5.17 and states in 5.23; with a
mere yes it keeps the states of all layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of


class HiddenStates:
    """Keeps a model's hidden states, by index as transformers counts them: 0 is what the first layer reads."""

    def __init__(self, model: PreTrainedModel, wanted: Iterable[int]) -> None:
        layers = architecture_of(model).layers_of(model)
        self.wanted, self.depth = sorted(wanted), len(layers)
        self.kept: dict[int, Tensor] = {}
        for index, layer in enumerate(layers):
            if index in self.wanted:
                layer.register_forward_pre_hook(partial(self._keep, index), with_kwargs=True)

    def take(self, last_hidden_state: Tensor) -> dict[int, Tensor]:
        """Return the wanted states (b, length, hidden) of the pass that gave this last one, and let go of them."""
        kept, self.kept = self.kept, {}
        return {index: last_hidden_state if index == self.depth else kept[index] for index in self.wanted}

    def _keep(self, index: int, layer: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        """Keep what a layer reads."""
        self.kept[index] = arguments[0] if arguments else named["hidden_states"]
