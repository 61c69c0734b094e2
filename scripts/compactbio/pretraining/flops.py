"""The floating-point operations of a pre-training step: what its model needs, whatever the program does besides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import nn
from transformers import PreTrainedModel

BACKWARD = 2.0  # times the forward pass: gradients of inputs and of weights, one matrix product each


@dataclass(frozen=True)
class Cost:
    """FLOPs (a multiplication and an addition are two) by what they are proportional to."""

    token: float = 0.0
    pair: float = 0.0  # of a query and a key of one sequence
    masked_row: float = 0.0  # a position that the language-model head sees

    def flops(self, lengths: np.ndarray, masked: int) -> float:
        """Return the FLOPs for sequences of these lengths with `masked` masked positions in all.

        Lengths are those of the real tokens: padding is a waste, which a utilisation must show, not count as work.
        """
        lengths = lengths.astype(np.int64)
        return self.token * float(lengths.sum()) + self.pair * float((lengths**2).sum()) + self.masked_row * masked

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.token + other.token, self.pair + other.pair, self.masked_row + other.masked_row)

    def times(self, factor: float) -> Cost:
        """Return the cost of doing it `factor` times."""
        return Cost(factor * self.token, factor * self.pair, factor * self.masked_row)


def forward_cost(model: PreTrainedModel, *, head: bool = True) -> Cost:
    """Return the cost of a forward pass of a masked language model (BERT, DistilBERT, MobileBERT).

    Every linear layer of the encoder sees each token once (MobileBERT's bottlenecks and stacked feed-forward networks
    are layers of their own), every other one is the head's. Attention multiplies queries with keys and weights with
    values: 4 x width for a pair in each layer. Normalisations, activations and softmax are not counted, as usual.

    Args:
        head: the head is run, on the masked positions.
    """
    config, encoder = model.config, set(model.base_model.modules())
    width = getattr(config, "true_hidden_size", config.hidden_size)  # MobileBERT attends inside its bottleneck
    linear = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    return Cost(
        token=sum(2.0 * layer.weight.numel() for layer in linear if layer in encoder),
        pair=4.0 * width * config.num_hidden_layers,
        masked_row=sum(2.0 * layer.weight.numel() for layer in linear if layer not in encoder) if head else 0.0,
    )


def step_cost(
    student: PreTrainedModel,
    teacher: PreTrainedModel | None = None,
    *,
    student_head: bool = True,
    teacher_head: bool = True,
    projection: nn.Linear | None = None,
    projected_layers: int = 0,
) -> Cost:
    """Return the cost of a training step: the student forward and backward, the teacher forward.

    Args:
        teacher: None where the objective needs none.
        student_head, teacher_head: some term compares logits (the teacher's).
        projection: the student's map to the teacher's hidden size, applied to `projected_layers` hidden states.
    """
    trained = forward_cost(student, head=student_head)
    if projection is not None:
        trained += Cost(token=2.0 * projection.weight.numel()).times(projected_layers)
    cost = trained.times(1.0 + BACKWARD)
    return cost if teacher is None else cost + forward_cost(teacher, head=teacher_head)
