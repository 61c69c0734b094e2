"""The loss of each kind of task as a share of the whole batch's, for the training loop."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from compactbio.architectures import architecture_of
from compactbio.finetuning.features import IGNORED
from compactbio.finetuning.packed.packed_model import PackedModel
from compactbio.training.interface import StepModule

DENOMINATOR = {"ner": "pieces", "re": "examples", "qa": "windows"}
MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class TaskStep(StepModule):
    """A transformers model with a task's head, and its cross-entropy.

    ner: sum over labelled pieces / pieces; re: sum over sentences / examples; qa: mean of the start's and the
    end's sum over windows / windows. A denominator is the count over the whole batch, not the micro-batch; with
    weights of the classes (ner, re) each piece or sentence counts by its class's, above and below the line.
    """

    def __init__(self, model: nn.Module, task: str, class_weights: np.ndarray | None = None) -> None:
        super().__init__()
        self.model = model
        self.task = task
        weights = None if class_weights is None else torch.from_numpy(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.packed_model: PackedModel | None = None

    def take_packed(self, max_length: int) -> None:
        """Make the model take packed micro-batches, of sequences of at most `max_length`, besides padded ones."""
        self.packed_model = PackedModel(self.model, max_length=max_length, reads_first_tokens=self.task == "re")

    @property
    def token_types(self) -> bool:
        """Whether the model takes token types."""
        return architecture_of(self.model).token_types

    def forward(self, tensors: dict[str, Any], denominators: dict[str, float]) -> Tensor:
        """Return this micro-batch's share of the batch's loss."""
        logits = self.logits(tensors)
        loss = summed_loss(self.task, logits, tensors, self.class_weights) / denominators[DENOMINATOR[self.task]]
        self.last_terms = {self.task: loss.detach()}
        return loss

    def logits(self, tensors: dict[str, Any]) -> Tensor:
        """Return the head's output: ner [batch, length, labels], re [batch, labels], qa [batch, length, 2].

        Of a packed micro-batch ner [1, pieces, labels], re [sequences, labels], qa [1, pieces, 2].
        """
        packing = {} if self.packed_model is None else self.packed_model.expect(tensors)
        output = self.model(**{name: tensors[name] for name in MODEL_INPUTS if name in tensors}, **packing)
        if self.task == "qa":
            return torch.stack([output.start_logits, output.end_logits], dim=-1)
        return output.logits


def summed_loss(task: str, logits: Tensor, tensors: dict[str, Any], class_weights: Tensor | None = None) -> Tensor:
    """Return the sum of the cross-entropies of a micro-batch, in float32."""
    logits = logits.float()
    if task == "qa":
        # padding takes part in the reference's softmax; it is masked here, so that padding changes no number
        lowest = torch.finfo(torch.float32).min
        if "packing" in tensors:
            windows = logits[0].split(tensors["packing"].lengths)
            logits = nn.utils.rnn.pad_sequence(windows, batch_first=True, padding_value=lowest)
        else:
            logits = logits.masked_fill(~tensors["attention_mask"].bool()[..., None], lowest)
        start = F.cross_entropy(logits[..., 0], tensors["start"], reduction="sum")
        end = F.cross_entropy(logits[..., 1], tensors["end"], reduction="sum")
        return 0.5 * (start + end)
    labels = tensors["labels"]
    return F.cross_entropy(
        logits.reshape(-1, logits.shape[-1]),
        labels.reshape(-1),
        weight=class_weights,
        ignore_index=IGNORED,
        reduction="sum",
    )
