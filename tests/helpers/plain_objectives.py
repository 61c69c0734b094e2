"""The objectives as the reference formulates them: one padded batch, eager attention, logits everywhere.

An oracle: it shares nothing with the library but the inputs.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def padded_batch(sequences: list[list[int]], length: int) -> tuple[Tensor, Tensor]:
    ids = torch.zeros(len(sequences), length, dtype=torch.long)
    mask = torch.zeros(len(sequences), length, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    return ids, mask


def run(model: nn.Module, ids: Tensor, mask: Tensor):
    model.set_attn_implementation("eager")
    return model(input_ids=ids, attention_mask=mask, output_hidden_states=True, output_attentions=True)


def mlm(student, labels: Tensor) -> Tensor:
    return nn.CrossEntropyLoss()(student.logits.flatten(0, 1), labels.flatten())


def at_masked(logits: Tensor, labels: Tensor) -> Tensor:
    chosen = (labels != -100).unsqueeze(-1).expand_as(logits)
    return torch.masked_select(logits, chosen).view(-1, logits.shape[-1])


def logit_kl(student, teacher, labels: Tensor, temperature: float) -> Tensor:
    divergence = nn.KLDivLoss(reduction="batchmean")(
        F.log_softmax(at_masked(student.logits, labels) / temperature, dim=-1),
        F.softmax(at_masked(teacher.logits, labels) / temperature, dim=-1),
    )
    return divergence * temperature**2


def cosine(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    chosen = mask.bool().unsqueeze(-1).expand_as(student)
    width = student.shape[-1]
    ours = torch.masked_select(student, chosen).view(-1, width)
    theirs = torch.masked_select(teacher, chosen).view(-1, width)
    return nn.CosineEmbeddingLoss()(ours, theirs, torch.ones(len(ours)))


def attention_kl(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    chosen = mask.bool()[:, None, :, None].expand_as(student)
    length = student.shape[-1]
    ours = torch.masked_select(student, chosen).view(-1, length) + 1e-12
    theirs = torch.masked_select(teacher, chosen).view(-1, length) + 1e-12
    return nn.KLDivLoss(reduction="mean")(ours.log(), theirs)


def attention_kl_sound(student: Tensor, teacher: Tensor, mask: Tensor) -> Tensor:
    rows = []
    for number, length in enumerate(mask.sum(-1).tolist()):
        for head in range(student.shape[1]):
            for query in range(length):
                ours, theirs = student[number, head, query, :length], teacher[number, head, query, :length]
                rows.append((theirs * (theirs.log() - ours.log())).mean())
    return torch.stack(rows).mean()


def distil(student, teacher, labels: Tensor, mask: Tensor) -> Tensor:
    return (
        2.0 * mlm(student, labels)
        + 5.0 * logit_kl(student, teacher, labels, 2.0)
        + 1.0 * cosine(student.hidden_states[-1], teacher.hidden_states[-1], mask)
    )


def compact(student, teacher, labels: Tensor, mask: Tensor, kl=attention_kl) -> Tensor:
    """Student layer i (from 0) with teacher layer 2i + 1."""
    attention = sum(
        kl(student.attentions[i], teacher.attentions[2 * i + 1], mask) for i in range(len(student.attentions))
    )
    hidden = sum(
        cosine(student.hidden_states[1:][i], teacher.hidden_states[1:][2 * i + 1], mask)
        for i in range(len(student.attentions))
    )
    return mlm(student, labels) + 3.0 * (attention + hidden) + 5.0 * logit_kl(student, teacher, labels, 1.0)


def soft_cross_entropy(student, teacher, labels: Tensor) -> Tensor:
    ours, theirs = at_masked(student.logits, labels), at_masked(teacher.logits, labels)
    return nn.CrossEntropyLoss()(ours, F.softmax(theirs, dim=-1))


def tiny(student, teacher, labels: Tensor, mask: Tensor, projection: nn.Module) -> Tensor:
    """Maps of student layer i with teacher layer 2i + 1 (a teacher of twice the depth), hidden states 0, 2, 4."""
    attention = sum(
        F.mse_loss(student.attentions[i], teacher.attentions[2 * i + 1]) for i in range(len(student.attentions))
    )
    hidden = sum(
        F.mse_loss(projection(student.hidden_states[i]), teacher.hidden_states[2 * i])
        for i in range(len(student.hidden_states))
    )
    return attention + hidden + soft_cross_entropy(student, teacher, labels)


def tiny_sound(student, teacher, labels: Tensor, mask: Tensor, projection: nn.Module) -> Tensor:
    """The same over real tokens only (probabilities)."""
    real = mask.bool()
    pairs = (real[:, :, None] & real[:, None, :])[:, None].expand_as(student.attentions[0])
    attention = sum(
        F.mse_loss(student.attentions[i][pairs], teacher.attentions[2 * i + 1][pairs])
        for i in range(len(student.attentions))
    )
    hidden = sum(
        F.mse_loss(projection(student.hidden_states[i][real]), teacher.hidden_states[2 * i][real])
        for i in range(len(student.hidden_states))
    )
    return attention + hidden + soft_cross_entropy(student, teacher, labels)
