"""The step of pre-training: a student, an optional frozen teacher, and the terms between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.errors import UserError
from compactbio.pretraining.attention import MapCapture, install_attention
from compactbio.pretraining.flops import Cost, forward_cost, step_cost
from compactbio.pretraining.last_layer import install_last_layer
from compactbio.pretraining.terms import Term
from compactbio.training.dropout import replace_dropout
from compactbio.training.loop import StepModule

PACKED = ("position_ids", "lengths", "boundaries")  # what a packed micro-batch gives beside its ids
MASKED = ("masked_positions", "masked_lengths")  # what a last layer at these positions alone needs


@dataclass
class Outputs:
    """What one model gave for a micro-batch, as far as the terms need it."""

    logits: Tensor | None  # (m, vocabulary)
    hidden: dict[int, Tensor]  # (b, length, hidden) by index, 0 = embeddings
    maps: dict[tuple[int, str], list[Tensor]]  # (b, heads, length, length) by (layer from 1, kind)


class Distillation(StepModule):
    """Returns the weighted sum of an objective's terms; continual training is the list with the one term `mlm`."""

    def __init__(
        self,
        student: PreTrainedModel,
        teacher: PreTrainedModel | None,
        terms: list[Term],
        quirks: dict[str, str],
        *,
        max_length: int,
        seed: int,
    ) -> None:
        super().__init__()
        check_objective(terms, student, teacher)
        self.student = student
        self.terms = terms
        self.projection = _projection(terms, student, teacher, seed)
        self.needs_logits = any(term.kind.compares == "logits" for term in terms)
        common = {"after_dropout": quirks["maps_after_dropout"] == "reference", "max_length": max_length}
        self.student_side = _Side(student, terms, 0, logits=self.needs_logits, **common)
        self.teacher_side: _Side | None = None
        if teacher is not None and any(term.kind.teacher for term in terms):
            teacher_logits = any(term.kind.compares == "logits" and term.kind.teacher for term in terms)
            teacher.requires_grad_(False)
            # reference: the wrapper's train() reached the teacher too, so its dropout was on
            teacher.train(quirks["teacher_dropout"] == "reference")
            self.teacher_side = _Side(teacher, terms, 1, logits=teacher_logits, **common)

    @property
    def models(self) -> list[PreTrainedModel]:
        """Return the student and, where the terms need one, the teacher."""
        return [self.student] if self.teacher_side is None else [self.student, self.teacher_side.model]

    @property
    def matches_maps(self) -> bool:
        """Return whether attention maps of some layers are compared."""
        return self.student_side.matches_maps

    def cost(self) -> Cost:
        """Return the arithmetic of a step, for the model FLOP utilisation."""
        pairs = [term.layers for term in self.terms if term.name == "hidden_mse"]
        return step_cost(
            self.student_side.cost(),
            self.teacher_side.cost() if self.teacher_side else None,
            projection=self.projection,
            projected_layers=sum(map(len, pairs)),
        )

    @property
    def has_unused_parameters(self) -> bool:
        """Return whether some of the student's parameters get no gradient (its head, or upper layers)."""
        return not self.needs_logits

    def place_teacher(self, device: torch.device) -> None:
        """Move the teacher, which is no submodule: it is neither trained nor saved nor synchronised."""
        if self.teacher_side is not None:
            self.teacher_side.model.to(device)

    def forward(self, tensors: dict[str, Any], denominators: dict[str, float]) -> Tensor:
        """Return this micro-batch's share of the loss; see `micro_batches.collate` for the tensors and counts."""
        student = self.student_side.run(tensors)
        teacher = None
        if self.teacher_side is not None:
            with torch.no_grad():  # not inference_mode: its results could not enter a loss
                teacher = self.teacher_side.run(tensors)
        total = torch.zeros((), device=tensors["input_ids"].device)
        self.last_terms = {}
        for term in self.terms:
            share = term.weight * self._sum(term, student, teacher, tensors) / denominators[term.denominator]
            self.last_terms[term.name] = share.detach()
            total = total + share
        return total

    def _sum(self, term: Term, student: Outputs, teacher: Outputs | None, tensors: dict[str, Any]) -> Tensor:
        """Return a term's sum over the micro-batch, before weight and denominator."""
        function, options = term.kind.function, term.options
        if term.name == "mlm":
            return function(student.logits, tensors["labels"])
        assert teacher is not None  # check_objective refused terms that lack one
        if term.kind.compares == "logits":
            return function(student.logits, teacher.logits, **options)
        sums = []
        for ours, theirs in term.layers:
            if term.kind.compares == "attention":
                pairs = zip(student.maps[ours, term.map_kind], teacher.maps[theirs, term.map_kind], strict=True)
                sums += [function(*pair, tensors.get("real_tokens"), **options) for pair in pairs]
                continue
            mine, target = student.hidden[ours], teacher.hidden[theirs]
            if not term.over_padding:
                mine, target = _real(mine, tensors), _real(target, tensors)
            if term.name == "hidden_mse" and self.projection is not None:
                mine = self.projection(mine)
            sums.append(function(mine, target, **options))
        return torch.stack(sums).sum()


class _Side:
    """A model with the choice of what is computed from it. No module: the teacher must stay unregistered."""

    def __init__(
        self,
        model: PreTrainedModel,
        terms: list[Term],
        side: int,
        *,
        logits: bool,
        after_dropout: bool,
        max_length: int,
    ) -> None:
        self.model = model
        self.logits = logits
        self.hidden = sorted({pair[side] for term in terms if term.kind.compares == "hidden" for pair in term.layers})
        wanted: dict[int, set[str]] = {}
        for term in terms:
            if term.kind.compares == "attention":
                for pair in term.layers:
                    wanted.setdefault(pair[side], set()).add(term.map_kind)
        self.matches_maps = bool(wanted)
        depth = model.config.num_hidden_layers
        reads_last = depth in self.hidden or depth in wanted
        self.last_at_masked = logits and not reads_last and install_last_layer(model)
        replace_dropout(model)
        self.capture: MapCapture = install_attention(model, wanted, after_dropout=after_dropout)
        self.architecture = architecture_of(model)
        self.borders = self.architecture.borders(model, max_length)

    def cost(self) -> Cost:
        """Return the arithmetic of a forward pass."""
        return forward_cost(self.model, head=self.logits, last_at_masked=self.last_at_masked)

    def run(self, tensors: dict[str, Any]) -> Outputs:
        """Return logits at the masked positions, hidden states and maps of a micro-batch."""
        real = tensors.get("real_tokens")
        packed = {name: tensors[name] for name in PACKED if name in tensors}
        masked = {name: tensors[name] for name in MASKED} if self.last_at_masked else {}
        if self.borders is not None:
            self.borders.positions = packed.get("position_ids")
        if packed:
            packed["position_ids"] = self.architecture.position_ids(packed["position_ids"])
        output = self.model.base_model(
            input_ids=tensors["input_ids"],
            **packed,
            **masked,
            # four dimensions: taken as it is, without a look at its values that would wait for the device
            attention_mask=None if real is None else real[:, None, None, :],
            output_hidden_states=self.hidden or False,
        )
        logits = None
        if self.logits:
            rows = output.last_hidden_state.flatten(0, 1)
            if not self.last_at_masked:
                rows = rows.index_select(0, tensors["masked_positions"])
            logits = self.architecture.mlm_logits(self.model, rows)
        hidden = {index: output.hidden_states[index] for index in self.hidden}
        return Outputs(logits, hidden, self.capture.take())


def _real(states: Tensor, tensors: dict[str, Any]) -> Tensor:
    """Return the states (b, length, hidden) of real tokens as (n, hidden)."""
    flat = states.flatten(0, 1)
    positions = tensors.get("real_positions")
    return flat if positions is None else flat.index_select(0, positions)


def _projection(
    terms: list[Term], student: PreTrainedModel, teacher: PreTrainedModel | None, seed: int
) -> nn.Linear | None:
    """Return the one W that all pairs of hidden_mse share, where the two models' hidden sizes differ."""
    if teacher is None or not any(term.name == "hidden_mse" for term in terms):
        return None
    ours, theirs = student.config.hidden_size, teacher.config.hidden_size
    if ours == theirs:
        return None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Linear(ours, theirs)


def check_objective(terms: list[Term], student: PreTrainedModel, teacher: PreTrainedModel | None) -> None:
    """Refuse an objective that does not fit the two models.

    Raises:
        UserError: a teacher is missing, a layer beyond a model's depth, other head counts or hidden sizes.
    """
    for number, term in enumerate(terms):
        key = f"objective[{number}] ({term.name})"
        if not term.kind.teacher:
            continue
        if teacher is None:
            raise UserError(f"{key}: this term needs a teacher; name one in the model's `teacher`")
        for position, (side, model) in enumerate((("student", student), ("teacher", teacher))):
            depth = model.config.num_hidden_layers
            lowest = 1 if term.kind.compares == "attention" else 0
            wrong = [pair for pair in term.layers if not lowest <= pair[position] <= depth]
            if wrong:
                raise UserError(
                    f"{key}.layers: {list(map(list, wrong))} name {side} layers outside {lowest} to {depth}, "
                    f"which is what the {side} has"
                )
        ours, theirs = student.config, teacher.config
        if term.kind.compares == "attention" and ours.num_attention_heads != theirs.num_attention_heads:
            raise UserError(
                f"{key}: the student has {ours.num_attention_heads} attention heads and the teacher "
                f"{theirs.num_attention_heads}: they cannot be matched; remove the term or change the shape"
            )
        if term.name == "hidden_cosine" and ours.hidden_size != theirs.hidden_size:
            raise UserError(
                f"{key}: the student's hidden size is {ours.hidden_size} and the teacher's {theirs.hidden_size}: "
                "use hidden_mse, which has a projection"
            )
