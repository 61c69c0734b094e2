"""Text shards: parquet files with the columns pmid (int64) and text (string), and the counts beside them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NotRequired, Self, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from compactbio.digests import AGAIN, Recorded, require_same
from compactbio.errors import UserError, reading
from compactbio.files import read_json
from compactbio.provenance import Provenance, recorded_outputs

ROW_GROUP = 10_000
LARGEST_GROUP_CHARACTERS = 2**26  # abstracts have a quarter of it in a group; documents may be long
LARGEST_READ_BYTES = 2**24  # of texts at once
SCHEMA = pa.schema([("pmid", pa.int64()), ("text", pa.string())])


class SourceCounts(TypedDict):
    """What was read and kept of one file."""

    name: str
    citations: int
    kept: int


class ShardCounts(TypedDict):
    """What was read and kept of the files of a shard, and why the rest was not; a corpus is counted alike.

    `with_abstract`, `structured` and `bracketed_titles` are of the citations kept.
    """

    kind: Literal["citations", "documents"]
    citations: int
    kept: int
    dropped: dict[str, int]
    ignored: dict[str, int]
    with_abstract: int
    structured: int
    bracketed_titles: int
    settings: dict[str, Any]
    sources: list[SourceCounts]
    provenance: NotRequired[Provenance]  # of the file; older versions wrote none, and a corpus has none


def read_counts(path: Path) -> ShardCounts:
    """Return the counts of a shard.

    Raises:
        UserError: the file is missing or is none of counts.
    """
    counts: ShardCounts = read_json(
        path, ShardCounts, f"delete it and {AGAIN} (rules parse_baseline, import_documents)"
    )
    return counts


def recorded_texts(path: Path) -> list[Recorded]:
    """Return a file of texts with the digest that its program noted in the counts beside it; nothing without one."""
    counts = path.with_name(f"{path.stem}.counts.json")
    if not counts.is_file():
        return []  # a user's own
    provenance = read_counts(counts).get("provenance")
    return [] if provenance is None else recorded_outputs(path.parent, provenance, counts)


def add_counts(counts: Sequence[ShardCounts]) -> ShardCounts:
    """Return the sum of the counts of files or of text shards.

    Raises:
        UserError: they were made with different settings.
    """
    settings = counts[0]["settings"]
    if any(count["settings"] != settings for count in counts):
        raise UserError("the text shards were made with different settings: remake them (rule parse_baseline)")
    dropped: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    for count in counts:
        dropped.update(count["dropped"])
        ignored.update(count["ignored"])
    return {
        "kind": counts[0]["kind"],
        "citations": sum(count["citations"] for count in counts),
        "kept": sum(count["kept"] for count in counts),
        "dropped": dict(sorted(dropped.items())),
        "ignored": dict(sorted(ignored.items())),
        "with_abstract": sum(count["with_abstract"] for count in counts),
        "structured": sum(count["structured"] for count in counts),
        "bracketed_titles": sum(count["bracketed_titles"] for count in counts),
        "settings": settings,
        "sources": [source for count in counts for source in count["sources"]],
    }


class TextShardWriter:
    """Writes rows to a parquet file, compressed by zstd, in groups of ROW_GROUP rows, fewer where texts are long."""

    def __init__(self, path: Path) -> None:
        """Open the file for writing; use it in a `with` block."""
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._pmids: list[int] = []
        self._texts: list[str] = []
        self._characters = 0

    def append(self, pmids: Sequence[int], texts: Sequence[str]) -> None:
        """Append rows, of which full groups are written at once."""
        self._pmids += pmids
        self._texts += texts
        self._characters += sum(map(len, texts))
        while len(self._pmids) >= ROW_GROUP:
            self._write_group()
        if self._characters > LARGEST_GROUP_CHARACTERS:
            self._write_group()

    def __enter__(self) -> Self:
        """Return the writer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left and close the file."""
        if kind is None and self._pmids:
            self._write_group()
        self._writer.close()

    def _write_group(self) -> None:
        """Write the first ROW_GROUP rows."""
        columns = [
            pa.array(self._pmids[:ROW_GROUP], pa.int64()),
            pa.array(self._texts[:ROW_GROUP], pa.string()),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA), row_group_size=ROW_GROUP)
        del self._pmids[:ROW_GROUP], self._texts[:ROW_GROUP]
        self._characters = sum(map(len, self._texts))


def read_texts(path: Path, batch_size: int = 1000) -> Iterator[list[str]]:
    """Yield the texts of a shard in lists of at most `batch_size`, shorter ones where texts are long.

    Raises:
        UserError: the file is missing, is not parquet, or has no column `text` of strings without nulls.
    """
    require_same(recorded_texts(path))
    with reading(path, "make it again"), pq.ParquetFile(path) as file:
        field = file.schema_arrow.field("text") if "text" in file.schema_arrow.names else None
        if field is None or not (pa.types.is_string(field.type) or pa.types.is_large_string(field.type)):
            raise UserError(f"{path} has no column `text` of strings: give a parquet file with one")
        facts = file.metadata
        all_bytes = sum(facts.row_group(number).total_byte_size for number in range(facts.num_row_groups))
        fitting = LARGEST_READ_BYTES * max(1, facts.num_rows) // max(1, all_bytes)
        first = 0
        for rows in file.iter_batches(max(1, min(batch_size, fitting)), columns=["text"]):
            column = rows.column(0)
            if column.null_count:
                raise UserError(f"{path} has an empty `text` (null) in rows {first}-{first + len(column)}")
            first += len(column)
            yield column.to_pylist()
