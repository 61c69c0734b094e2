"""The floating-point operations of a pre-training step: what its model needs, whatever the program does besides."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np
from torch import nn
from transformers import PreTrainedModel

from compactbio.pretraining.last_layer import find_last_layer

BACKWARD = 2.0  # times the forward pass: gradients of inputs and of weights, one matrix product each


@dataclass(frozen=True)
class Cost:
    """FLOPs (a multiplication and an addition are two) by what they are proportional to."""

    token: float = 0.0
    pair: float = 0.0  # of a query and a key of one sequence
    masked_row: float = 0.0  # a masked position, which the language-model head sees
    masked_pair: float = 0.0  # of a masked position's query and a key of its sequence

    def flops(self, lengths: np.ndarray, masked: np.ndarray) -> float:
        """Return the FLOPs for sequences of these lengths with these numbers of masked positions.

        Lengths are those of the real tokens: padding is a waste, which a utilisation must show, not count as work.
        """
        lengths, masked = lengths.astype(np.int64), masked.astype(np.int64)
        return (
            self.token * float(lengths.sum())
            + self.pair * float((lengths**2).sum())
            + self.masked_row * float(masked.sum())
            + self.masked_pair * float((masked * lengths).sum())
        )

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(mine + theirs for mine, theirs in zip(astuple(self), astuple(other), strict=True)))

    def times(self, factor: float) -> Cost:
        """Return the cost of doing it `factor` times."""
        return Cost(*(factor * value for value in astuple(self)))


def forward_cost(model: PreTrainedModel, *, head: bool = True, last_at_masked: bool = False) -> Cost:
    """Return the cost of a forward pass of a masked language model (BERT, DistilBERT, MobileBERT).

    Every linear layer of the encoder sees each token once (MobileBERT's bottlenecks and stacked feed-forward networks
    are layers of their own), every other one is the head's. Attention multiplies queries with keys and weights with
    values: 4 x width for a pair in each layer. Normalisations, activations and softmax are not counted, as usual.

    Args:
        head: the head is run, on the masked positions.
        last_at_masked: the last layer too is run on them alone, as `last_layer` does.
    """
    config, encoder = model.config, set(model.base_model.modules())
    width = getattr(config, "true_hidden_size", config.hidden_size)  # MobileBERT attends inside its bottleneck
    linear = {layer for layer in model.modules() if isinstance(layer, nn.Linear)}
    everywhere, of_head = linear & encoder, linear - encoder
    last = find_last_layer(model) if last_at_masked else None
    narrow = set() if last is None else set(last.linear_at_masked())
    narrow_layers = 0 if last is None else 1
    return Cost(
        token=_linear_flops(everywhere - narrow),
        pair=4.0 * width * (config.num_hidden_layers - narrow_layers),
        masked_row=_linear_flops(narrow) + (_linear_flops(of_head) if head else 0.0),
        masked_pair=4.0 * width * narrow_layers,
    )


def _linear_flops(layers: set[nn.Module]) -> float:
    """Return the FLOPs of linear layers for one token."""
    return sum(2.0 * layer.weight.numel() for layer in layers)


def step_cost(
    student: Cost, teacher: Cost | None = None, *, projection: nn.Linear | None = None, projected_layers: int = 0
) -> Cost:
    """Return the cost of a training step: the student forward and backward, the teacher forward.

    Args:
        student, teacher: of a forward pass; no teacher where the objective needs none.
        projection: the student's map to the teacher's hidden size, applied to `projected_layers` hidden states.
    """
    if projection is not None:
        student += Cost(token=2.0 * projection.weight.numel()).times(projected_layers)
    cost = student.times(1.0 + BACKWARD)
    return cost if teacher is None else cost + teacher
