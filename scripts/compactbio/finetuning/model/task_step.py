"""A model with a task's head as the training loop takes it: the loss as a share of the whole batch's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.finetuning.kinds import task_kind
from compactbio.finetuning.packed.packed_model import PackedModel
from compactbio.kinds import kind_of
from compactbio.training.interface import StepModule

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class TaskStep(StepModule):
    """A transformers model with a task's head, and its loss: the kind's sum / the count that its record names.

    That denominator is the count over the whole batch, not the micro-batch; with weights of the classes each label
    counts by its class's, above and below the line.
    """

    model: PreTrainedModel
    class_weights: Tensor | None

    def __init__(
        self,
        model: PreTrainedModel,
        task: str,
        class_weights: np.ndarray | None = None,
        quirks: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.architecture = architecture_of(model)
        self.position_ids = self.architecture.position_ids(model)
        self.record, self.kind = kind_of(task), task_kind(task, quirks)
        weights = None if class_weights is None else torch.from_numpy(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.packed_model: PackedModel | None = None

    def take_packed(self, max_length: int) -> None:
        """Make the model take packed micro-batches, of sequences of at most `max_length`, besides padded ones."""
        self.packed_model = PackedModel(
            self.model, max_length=max_length, reads_one_state=self.record.reads_first_token
        )

    @property
    def token_types(self) -> bool:
        """Whether the model takes token types."""
        return self.architecture.token_types

    def forward(self, tensors: dict[str, Any], denominators: Mapping[str, float | Tensor]) -> Tensor:
        """Return this micro-batch's share of the batch's loss."""
        logits = self.logits(tensors).float()
        loss = self.kind.summed_loss(logits, tensors, self.class_weights) / denominators[self.record.denominator]
        self.last_terms = {self.record.name: loss.detach()}
        return loss

    def logits(self, tensors: dict[str, Any]) -> Tensor:
        """Return the head's output, as `TaskKind.logits` describes it."""
        options = {} if self.packed_model is None else self.packed_model.expect(tensors)
        if not options:
            positions = self.position_ids.padded(tensors["input_ids"], tensors["attention_mask"].bool())
            options = {} if positions is None else {"position_ids": positions}
        output = self.model(**{name: tensors[name] for name in MODEL_INPUTS if name in tensors}, **options)
        return self.kind.logits(output)
