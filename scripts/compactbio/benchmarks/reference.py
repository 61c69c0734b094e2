"""The objectives as the reference code formulates them: one padded batch, eager attention, logits everywhere.

The baseline of the benchmark and the oracle of the tests: it shares nothing with the rest of the library.

Shapes: b sequences, l padded length, v vocabulary. `ids`, `mask` and `labels` are (b, l) int64; labels are -100 where
nothing is to be predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedModel


def padded_batch(sequences: Sequence[Sequence[int] | np.ndarray], length: int) -> tuple[Tensor, Tensor]:
    """Return ids and mask of sequences, padded with 0 to `length`."""
    ids = torch.zeros(len(sequences), length, dtype=torch.long)
    mask = torch.zeros(len(sequences), length, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.as_tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask


def run(model: PreTrainedModel, ids: Tensor, mask: Tensor, *, everything: bool = True) -> Any:
    """Return a model's output with logits and, where `everything`, all hidden states and attention maps."""
    model.set_attn_implementation("eager")
    return model(input_ids=ids, attention_mask=mask, output_hidden_states=everything, output_attentions=everything)


def mlm(student: Any, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy at the masked positions."""
    return nn.CrossEntropyLoss()(student.logits.flatten(0, 1), labels.flatten())


def rows(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the rows of values (..., width) that are chosen (...) as (m, width)."""
    return torch.masked_select(values, chosen.unsqueeze(-1).expand_as(values)).view(-1, values.shape[-1])


def at_masked(logits: Tensor, labels: Tensor) -> Tensor:
    """Return logits (b, l, v) of the masked positions as (m, v)."""
    return rows(logits, labels != -100)


def logit_kl(student: Any, teacher: Any, labels: Tensor, temperature: float) -> Tensor:
    """Return T^2 KL(teacher || student) over the vocabulary, averaged over the masked positions."""
    divergence = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(at_masked(student.logits, labels) / temperature, dim=-1),
        F.softmax(at_masked(teacher.logits, labels) / temperature, dim=-1),
    )
    return divergence * temperature**2


def soft_cross_entropy(student: Any, teacher: Any, labels: Tensor) -> Tensor:
    """Return the cross-entropy against the teacher's distribution at the masked positions."""
    ours, theirs = at_masked(student.logits, labels), at_masked(teacher.logits, labels)
    return nn.CrossEntropyLoss()(ours, F.softmax(theirs, dim=-1))


def cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Return the mean cosine-embedding loss of hidden states (b, l, hidden) over real tokens."""
    ours, theirs = rows(student, mask.bool()), rows(teacher, mask.bool())
    return nn.CosineEmbeddingLoss()(ours, theirs, torch.ones(len(ours), device=ours.device))


def attention_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    """Return the KL divergence of maps (b, heads, l, l), mean over all elements of the rows of real queries."""
    chosen = mask.bool()[:, None]
    return nn.KLDivLoss(reduction="mean")((rows(student, chosen) + 1e-12).log(), rows(teacher, chosen) + 1e-12)


def distil(student: Any, teacher: Any, labels: Tensor, mask: Tensor) -> Tensor:
    """Return DistilBioBERT's loss."""
    return (
        2.0 * mlm(student, labels)
        + 5.0 * logit_kl(student, teacher, labels, 2.0)
        + 1.0 * cosine(student.hidden_states[-1], teacher.hidden_states[-1], mask)
    )


def compact(
    student: Any, teacher: Any, labels: Tensor, mask: Tensor, kl: Callable[..., Tensor] = attention_kl
) -> Tensor:
    """Return CompactBioBERT's loss: student layer i (from 0) follows teacher layer 2i + 1."""
    layers = range(len(student.attentions))
    attention = sum(kl(student.attentions[i], teacher.attentions[2 * i + 1], mask) for i in layers)
    hidden = sum(cosine(student.hidden_states[1:][i], teacher.hidden_states[1:][2 * i + 1], mask) for i in layers)
    return mlm(student, labels) + 3.0 * (attention + hidden) + 5.0 * logit_kl(student, teacher, labels, 1.0)


def tiny(student: Any, teacher: Any, labels: Tensor, mask: Tensor, projection: nn.Module) -> Tensor:
    """Return TinyBioBERT's loss, whose means run over padding: a teacher of k times the depth is followed in
    its layers k, 2k, ... and in its embeddings.
    """
    step = (len(teacher.hidden_states) - 1) // len(student.attentions)
    attention = sum(
        F.mse_loss(ours, teacher.attentions[step * i + step - 1]) for i, ours in enumerate(student.attentions)
    )
    hidden = sum(
        F.mse_loss(projection(ours), teacher.hidden_states[step * i]) for i, ours in enumerate(student.hidden_states)
    )
    return attention + hidden + soft_cross_entropy(student, teacher, labels)


def tiny_sound(student: Any, teacher: Any, labels: Tensor, mask: Tensor, projection: nn.Module) -> Tensor:
    """Return the same with means over real tokens only (probabilities)."""
    real = mask.bool()
    pairs = (real[:, :, None] & real[:, None, :])[:, None].expand_as(student.attentions[0])
    step = (len(teacher.hidden_states) - 1) // len(student.attentions)
    attention = sum(
        F.mse_loss(
            torch.masked_select(ours, pairs), torch.masked_select(teacher.attentions[step * i + step - 1], pairs)
        )
        for i, ours in enumerate(student.attentions)
    )
    hidden = sum(
        F.mse_loss(projection(ours[real]), teacher.hidden_states[step * i][real])
        for i, ours in enumerate(student.hidden_states)
    )
    return attention + hidden + soft_cross_entropy(student, teacher, labels)
