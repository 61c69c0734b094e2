"""Loss, gradients and starting weights: the authors' own classes beside ours, on random weights and sequences."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedModel
from transformers.modeling_outputs import MaskedLMOutput

from compactbio.benchmarks.authors_code import definition
from compactbio.benchmarks.cases import COMPACT, DISTIL, MLM, QUIRKS, TEACHER, TINY
from compactbio.benchmarks.reference import padded_batch
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.micro_batches import collate
from compactbio.students.initialisation import student_of_layers
from compactbio.students.models import random_masked_lm
from compactbio.terms.objective import read_objective

VOCABULARY, MASK, LONGEST = 200, 4, 48
TEACHER_SHAPE = {"hidden_size": 48, "num_hidden_layers": 12, "num_attention_heads": 4, "intermediate_size": 96}
TINY_STUDENT = {"hidden_size": 24, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 48}
WITHOUT_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "initializer_range": 0.1}
WRAPPER = "DistillationWrapper"


class Difference(NamedTuple):
    """What was compared, how, and how far apart the two sides are at most.

    Attributes:
        subject: the model or task.
        quantity: loss, gradient, starting weights, ...
        theirs, ours: a value of each side, as text.
        difference: relative difference of numbers, or how many things differ.
    """

    subject: str
    quantity: str
    theirs: str
    ours: str
    difference: str


@dataclass(frozen=True)
class Sequences:
    """Random sequences from long to short; the first has the maximal length, as a batch of 24 practically always has.

    Attributes:
        lengths: int64 [sequences].
        original, inputs: token ids of all sequences joined, before and after masking.
        selected: bool, the masked positions.
    """

    lengths: np.ndarray
    original: np.ndarray
    inputs: np.ndarray
    selected: np.ndarray

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return ids, mask and labels (sequences, longest), as the authors' collator makes them."""
        cuts = np.cumsum(self.lengths)[:-1]
        ids, mask = padded_batch([part.tolist() for part in np.split(self.inputs, cuts)], LONGEST)
        chosen = np.where(self.selected, self.original, -100)
        labels, _ = padded_batch([part.tolist() for part in np.split(chosen, cuts)], LONGEST)
        return ids, mask, labels.masked_fill(mask == 0, -100)


def draw_sequences(seed: int, count: int = 8) -> Sequences:
    """Return masked sequences of random lengths and ids."""
    generator = np.random.default_rng(seed)
    lengths = np.sort(generator.integers(6, LONGEST, count))[::-1].astype(np.int64)
    lengths[0] = LONGEST
    original = generator.integers(MASK + 1, VOCABULARY, int(lengths.sum()))
    selected = generator.random(len(original)) < 0.2
    return Sequences(lengths, original, np.where(selected, MASK, original), selected)


@dataclass(frozen=True)
class Objective:
    """One of the authors' objectives: the file of its class (None: a model's own MLM loss), and ours as terms."""

    model: str
    file: str | None
    terms: list[dict[str, Any]]
    student: dict[str, int] | None  # a shape; None: every second layer of the teacher


OBJECTIVES = (
    Objective("BioDistilBERT and others", None, MLM, TINY_STUDENT),
    Objective("DistilBioBERT", "DistilBioBERT-Distillation.py", DISTIL, None),
    Objective("CompactBioBERT", "CompactBioBERT-Distillation.py", COMPACT, None),
    Objective("TinyBioBERT", "TinyBioBERT-Distillation.py", TINY, TINY_STUDENT),
)


def compare_objectives(authors: Path, seeds: int) -> Iterator[Difference]:
    """Yield loss and gradient of each objective, padded and, where no term reads padding, packed.

    Dropout is off: a draw of it is no formula. Each difference is the largest over the seeds.
    """
    for objective in OBJECTIVES:
        for packed in (False, True):
            found = [_compare(authors, objective, seed, packed) for seed in range(seeds)]
            pairs = [pair for pair in found if pair is not None]
            if not pairs:
                continue
            form = "packed" if packed else "padded"
            theirs, ours = pairs[0][0]
            losses = max(abs(ours - theirs) / abs(theirs) for (theirs, ours), _ in pairs)
            gradients = max(gradient for _, gradient in pairs)
            yield Difference(objective.model, f"loss, {form}", f"{theirs:.6f}", f"{ours:.6f}", f"{losses:.1e}")
            yield Difference(objective.model, f"gradient, {form}", "", "", f"{gradients:.1e}")


def _compare(authors: Path, objective: Objective, seed: int, packed: bool) -> tuple[tuple[float, float], float] | None:
    """Return (their loss, our loss) and the relative difference of gradients; None where packing is not possible."""
    sequences = draw_sequences(seed)
    teacher = random_masked_lm(TEACHER, TEACHER_SHAPE | WITHOUT_DROPOUT, VOCABULARY, seed + 100)
    if objective.student is None:
        student = student_of_layers(teacher, list(range(0, 12, 2)), seed, copy_head=False)
    else:
        student = random_masked_lm(TEACHER, objective.student | WITHOUT_DROPOUT, VOCABULARY, seed)
    entries = read_objective(objective.terms, QUIRKS)
    if packed and any(entry.term.over_padding for entry in entries):
        return None
    mirrored = copy.deepcopy(student)
    needs_teacher = objective.file is not None
    module = Distillation(
        student, teacher if needs_teacher else None, entries, QUIRKS, max_length=LONGEST, seed=seed
    ).train()
    loss, gradients = _theirs(authors, objective, mirrored, copy.deepcopy(teacher), module.projection, sequences)
    ours = _ours(module, sequences, packed)
    own = {name: value.grad for name, value in module.named_parameters() if value.grad is not None}
    if own.keys() != gradients.keys():
        raise RuntimeError(f"gradients of other weights: {sorted(own.keys() ^ gradients.keys())}")
    apart = sum(float((own[name] - gradients[name]).double().square().sum()) for name in own)
    size = sum(float(value.double().square().sum()) for value in gradients.values())
    return (loss, ours), (apart / size) ** 0.5


def _theirs(
    authors: Path,
    objective: Objective,
    student: PreTrainedModel,
    teacher: PreTrainedModel,
    projection: nn.Module | None,
    sequences: Sequences,
) -> tuple[float, dict[str, Tensor]]:
    """Return loss and gradients of the authors' class on a padded batch."""
    for model in (student, teacher):
        model.set_attn_implementation("eager")
    ids, mask, labels = sequences.padded()
    if objective.file is None:
        module: nn.Module = nn.ModuleDict({"student": student})
        output = student(input_ids=ids, attention_mask=mask, labels=labels)
    else:
        names = {"nn": nn, "torch": torch, "F": F, "MaskedLMOutput": MaskedLMOutput}
        wrapper: Any = definition(authors, objective.file, WRAPPER, names)(student, teacher)
        module = wrapper
        teacher.requires_grad_(False)
        if projection is not None:
            wrapper.fit_dense.load_state_dict(projection.state_dict())
        output = module(input_ids=ids, attention_mask=mask, labels=labels)
    output.loss.backward()
    named = {
        name.replace("fit_dense", "projection"): value.grad
        for name, value in module.named_parameters()
        if value.grad is not None
    }
    return float(output.loss.detach()), named


def _ours(module: Distillation, sequences: Sequences, packed: bool) -> float:
    """Return our loss over two micro-batches; gradients are left in the module."""
    bounds = [0, 3, len(sequences.lengths)]
    ends = np.concatenate([[0], np.cumsum(sequences.lengths)])
    padded = any(entry.term.over_padding for entry in module.objective)
    batches = []
    for start, end in pairwise(bounds):
        part = slice(ends[start], ends[end])
        length = None if packed else LONGEST if padded else int(sequences.lengths[start])
        batches.append(
            collate(
                sequences.lengths[start:end],
                original=sequences.original[part],
                inputs=sequences.inputs[part],
                selected=sequences.selected[part],
                length=length,
                pad_id=0,
                max_length=LONGEST,
            )
        )
    denominators = {name: sum(batch.counts[name] for batch in batches) for name in batches[0].counts}
    total = 0.0
    for batch in batches:
        loss = module(batch.tensors, denominators)
        loss.backward()
        total += float(loss.detach())
    return total


def compare_starting_weights(authors: Path) -> Iterator[Difference]:
    """Yield how many tensors of the two students that are cut from BioBERT differ from those of the authors' function.

    Their student is saved without the MLM head and read back with one, so that its head's transform is random: heads
    are not compared.
    """
    for model, file, first in (
        ("DistilBioBERT", "DistilBioBERT-Distillation.py", 0),
        ("CompactBioBERT", "CompactBioBERT-Distillation.py", 1),
    ):
        teacher = random_masked_lm(TEACHER, TEACHER_SHAPE | WITHOUT_DROPOUT, VOCABULARY, 7)
        encoder = BertModel(BertConfig.from_dict(teacher.config.to_dict()))
        encoder.load_state_dict(teacher.base_model.state_dict(), strict=False)  # a pooler is no part of a student
        saved: dict[str, Tensor] = {}
        theirs = definition(authors, file, "initializeStudent", {"ts": _transformers_with(encoder, saved)})
        theirs("unused")
        ours = student_of_layers(teacher, list(range(first, 12, 2)), 1, copy_head=False).base_model.state_dict()
        unequal = [name for name, value in ours.items() if not torch.equal(value, saved[name])]
        yield Difference(model, "starting weights", f"{len(ours)} tensors", f"{len(ours)} tensors", f"{len(unequal)}")


def _transformers_with(encoder: BertModel, saved: dict[str, Tensor]) -> SimpleNamespace:
    """Return a stand-in for transformers that loads `encoder` under any name and saves into `saved`."""

    class Saved(BertModel):
        def save_pretrained(self, *_: Any, **__: Any) -> None:
            saved.update({name: value.clone() for name, value in self.state_dict().items()})

    return SimpleNamespace(
        AutoModel=SimpleNamespace(from_pretrained=lambda _: encoder), BertModel=Saved, BertConfig=BertConfig
    )
