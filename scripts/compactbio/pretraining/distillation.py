"""The step of pre-training: a student, an optional frozen teacher, and the terms between them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.kernels.attention_maps import Layout, compare_maps, packed_layout, padded_layout
from compactbio.kernels.logits import compare_logits
from compactbio.pretraining.flops import BACKWARD, shape_of_model
from compactbio.pretraining.objective_checks import check_objective
from compactbio.pretraining.sides import Outputs, Side
from compactbio.terms.cost import Cost
from compactbio.terms.objective import Entry
from compactbio.terms.term import PROBABILITIES, SCORES
from compactbio.training.interface import StepModule


class Distillation(StepModule):
    """Returns the weighted sum of an objective's terms; continual training is the list with the one term `mlm`."""

    def __init__(
        self,
        student: PreTrainedModel,
        teacher: PreTrainedModel | None,
        objective: list[Entry],
        quirks: dict[str, str],
        *,
        max_length: int,
        seed: int,
    ) -> None:
        super().__init__()
        check_objective(objective, student, teacher)
        self.student = student
        self.objective = objective
        self.projection = _projection(objective, student, teacher, seed)
        self.map_kernels = False  # whether maps are compared without being written
        self.fused_blocks = False  # whether kernels compute parts of blocks
        self.logit_kernels = False  # whether logits are compared without copies in fp32
        after_dropout = quirks["maps_after_dropout"] == "reference"
        self.student_side = Side(student, objective, 0, after_dropout=after_dropout, max_length=max_length)
        self.teacher_side: Side | None = None
        compared = [entry for entry in objective if entry.term.needs_teacher]
        if teacher is not None and compared:
            teacher.requires_grad_(False)
            # reference: the wrapper's train() reached the teacher too, so its dropout was on
            teacher.train(quirks["teacher_dropout"] == "reference")
            self.teacher_side = Side(teacher, compared, 1, after_dropout=after_dropout, max_length=max_length)

    @property
    def models(self) -> list[PreTrainedModel]:
        """Return the student and, where the terms need one, the teacher."""
        return [side.model for side in self.sides]

    @property
    def sides(self) -> list[Side]:
        """Return what is computed from each of the models."""
        return [self.student_side] if self.teacher_side is None else [self.student_side, self.teacher_side]

    @property
    def logit_models(self) -> list[PreTrainedModel]:
        """Return the models whose logits the terms read."""
        return [side.model for side in self.sides if side.logits]

    def computing_modules(self) -> list[nn.Module]:
        """Return this module and, where the terms need one, the teacher."""
        return [self, *self.models[1:]]

    @property
    def sees_neighbours(self) -> bool:
        """Whether a token's embedding in one of the models holds those of the tokens beside it (MobileBERT)."""
        return any(side.borders is not None for side in self.sides)

    @property
    def reads_attention(self) -> bool:
        """Return whether states of attention are compared in some layers."""
        return self.student_side.reads_attention

    @property
    def reads_maps(self) -> bool:
        """Return whether maps of attention are compared."""
        return any(not {PROBABILITIES, SCORES}.isdisjoint(entry.term.reads) for entry in self.objective)

    @property
    def reads_only_maps(self) -> bool:
        """Return whether kernels can compare all that is compared of attention, so that nothing of it is written."""
        return all(entry.term.on_chip is not None for entry in self.objective if entry.term.reads_attention)

    @property
    def head_sizes(self) -> set[int]:
        """Return the sizes of the models' attention heads."""
        return set().union(*(architecture_of(model).head_sizes(model) for model in self.models))

    @property
    def windowed(self) -> bool:
        """Return whether some layers of the models see a window of each sequence only (ModernBERT)."""
        return any(side.windowed for side in self.sides)

    @property
    def takes_fill(self) -> bool:
        """Return whether all terms can leave out the fill of micro-batches of fixed shape."""
        return all(entry.term.takes_fill for entry in self.objective)

    def cost(self) -> Cost:
        """Return the arithmetic of a step, for the model FLOP utilisation."""
        student, teacher = self.student_side.cost(), Cost()
        if self.teacher_side is not None:
            teacher = self.teacher_side.cost()
            shapes = [shape_of_model(model) for model in self.models]
            for entry in self.objective:
                of_student, of_teacher = entry.term.cost(*shapes)
                student += of_student.times(len(entry.layers))
                teacher += of_teacher.times(len(entry.layers))
        return student.times(1.0 + BACKWARD) + teacher  # the student's pass goes backward too, the teacher's not

    def place_teacher(self, device: torch.device) -> None:
        """Move the teacher, which is no submodule: it is neither trained nor saved nor synchronised."""
        if self.teacher_side is not None:
            teacher: nn.Module = self.teacher_side.model
            teacher.to(device)

    def forward(self, tensors: dict[str, Any], denominators: Mapping[str, float | Tensor]) -> Tensor:
        """Return this micro-batch's share of the loss; see `micro_batches.collate` for the tensors and counts."""
        layout = layout_of(tensors) if self.map_kernels else None
        student = self.student_side.run(tensors, layout)
        teacher = None
        if self.teacher_side is not None:
            with torch.no_grad():  # not inference_mode: its results could not enter a loss
                teacher = self.teacher_side.run(tensors, layout)
        total = torch.zeros((), device=tensors["input_ids"].device)
        self.last_terms = {}
        for entry in self.objective:
            share = entry.weight * self._sum(entry, student, teacher, tensors) / denominators[entry.term.denominator]
            self.last_terms[entry.term.name] = share.detach()
            total = total + share
        return total

    def _sum(self, entry: Entry, student: Outputs, teacher: Outputs | None, tensors: dict[str, Any]) -> Tensor:
        """Return a term's sum over the micro-batch, before weight and denominator."""
        term, function = entry.term, partial(entry.term.function, **entry.arguments)
        if self.logit_kernels and not term.is_layered and term.on_chip is not None:
            function = partial(compare_logits, **entry.arguments, **term.on_chip)
        if not term.needs_teacher:
            return function(student.logits, tensors["labels"])
        assert teacher is not None  # check_objective refused terms that lack one
        if not term.is_layered:
            return function(student.logits, teacher.logits, **_counted(tensors.get("real_rows")))
        sums = []
        for ours, theirs in entry.layers:
            if ours in student.maps and term.on_chip is not None:
                maps = student.maps[ours], teacher.maps[theirs]
                assert student.layout is not None  # it came with the maps
                counting = student.layout.counting(padding_queries=term.over_padding)
                sums.append(compare_maps(*maps, counting, **term.on_chip))
                continue
            if term.reads_attention:
                states = [student.attention[ours, state] for state in term.reads]
                states += [teacher.attention[theirs, state] for state in term.reads]
                sums += [function(*one, tensors.get("real_tokens")) for one in zip(*states, strict=True)]
                continue
            mine, target = student.hidden[ours], teacher.hidden[theirs]
            counts = tensors["real_tokens"] if _is_whole(tensors) else None
            if term.over_padding:
                mine, target = mine.flatten(0, 1), target.flatten(0, 1)
                if counts is not None:  # rows of padding alone are fill
                    counts = counts.any(-1, keepdim=True).expand_as(counts)
            else:
                mine, target = _real(mine, tensors), _real(target, tensors)
            if term.projects and self.projection is not None:
                mine = self.projection(mine)
            sums.append(function(mine, target, **_counted(None if counts is None else counts.flatten())))
        return torch.stack(sums).sum()


def layout_of(tensors: dict[str, Any]) -> Layout:
    """Return where the sequences of a micro-batch lie, for kernels."""
    real = tensors.get("real_tokens")
    if "kernel" in tensors:
        return packed_layout(tensors["boundaries"], tensors["longest"], real)
    count, length = tensors["input_ids"].shape
    return padded_layout(count, length, real, tensors["input_ids"].device)


def _counted(real: Tensor | None) -> dict[str, Tensor]:
    """Return the argument by which a term's function is told which rows count; none where all do."""
    return {} if real is None else {"real": real}


def _is_whole(tensors: dict[str, Any]) -> bool:
    """Return whether states of tokens that do not count reach the terms: taking them out would change shapes."""
    return "real_tokens" in tensors and "real_positions" not in tensors


def _real(states: Tensor, tensors: dict[str, Any]) -> Tensor:
    """Return the states (b, length, hidden) of real tokens as (n, hidden), those of all where shapes are fixed."""
    flat = states.flatten(0, 1)
    positions = tensors.get("real_positions")
    return flat if positions is None else flat.index_select(0, positions)


def _projection(
    objective: list[Entry], student: PreTrainedModel, teacher: PreTrainedModel | None, seed: int
) -> nn.Linear | None:
    """Return the one W that all states which are projected share, where the two models' hidden sizes differ."""
    if teacher is None or not any(entry.term.projects for entry in objective):
        return None
    ours, theirs = student.config.hidden_size, teacher.config.hidden_size
    if ours == theirs:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(ours, theirs)
