"""Objectives that fit their teacher and student: depths, head counts, what each term needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compactbio.settings.shapes import sizes_of
from compactbio.terms.objective import key_faults, read_entry, shape_faults
from compactbio.terms.term import Shape


def objective_faults(config: dict[str, Any], name: str) -> Iterator[str]:
    """Yield the faults of a trained model's objective, each naming its key and the fix."""
    model = config["models"][name]
    place = f"models.{name}.objective"
    terms = model.get("objective") or []
    if not terms:
        yield f"{place}: needed since models.{name}.source is `train`"
    names = [term["term"] for term in terms]
    for repeated in sorted({term for term in names if names.count(term) > 1}):
        yield f"{place}: the term {repeated} occurs twice; merge its layers into one"
    if _teachers_end(config, name):
        student, teacher = sizes_of(config, name), None
        if model.get("teacher") is not None:
            teacher = sizes_of(config, model["teacher"])
            yield from _copied_layer_faults(name, model, teacher)
    else:
        return  # a cycle of teachers, reported elsewhere
    for index, given in enumerate(terms):
        entry = read_entry(given, config["quirks"])
        has_teacher = model.get("teacher") is not None
        for fault in (*key_faults(given), *shape_faults(entry, student, teacher, has_teacher=has_teacher)):
            yield f"{place}[{index}] ({given['term']}){fault}"


def _teachers_end(config: dict[str, Any], name: str) -> bool:
    """Return whether the chain of teachers above a model ends."""
    seen = set()
    current: str | None = name
    while current in config["models"]:
        if current in seen:
            return False
        seen.add(current)
        current = config["models"][current].get("teacher")
    return True


def _copied_layer_faults(name: str, model: dict[str, Any], teacher: Shape | None) -> Iterator[str]:
    """Yield a fault where layers are copied that the teacher does not have."""
    layers = (model.get("student") or {}).get("teacher_layers") or []
    if teacher is None:
        return
    beyond = [layer for layer in layers if layer >= teacher.layers]
    if beyond:
        yield (
            f"models.{name}.student.teacher_layers: {beyond} beyond the teacher's {teacher.layers} "
            f"layers, which count from 0 to {teacher.layers - 1}"
        )
