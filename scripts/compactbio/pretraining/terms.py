"""The terms of objectives: pure functions that return sums, and what each of them needs.

A function returns the SUM over its micro-batch; the step divides it by a count over the whole global batch, so that
neither micro-batches nor processes change the loss. Formulas: the reference code at the commit that
config/config.yaml names; what it leaves open is a switch under `quirks`.

Shapes: m masked positions, v vocabulary, n tokens, b sequences, l padded length, a heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from compactbio.errors import UserError
from compactbio.pretraining.attention import PROBABILITIES, SCORES

COSINE_EPSILON = 1e-12  # what torch's cosine_embedding_loss adds to squared norms
MAP_EPSILON = 1e-12  # [code]: maps after dropout hold exact zeros


def mlm(student: Tensor, labels: Tensor) -> Tensor:
    """Return the summed cross-entropy of student logits (m, v) with labels (m,)."""
    return F.cross_entropy(student.float(), labels, reduction="sum")


def logit_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Return T^2 KL(teacher || student) of logits (m, v) divided by T, summed over vocabulary and positions."""
    student_log = F.log_softmax(student.float() / temperature, dim=-1)
    teacher_log = F.log_softmax(teacher.float() / temperature, dim=-1)
    return temperature**2 * F.kl_div(student_log, teacher_log, reduction="sum", log_target=True)


def soft_cross_entropy(student: Tensor, teacher: Tensor) -> Tensor:
    """Return -sum p_teacher log p_student of logits (m, v), summed over vocabulary and positions."""
    return -(F.softmax(teacher.float(), dim=-1) * F.log_softmax(student.float(), dim=-1)).sum()


def hidden_cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the sum of 1 - cosine of hidden states (n, hidden)."""
    student, teacher = student.float(), teacher.float()
    product = (student * teacher).sum(-1)
    norms = (student.square().sum(-1) + COSINE_EPSILON) * (teacher.square().sum(-1) + COSINE_EPSILON)
    return (1.0 - product * norms.rsqrt()).sum()


def hidden_mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the squared differences of hidden states (n, hidden), averaged over hidden, summed over n."""
    return F.mse_loss(student.float(), teacher.float(), reduction="sum") / teacher.shape[-1]


def attention_kl(student: Tensor, teacher: Tensor, real_tokens: Tensor | None, *, own_length: bool) -> Tensor:
    """Return KL(teacher || student) of attention probabilities (b, a, l, l), averaged over heads.

    Rows of padding queries are left out.

    Args:
        real_tokens: (b, l) bool, None where nothing is padding.
        own_length: divide each row by the number of its sequence's tokens; else the rows are summed, and the
            denominator holds the key length.
    """
    target = teacher + MAP_EPSILON
    rows = (target * (target.log() - (student + MAP_EPSILON).log())).sum(-1)  # (b, a, l)
    if own_length:
        keys = student.shape[-1] if real_tokens is None else real_tokens.sum(-1)[:, None, None]
        rows = rows / keys
    if real_tokens is not None:
        rows = rows * real_tokens[:, None, :]
    return rows.sum() / student.shape[1]


def attention_mse(student: Tensor, teacher: Tensor, real_tokens: Tensor | None, *, over_padding: bool) -> Tensor:
    """Return the squared differences of maps (b, a, l, l), averaged over heads and summed over the rest.

    Padding keys add nothing (probabilities are zero there; TinyBERT's recipe sets scores to zero there).

    Args:
        real_tokens: (b, l) bool, None where nothing is padding.
        over_padding: rows of padding queries count too.
    """
    squares = (student - teacher).square()
    if real_tokens is not None:
        squares = squares * real_tokens[:, None, None, :]
        if not over_padding:
            squares = squares * real_tokens[:, None, :, None]
    return squares.sum() / student.shape[1]


@dataclass(frozen=True)
class TermKind:
    """What a term compares, whether it needs a teacher, and its function."""

    compares: str  # logits, hidden or attention
    teacher: bool
    function: Callable[..., Tensor]


TERMS = {
    "mlm": TermKind("logits", False, mlm),
    "logit_kl": TermKind("logits", True, logit_kl),
    "soft_cross_entropy": TermKind("logits", True, soft_cross_entropy),
    "hidden_cosine": TermKind("hidden", True, hidden_cosine),
    "hidden_mse": TermKind("hidden", True, hidden_mse),
    "attention_kl": TermKind("attention", True, attention_kl),
    "attention_mse": TermKind("attention", True, attention_mse),
}


@dataclass(frozen=True)
class Term:
    """One entry of a run's objective, with the switches that concern it resolved."""

    name: str
    weight: float
    layers: tuple[tuple[int, int], ...]
    options: dict[str, Any]
    denominator: str  # the name of a count of `micro_batches.collate`
    map_kind: str = ""
    over_padding: bool = False

    @property
    def kind(self) -> TermKind:
        """Return what this term is."""
        return TERMS[self.name]


def resolve_terms(objective: list[dict[str, Any]], quirks: dict[str, str]) -> list[Term]:
    """Return the terms of a run file's `objective` under its `quirks` (`reference` or `sound` each)."""
    return [_resolve(number, entry, quirks) for number, entry in enumerate(objective)]


def _resolve(number: int, entry: dict[str, Any], quirks: dict[str, str]) -> Term:
    """Return one term; `number` is its place in the list, for messages."""
    name = entry["term"]
    if name not in TERMS:
        raise UserError(f"objective[{number}].term: {name!r} is unknown; use one of {', '.join(TERMS)}")
    compares = TERMS[name].compares
    layers = tuple((int(student), int(teacher)) for student, teacher in entry.get("layers") or [])
    if compares != "logits" and not layers:
        raise UserError(f"objective[{number}].layers: {name} needs pairs [student, teacher]")
    over_padding = name in ("hidden_mse", "attention_mse") and quirks["mse_over_padding"] == "reference"
    options: dict[str, Any] = {}
    map_kind = ""
    if name == "logit_kl":
        options["temperature"] = float(entry.get("temperature", 1.0))
    elif name == "attention_kl":
        # a divergence needs distributions: the switch attention_maps concerns the MSE only
        map_kind = PROBABILITIES
        options["own_length"] = quirks["attention_kl_denominator"] == "sound"
    elif name == "attention_mse":
        map_kind = PROBABILITIES if quirks["attention_maps"] == "reference" else SCORES
        options["over_padding"] = over_padding
    denominator = {
        "hidden_cosine": "tokens",
        "hidden_mse": "padded_tokens" if over_padding else "tokens",
        "attention_kl": "tokens" if options.get("own_length") else "key_rows",
        "attention_mse": "padded_pairs" if over_padding else "token_pairs",
    }.get(name, "masked")
    return Term(name, float(entry["weight"]), layers, options, denominator, map_kind, over_padding)
