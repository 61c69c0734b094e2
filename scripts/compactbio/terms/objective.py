"""Objectives as lists of terms: the one list of terms there are, their schema, and what an objective gets wrong."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import compactbio.terms
from compactbio.errors import UserError
from compactbio.terms.term import Option, Shape, Term

_WITHOUT_TERMS = {"cost", "distances", "objective", "term"}  # every other module of the package has TERMS


def _find_terms() -> dict[str, Term]:
    """Return the terms of all modules of the package, by name."""
    families = sorted({module.name for module in pkgutil.iter_modules(compactbio.terms.__path__)} - _WITHOUT_TERMS)
    return {term.name: term for name in families for term in import_module(f"compactbio.terms.{name}").TERMS}


TERMS = _find_terms()
OPTIONS: dict[str, Option] = {name: option for term in TERMS.values() for name, option in term.options.items()}


@dataclass(frozen=True)
class Entry:
    """One entry of a run's objective, its term as it is under the run's quirks."""

    term: Term
    weight: float
    layers: tuple[tuple[int, int], ...]  # (student, teacher)
    options: Mapping[str, Any]

    @property
    def arguments(self) -> dict[str, Any]:
        """Return what the term's function is called with by name."""
        return {**self.options, **self.term.arguments}


def read_entry(given: Mapping[str, Any], quirks: Mapping[str, str]) -> Entry:
    """Return an entry as an objective gives it, under a run's quirks (`reference` or `sound` each)."""
    term = TERMS[given["term"]].under(quirks)
    layers = tuple((int(student), int(teacher)) for student, teacher in given.get("layers") or [])
    options = {
        name: option.type(given[name]) if name in given else option.default for name, option in term.options.items()
    }
    return Entry(term, float(given["weight"]), layers, options)


def read_objective(objective: list[dict[str, Any]], quirks: Mapping[str, str]) -> list[Entry]:
    """Return the entries of a run file's `objective`.

    Raises:
        UserError: an unknown term, or keys that a term lacks or does not have.
    """
    entries = []
    for number, given in enumerate(objective):
        name = given["term"]
        if name not in TERMS:
            raise UserError(f"objective[{number}].term: {name!r} is unknown; use one of {', '.join(TERMS)}")
        for fault in key_faults(given):
            raise UserError(f"objective[{number}] ({name}){fault}")
        entries.append(read_entry(given, quirks))
    return entries


def term_schema() -> dict[str, Any]:
    """Return the JSON Schema of an entry; which options a term has is for `key_faults` to say."""
    layer = {"type": "integer", "minimum": 0}
    properties = {
        "term": {"description": "What is compared or predicted.", "enum": list(TERMS)},
        "weight": {"description": "What it is multiplied by.", "type": "number", "exclusiveMinimum": 0},
        "layers": {
            "description": "Pairs [student, teacher] of layers that are compared: hidden states count from 0, the "
            "embeddings, attention from 1.",
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": layer},
        },
        **{name: option.schema() for name, option in OPTIONS.items()},
    }
    return {"type": "object", "additionalProperties": False, "required": ["term", "weight"], "properties": properties}


def key_faults(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys that an entry lacks or that its term does not have, as the tail of a message about the entry."""
    term = TERMS[given["term"]]
    if term.is_layered and not given.get("layers"):
        yield ".layers: needed: pairs [student, teacher]"
    if not term.is_layered and "layers" in given:
        yield ".layers: this term has no layers; remove it"
    for name in OPTIONS:
        if name in given and name not in term.options:
            owners = [other.name for other in TERMS.values() if name in other.options]
            yield f".{name}: only {', '.join(owners)} {'has' if len(owners) == 1 else 'have'} one; remove it"


def shape_faults(entry: Entry, student: Shape | None, teacher: Shape | None, *, has_teacher: bool) -> Iterator[str]:
    """Yield what of an entry does not fit the two models, as the tail of a message about it.

    Args:
        student, teacher: None where they are not known.
    """
    term = entry.term
    if term.needs_teacher and not has_teacher:
        yield ": needs a teacher; set the model's `teacher`"
    for pair in entry.layers:
        for side, layer, shape in zip(("student", "teacher"), pair, (student, teacher), strict=True):
            if layer < term.lowest_layer or (shape is not None and layer > shape.layers):
                depth = "?" if shape is None else shape.layers
                yield f".layers: {side} layer {layer} of {list(pair)} is outside {term.lowest_layer}..{depth}"
    if student is not None and teacher is not None:
        mismatch = term.mismatch(student, teacher, entry.options)
        if mismatch is not None:
            yield f": {mismatch}"
