"""Whether an objective fits the two models, asked once they are there."""

from __future__ import annotations

from transformers import PreTrainedModel

from compactbio.architectures import architecture_of
from compactbio.errors import UserError
from compactbio.pretraining.flops import shape_of_model
from compactbio.terms.objective import Entry, shape_faults
from compactbio.terms.term import PROBABILITIES, SCORES


def check_objective(objective: list[Entry], student: PreTrainedModel, teacher: PreTrainedModel | None) -> None:
    """Refuse an objective that does not fit the two models.

    Raises:
        UserError: a teacher is missing, a layer beyond a model's depth, shapes that a term cannot compare, maps of
            layers that see different parts of a sequence.
    """
    shapes = [None if model is None else shape_of_model(model) for model in (student, teacher)]
    for number, entry in enumerate(objective):
        for fault in shape_faults(entry, *shapes, has_teacher=teacher is not None):
            raise UserError(f"objective[{number}] ({entry.term.name}){fault}")
    if teacher is None:
        return
    ours, theirs = ([None, *architecture_of(model).reaches(model)] for model in (student, teacher))
    for number, entry in enumerate(objective):
        if {PROBABILITIES, SCORES}.isdisjoint(entry.term.reads):
            continue
        for mine, target in entry.layers:
            if ours[mine] != theirs[target]:
                alike = [layer for layer in range(1, len(theirs)) if theirs[layer] == ours[mine]]
                raise UserError(
                    f"objective[{number}] ({entry.term.name}).layers: student layer {mine} of {[mine, target]} sees "
                    f"{_seen(ours[mine])}, teacher layer {target} {_seen(theirs[target])}: their maps cannot be alike; "
                    f"take one of the teacher's layers {alike}"
                )


def _seen(reach: int | None) -> str:
    """Return in words how far a layer sees."""
    return "all tokens" if reach is None else f"{reach} tokens on each side"
