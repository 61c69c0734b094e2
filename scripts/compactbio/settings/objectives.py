"""Objectives that fit their teacher and student: depths, head counts, what each term needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compactbio.settings.shapes import sizes_of

LAYERED_TERMS = {"hidden_cosine", "hidden_mse", "attention_kl", "attention_mse"}
TEACHER_TERMS = LAYERED_TERMS | {"logit_kl", "soft_cross_entropy"}


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
    for index, term in enumerate(terms):
        yield from _term_faults(f"{place}[{index}] ({term['term']})", term, model, student, teacher)


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


def _copied_layer_faults(name: str, model: dict[str, Any], teacher: dict[str, int] | None) -> Iterator[str]:
    """Yield a fault where layers are copied that the teacher does not have."""
    layers = (model.get("student") or {}).get("teacher_layers") or []
    if teacher is None:
        return
    beyond = [layer for layer in layers if layer >= teacher["num_hidden_layers"]]
    if beyond:
        yield (
            f"models.{name}.student.teacher_layers: {beyond} beyond the teacher's {teacher['num_hidden_layers']} "
            f"layers, which count from 0 to {teacher['num_hidden_layers'] - 1}"
        )


def _term_faults(
    place: str,
    term: dict[str, Any],
    model: dict[str, Any],
    student: dict[str, int] | None,
    teacher: dict[str, int] | None,
) -> Iterator[str]:
    """Yield the faults of one term."""
    kind = term["term"]
    if kind in TEACHER_TERMS and model.get("teacher") is None:
        yield f"{place}: needs a teacher; set the model's `teacher`"
    if kind in LAYERED_TERMS and not term.get("layers"):
        yield f"{place}.layers: needed: pairs [student, teacher]"
    if kind not in LAYERED_TERMS and "layers" in term:
        yield f"{place}.layers: this term has no layers; remove it"
    if kind != "logit_kl" and "temperature" in term:
        yield f"{place}.temperature: only logit_kl has one; remove it"
    lowest = 1 if kind.startswith("attention") else 0
    for pair in term.get("layers", []):
        for side, index, shape in (("student", pair[0], student), ("teacher", pair[1], teacher)):
            if index < lowest or (shape is not None and index > shape["num_hidden_layers"]):
                depth = "?" if shape is None else shape["num_hidden_layers"]
                yield f"{place}.layers: {side} layer {index} of {pair} is outside {lowest}..{depth}"
    if student is None or teacher is None:
        return
    if kind.startswith("attention") and student["num_attention_heads"] != teacher["num_attention_heads"]:
        yield (
            f"{place}: maps are compared head by head, but the student has {student['num_attention_heads']} heads "
            f"and the teacher {teacher['num_attention_heads']}; give them the same number or remove the term"
        )
    if kind == "hidden_cosine" and student["hidden_size"] != teacher["hidden_size"]:
        yield (
            f"{place}: compares hidden states of {student['hidden_size']} and {teacher['hidden_size']} values; "
            "use hidden_mse, which projects, or equal sizes"
        )
