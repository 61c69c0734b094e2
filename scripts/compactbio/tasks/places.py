"""Where the rows of a prepared dataset stand in their documents: places.parquet beside its data."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.errors import reading
from compactbio.kinds.columns import arrow_schema
from compactbio.kinds.kind import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

PLACES = "places.parquet"
# offset: of the sentence in its document, in the unit of the files
# starts, ends: of its words, in characters of its text
COLUMNS: dict[str, ColumnType] = {
    "split": "string",
    "id": "int32",
    "document": "string",
    "offset": "int64",
    "text": "string",
    "starts": ["int32"],
    "ends": ["int32"],
}


class Places:
    """The places of sentences while they are gathered, in the order of the rows of each split."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        self._rows: Counter[str] = Counter()

    def add(self, split: str, document: str, offset: int, text: str, borders: list[tuple[int, int]]) -> None:
        """Append a sentence; `borders` are (start, end) of its words."""
        starts, ends = ([border[side] for border in borders] for side in (0, 1))
        row = (split, self._rows[split], document, offset, text, starts, ends)
        for values, value in zip(self.columns.values(), row, strict=True):
            values.append(value)
        self._rows[split] += 1


def write_places(path: Path, columns: dict[str, list[Any]]) -> None:
    """Write the places of a dataset's rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pydict(columns, schema=arrow_schema(COLUMNS)), path)


def read_places(folder: Path, split: str) -> pa.Table | None:
    """Return the places of a split's rows, in their order; None where the dataset is of a layout without documents."""
    import pyarrow.parquet as pq

    path = folder / PLACES
    if not path.is_file():
        return None
    with reading(path, "prepare the dataset again"):
        table = pq.read_table(path, schema=arrow_schema(COLUMNS), filters=[("split", "=", split)]).combine_chunks()
        table.validate(full=True)
    return table
