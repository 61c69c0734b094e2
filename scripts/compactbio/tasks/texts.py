"""Reading the small text files of benchmarks, with errors that name file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from compactbio.downloads.content import encoding_advice
from compactbio.errors import UserError, require_file
from compactbio.files import read_json
from compactbio.forms import LARGEST_TEXT, parse_json


def read_text(path: Path) -> str:
    """Return a file's text: UTF-8, a byte-order mark dropped, line ends as they are.

    Raises:
        UserError: the file is missing, empty, or not UTF-8 (the line of the first wrong byte is named).
    """
    require_file(path, LARGEST_TEXT)
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} does not exist{describe_neighbours(path)}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder where a file is expected") from None
    if not content.strip():
        raise UserError(f"{path} is empty: download it or write it again")
    if b"\0" in content:
        raise UserError(f"{path} holds NUL bytes, as no UTF-8 text does. {encoding_advice(content)}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not UTF-8. {encoding_advice(content)}"
        ) from None


def read_lines(path: Path) -> list[str]:
    r"""Return a file's lines without their ends, be they \n or Windows' \r\n.

    Only these two end a line: texts hold other characters that `str.splitlines` would split at.

    Raises:
        UserError: the file cannot be read, or its lines end with \r alone.
    """
    text = read_text(path)
    if "\n" not in text and "\r" in text.rstrip("\r"):
        raise UserError(f"{path} ends its lines with CR alone, as old Macs did: convert it, as with tr '\\r' '\\n'")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if lines and not lines[-1]:
        lines.pop()
    return lines


def read_rows(path: Path, columns: int, meaning: str) -> list[tuple[int, list[str]]]:
    """Return (line number from 1, cells) of a tab-separated file without quoting; blank lines are skipped.

    Quotation marks are ordinary characters in the benchmarks' files, so no CSV reader is used.

    Raises:
        UserError: a line has another number of cells than `columns`; `meaning` says what they are.
    """
    rows = []
    for number, line in _filled_lines(path):
        cells = line.split("\t")
        if len(cells) != columns:
            raise UserError(
                f"{path}, line {number}: {len(cells)} cells where {columns} are expected "
                f"({meaning}, separated by tabs): {line[:80]!r}"
            )
        rows.append((number, cells))
    return rows


def read_json_rows(path: Path, keys: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return (line number from 1, values of `keys`) of a file with a JSON object a line; blank lines are skipped.

    Other keys of the objects are left.

    Raises:
        UserError: a line is not JSON, no object, or lacks one of the keys with a string as value.
    """
    rows = []
    expected = f"one object with {' and '.join(keys)} a line is expected"
    for number, value in read_json_objects(path, expected):
        for key in keys:
            if not isinstance(value.get(key), str):
                raise UserError(f"{path}, line {number}: no {key} that is a string; {expected}: {str(value)[:80]}")
        rows.append((number, [value[key] for key in keys]))
    return rows


def read_json_objects(
    path: Path, expected: str = "one object a line is expected"
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, object) of a file with a JSON object a line; blank lines are skipped.

    Raises:
        UserError: a line is not JSON or no object; `expected` says what it should be.
    """
    for number, line in _filled_lines(path):
        try:
            value = parse_json(line)
        except ValueError as error:
            raise UserError(f"{path}, line {number}: not JSON ({error}); {expected}: {line[:80]!r}") from None
        if not isinstance(value, dict):
            found = type(value).__name__
            raise UserError(f"{path}, line {number}: {found} where an object stands; {expected}: {line[:80]!r}")
        yield number, value


def read_json_text(path: Path) -> Any:
    """Return the value in a JSON file whose encoding and emptiness are checked first."""
    read_text(path)
    return read_json(path)


def _filled_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number from 1, line) of the lines of a file that are not blank."""
    for number, line in enumerate(read_lines(path), start=1):
        if line.strip():
            yield number, line


def check_label(label: str, known: dict[str, int], where: str, key: str) -> int:
    """Return the id of a label.

    Raises:
        UserError: the label, which stands at `where`, is not among `known`, which the configuration key `key` lists.
    """
    try:
        return known[label]
    except KeyError:
        raise UserError(
            f"{where}: unknown label {label!r}; known are {', '.join(known)}. Correct the file or {key}"
        ) from None


def describe_neighbours(path: Path) -> str:
    """Return a remark on what stands where a missing file was looked for, to follow "does not exist"."""
    folder = path.parent
    if not folder.is_dir():
        return f", nor does its folder {folder}"
    names = sorted(entry.name for entry in folder.iterdir())
    shown = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
    return f"; {folder} holds {shown or 'nothing'}"
