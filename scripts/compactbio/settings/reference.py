"""The keys of a configuration as a page: what each means, what it may be, and what config/config.yaml says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from compactbio.kinds import KINDS
from compactbio.terms.objective import TERMS

NAME, KIND = "NAME", "KIND"  # stand for names that a configuration chooses, and for kinds of task
_LONGEST = 60  # characters of a value that is shown
_TYPES = {
    "integer": ("whole number", "whole numbers"),
    "number": ("number", "numbers"),
    "string": ("text", "texts"),
    "boolean": ("true or false", ""),
    "null": ("null", ""),
    "object": ("mapping", "mappings"),
}
_BOUNDS = {"minimum": "from", "exclusiveMinimum": "above", "maximum": "to", "exclusiveMaximum": "below"}


@dataclass(frozen=True)
class Key:
    """A key of a configuration.

    Attributes:
        path: from the top, NAME in place of names that a configuration chooses.
        form: its JSON Schema, references resolved.
        definition: the name of the schema's definition that it refers to, if it does.
        needed: whether an entry of a mapping by names must have it.
    """

    path: tuple[str, ...]
    form: Mapping[str, Any]
    definition: str | None
    needed: bool

    @property
    def description(self) -> str | None:
        """Return what it means; None where the schema does not say."""
        return self.form.get("description")

    @property
    def has_keys(self) -> bool:
        """Return whether keys stand below it."""
        return "properties" in self.form or "properties" in self.form.get("items", {})

    @property
    def place(self) -> tuple[str, ...]:
        """Return its path, KIND in place of a kind of task."""
        return (self.path[0], KIND, *self.path[2:]) if self.path[0] == "finetuning" else self.path


def keys_of(schema: Mapping[str, Any]) -> Iterator[Key]:
    """Yield every key of a whole schema (`schema.whole_schema`), those of a definition wherever it is referred to."""
    yield from _keys(schema, (), schema["$defs"])


def configuration_reference(schema: Mapping[str, Any], paper: Mapping[str, Any]) -> str:
    """Return Markdown: a table for each key at the top, and those of terms and layouts.

    Args:
        schema: the whole schema.
        paper: the configuration whose values are shown beside the keys.
    """
    tops: dict[str, list[Key]] = {}
    for key in keys_of(schema):
        tops.setdefault(key.path[0], []).append(key)
    single = [keys[0] for keys in tops.values() if len(keys) == 1]
    sections = ["### Folders and addresses", _key_table(_key_rows(single, paper, {}))]
    shown: dict[str, str] = {}  # definitions by the first key that shows theirs
    for name, (top, *inner) in tops.items():
        if inner:
            rows = _key_rows([key for key in inner if key.place != ("finetuning", KIND)], paper, shown)
            sections += [f"### `{name}`", top.description or "", _key_table(rows)]
    sections += ["### Terms of an objective", _terms(), "### Layouts of datasets", _layouts()]
    return "\n\n".join(sections) + "\n"


def _resolved(form: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """Return a form with the definitions beneath it that it, its choices and its items refer to."""
    below = _resolved(definitions[form["$ref"].rpartition("/")[2]], definitions) if "$ref" in form else {}
    whole = {**below, **{key: value for key, value in form.items() if key != "$ref"}}
    if "anyOf" in whole:
        whole["anyOf"] = [_resolved(choice, definitions) for choice in whole["anyOf"]]
    if "items" in whole:
        whole["items"] = _resolved(whole["items"], definitions)
    return whole


def _keys(form: Mapping[str, Any], path: tuple[str, ...], definitions: Mapping[str, Any]) -> Iterator[Key]:
    """Yield the keys below a form; those of a condition (an optimizer's own) where it has none of that name."""
    conditions = [part["then"]["properties"] for part in form.get("allOf", ()) if "then" in part]
    properties = {
        key: inner for part in (*reversed(conditions), form.get("properties", {})) for key, inner in part.items()
    }
    for key in dict.fromkeys((*form.get("properties", ()), *(key for part in conditions for key in part))):
        inner, place = properties[key], (*path, key)
        definition = inner["$ref"].rpartition("/")[2] if "$ref" in inner else None
        resolved = _resolved(inner, definitions)
        yield Key(place, resolved, definition, NAME in path and key in form.get("needs", ()))
        yield from _keys(resolved, place, definitions)
    for part, place in (("additionalProperties", (*path, NAME)), ("items", path)):
        if isinstance(form.get(part), Mapping):
            yield from _keys(_resolved(form[part], definitions), place, definitions)


def _key_rows(keys: Iterable[Key], paper: Mapping[str, Any], shown: dict[str, str]) -> list[list[str]]:
    """Return a section's rows; kinds of task share them, and keys of a definition stand at its first place only."""
    places: dict[tuple[str, ...], list[Key]] = {}
    for key in keys:
        places.setdefault(key.place, []).append(key)
    rows = []
    elsewhere: set[tuple[str, ...]] = set()  # places whose keys stand elsewhere
    for place, alike in places.items():
        if any(place[:length] in elsewhere for length in range(len(place))):
            continue
        key, path = alike[0], ".".join(place)
        first = shown.setdefault(key.definition, path) if key.definition and key.has_keys else path
        if first == path:
            form = _of_kinds(alike, [form_in_words(one.form) for one in alike])
        else:
            elsewhere.add(place)
            form = f"as `{first}`"
        value = _of_kinds(alike, [_value(one.path, paper) for one in alike])
        inside = ".".join(place[1:] or place)
        rows.append([f"`{inside}`", f"{form}, needed" if key.needed else form, value, key.description or ""])
    return rows


def _of_kinds(keys: Sequence[Key], words: Sequence[str]) -> str:
    """Return the words of a cell, with the kinds of task where these have different ones or not all have the key."""
    if KIND not in keys[0].place or (len(set(words)) == 1 and len(words) == len(KINDS)):
        return words[0]
    kinds: dict[str, list[str]] = {}
    for key, word in zip(keys, words, strict=True):
        kinds.setdefault(word, []).append(key.path[1])
    return "; ".join(f"{', '.join(of)}: {word}" for word, of in kinds.items() if word)


def form_in_words(form: Mapping[str, Any], *, several: bool = False) -> str:
    """Return what a value may be, for a reader; `several` for a list of them."""
    if "title" in form:
        return f"{form['title']}{'s' if several else ''}"
    if "enum" in form:
        return " or ".join(f"`{_yaml(choice)}`" for choice in form["enum"])
    if "const" in form:
        return f"`{form['const']}`"
    if "anyOf" in form:
        return " or ".join(form_in_words(choice) for choice in form["anyOf"])
    types = form.get("type", "object")
    return " or ".join(_type_in_words(name, form, several) for name in ([types] if isinstance(types, str) else types))


def _type_in_words(name: str, form: Mapping[str, Any], several: bool) -> str:
    """Return one type with its range."""
    if name == "array":
        length = form.get("maxItems")
        word = ("lists" if several else "list") if length is None else f"{length}"
        return f"{word} {'of ' if length is None else ''}{form_in_words(form['items'], several=True)}"
    words = _TYPES[name][several]
    if name in ("integer", "number"):
        words += "".join(f" {word} {form[bound]}" for bound, word in _BOUNDS.items() if bound in form)
    return words


def _value(path: tuple[str, ...], paper: Mapping[str, Any]) -> str:
    """Return what a configuration says at a path, where that is short."""
    value: Any = paper
    for key in path:
        if not isinstance(value, Mapping) or key not in value:
            return ""
        value = value[key]
    shown = _yaml(value)
    return f"`{shown}`" if len(shown) <= _LONGEST and not (isinstance(value, Mapping) and value) else ""


def _yaml(value: Any) -> str:
    """Return a value on one line as a configuration writes it."""
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return re.sub(r"e-0(\d)", r"e-\1", text.removesuffix("\n").removesuffix("\n..."))


def _key_table(rows: list[list[str]]) -> str:
    """Return the table of a section, without the column of values where there are none."""
    header = ["key", "form", "in config.yaml", "meaning"]
    shown = [column for column in range(len(header)) if any(row[column] for row in rows)]
    return _table(([row[column] for column in shown] for row in rows), [header[column] for column in shown])


def _table(rows: Iterable[Iterable[str]], header: Sequence[str]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _terms() -> str:
    """Return the table of terms; what is summed is the first line of the function's docstring."""
    rows = []
    for term in TERMS.values():
        summed = (term.function.__doc__ or "").partition("\n")[0].removeprefix("Return ")
        needs = [*(["`layers`"] if term.is_layered else []), *(["a teacher"] if term.needs_teacher else [])]
        options = ", ".join(f"`{name}`" for name in term.options)
        rows.append([f"`{term.name}`", summed, ", ".join(term.reads), ", ".join(needs), options])
    return _table(rows, ("term", "what is summed", "reads", "needs", "options"))


def _layouts() -> str:
    """Return the table of layouts."""
    rows = [
        [f"`{layout.name}`", f"`{kind.name}`, {kind.title}", " ".join(layout.describes.split()).replace("<", "&lt;")]
        for kind in KINDS.values()
        for layout in kind.layouts
    ]
    return _table(rows, ("layout", "task", "files, and what a dataset must say"))
