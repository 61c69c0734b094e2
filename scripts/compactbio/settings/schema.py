"""The form of a configuration: known keys, types and ranges."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema

from compactbio.architectures import ARCHITECTURES, AUTO
from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.kinds import KINDS
from compactbio.kinds.tag_schemes import SCHEMES
from compactbio.terms.objective import term_schema
from compactbio.training.optimizer_settings import optimizer_schema
from compactbio.training.schedules import SCHEDULES

LARGEST = 2**32 - 1  # of whole numbers: what seeds may be, and more than any count of a training
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_Validator = jsonschema.validators.extend(  # JSON Schema takes 100.0 for an integer; Python's range does not
    jsonschema.Draft202012Validator,
    validators={"needs": jsonschema.Draft202012Validator.VALIDATORS["required"]},
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda checker, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def check_schema(config: dict[str, Any], schema_file: Path) -> None:
    """Raise one UserError that lists every place where the configuration departs from the schema."""
    schema = whole_schema(schema_file)
    messages = [*_number_faults(config), *(_describe(error) for error in _Validator(schema).iter_errors(config))]
    if messages:
        listed = "\n".join(f"  - {message}" for message in sorted(set(messages)))
        raise UserError(f"the configuration has {len(set(messages))} fault(s):\n{listed}")


def whole_schema(schema_file: Path) -> dict[str, Any]:
    """Return the schema of a file with what the library's registries add to it."""
    schema: dict[str, Any] = read_yaml(schema_file)
    schema["$defs"].update(registered_definitions(schema))
    return schema


def registered_definitions(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema's definitions ($defs) that registries of the library hold, by the name it refers to them by."""
    shape_keys = {key: form for record in ARCHITECTURES.values() for key, form in record.shape.items()}
    return {
        "architecture": {"enum": [*ARCHITECTURES, AUTO]},
        "optimizer": optimizer_schema(),
        "schedule": {"enum": list(SCHEDULES)},
        "tag_scheme": {"enum": list(SCHEMES)},
        # every architecture's keys; that a model has those of its own, settings/shapes.py checks
        "student_shape": {"type": ["object", "null"], "properties": shape_keys},
        "term": term_schema(),  # an entry of an objective; which options its term has, settings/checks.py checks
        **_kind_definitions(schema["$defs"]["finetuning_options"]),
    }


def _kind_definitions(common: dict[str, Any]) -> dict[str, Any]:
    """Return what the records of kinds of task say of a configuration, beside what is `common` to all kinds."""
    closed = {"type": "object", "additionalProperties": False}
    whole, of_dataset = {}, []
    for name, kind in KINDS.items():
        block = {**closed, "properties": {**common["properties"], **kind.hyperparameters()}}
        whole[name] = {
            **block,
            "description": f"{kind.title}.",
            "required": [*common["needs"], *kind.required_options],
        }
        this_kind = {"required": ["task"], "properties": {"task": {"const": name}}}
        of_dataset.append({"if": this_kind, "then": {"properties": {"finetuning": block}}})
    return {
        "kind": {"enum": list(KINDS)},
        "layout": {"enum": list({layout.name: None for kind in KINDS.values() for layout in kind.layouts})},
        "finetuning": {**closed, "required": list(KINDS), "properties": whole},
        "finetuning_of_dataset": {"allOf": of_dataset},
    }


def _number_faults(value: Any, *keys: object) -> Iterator[str]:
    """Yield where a configuration holds a number that is not finite, or one too large to mean something."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _number_faults(inner, *keys, key)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _number_faults(inner, *keys, index)
    elif isinstance(value, float) and not math.isfinite(value):
        yield f"{'.'.join(map(str, keys))}: {value} is not finite; give a number"
    elif isinstance(value, int | float) and abs(value) > LARGEST:
        yield f"{'.'.join(map(str, keys))}: {value} is too large; give at most {LARGEST}"


def _describe(error: jsonschema.ValidationError) -> str:
    """Return where a schema error is and what to do, in the words of the configuration."""
    while error.context:
        error = min(error.context, key=lambda inner: len(inner.context or []))
    place = ".".join(str(part) for part in error.absolute_path)
    where = place or "top level"
    form: Any = error.schema
    expected: Any = error.validator_value
    given: Any = error.instance
    if error.validator == "additionalProperties" and isinstance(given, dict):
        known = sorted(form.get("properties", {}))
        unknown = [key for key in given if key not in known]
        return "; ".join(f"{where}: unknown key `{key}`{_suggestion(key, known)}" for key in unknown)
    if error.validator in ("required", "needs"):
        missing = [key for key in expected if key not in given]
        return f"{where}: missing key(s) {', '.join(f'`{key}`' for key in missing)}"
    if error.validator == "enum":
        choices = ", ".join(str(choice) for choice in expected)
        return f"{where}: {given!r} is not one of {choices}"
    if error.validator == "type" and isinstance(given, str) and _NUMBER.fullmatch(given):
        return f"{where}: {given!r} is text for YAML; write the number with a point, like 1.0e-4"
    if error.validator == "type" and isinstance(given, float) and "integer" in expected:
        return f"{where}: {given!r} is no whole number; write one without a point, like 100000"
    if error.validator == "not":
        return f"{where}: {given!r} holds a brace, which rules take for a wildcard; choose another name"
    return f"{where}: {error.message}"


def _suggestion(key: str, known: list[str]) -> str:
    """Return the closest known key as a question, or the list of known keys."""
    close = difflib.get_close_matches(str(key), known, n=1)
    if close:
        return f" (did you mean `{close[0]}`?)"
    return f" (known: {', '.join(known)})" if known else ""
