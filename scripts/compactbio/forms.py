"""The form of what a file holds: its keys and their types, compared with the record's type in the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from compactbio.errors import UserError, require_file

MOST_VALUES = 10**6  # of a file in YAML, aliases followed
LARGEST_TEXT = 2**28  # bytes of a file that comes into memory whole; the largest known has 2**26
_HALF = re.compile(r"\\u[dD][89a-fA-F]")  # an escape of half a character, whose other half may be missing


def parse_json(text: str, **options: Any) -> Any:
    """Return the value of a text in JSON; `options` are those of `json.loads`.

    Raises:
        ValueError: it is not JSON, is nested too deep, or holds half of a character, which can be stored nowhere.
    """
    try:
        value = json.loads(text, **options)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    return whole_characters(value, text)


def whole_characters(value: Any, text: str) -> Any:
    """Return a value of JSON or YAML, given with its text; ValueError where it holds half of a character."""
    if _HALF.search(text):
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            raise ValueError(f"it holds half of a character, {half!a}, without the other half") from None
    return value


def require_few(value: Any) -> Any:
    """Return a value of YAML; ValueError where its aliases make more of it than MOST_VALUES, or it holds itself."""
    sizes: dict[int, int] = {}  # of mappings and lists by identity; 0: being counted

    def size(part: Any) -> int:
        if not isinstance(part, dict | list):
            return 1
        if id(part) not in sizes:
            sizes[id(part)] = 0
            sizes[id(part)] = 1 + sum(map(size, part.values() if isinstance(part, dict) else part))
        if not 0 < sizes[id(part)] <= MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {MOST_VALUES:,} values: write out what is meant")
        return sizes[id(part)]

    size(value)
    return value


def require_form(value: Any, form: Any, path: Path, remake: str = "") -> None:
    """Refuse a value that has not the keys and types of a form; further keys are allowed.

    Args:
        value: of JSON or YAML.
        form: a type, as a TypedDict.
        path: where the value is from.
        remake: what to do about it.

    Raises:
        UserError: the message names the first place that differs.
    """
    import msgspec

    try:
        msgspec.convert(value, form)
    except (msgspec.ValidationError, RecursionError) as error:
        where = str(error).replace(" - at `$", ", in `").replace("`.", "`").replace("$", "")
        raise UserError(f"{path} is not what it should be ({where}){f': {remake}' if remake else ''}") from None


def read_json_lines(path: Path, form: Any = None) -> list[Any]:
    """Return the values in the lines of a file, none where there is no file; a torn last line is left out.

    Raises:
        UserError: another line is not JSON, or a value is not of the form (see `read_json`).
    """
    values: list[Any] = []
    require_file(path, LARGEST_TEXT)
    lines = path.read_bytes().splitlines() if path.is_file() else []
    for number, line in enumerate(lines, start=1):
        try:
            values.append(parse_json(line.decode()))
        except ValueError as error:
            if number == len(lines):
                break
            raise UserError(
                f"{path}, line {number}, is not JSON ({error}): delete the line, or the file to do without it"
            ) from None
    if form is not None:
        require_form(values, list[form], path, "delete the line, or the file to do without it")
    return values
