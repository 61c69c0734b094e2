"""What a corpus holds: citations, abstracts, and the lengths of its sequences per tokenizer."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from compactbio.corpus.shards import ShardCounts
from compactbio.corpus.tokens import TokenStore
from compactbio.files import replacing_file, write_text

QUANTILES = {"median": 0.5, "90th percentile": 0.9}


@dataclass(frozen=True)
class Lengths:
    """Sequence lengths of one tokenizer's stores.

    Attributes:
        tokenizer: its name.
        histogram: int64, (max_length + 1,), sequences of each length, special tokens included.
        truncated: sequences cut to `max_length`.
        max_length: longest possible sequence.
    """

    tokenizer: str
    histogram: np.ndarray
    truncated: int
    max_length: int

    @property
    def sequences(self) -> int:
        """Number of sequences."""
        return int(self.histogram.sum())

    @property
    def tokens(self) -> int:
        """Number of ids."""
        return int(self.histogram @ np.arange(len(self.histogram)))

    def quantile(self, fraction: float) -> int:
        """Return the smallest length that at least this fraction of the sequences does not exceed."""
        return int(np.searchsorted(np.cumsum(self.histogram), fraction * self.sequences))


class Row(NamedTuple):
    """A line of the table: a number, and what part of another one it is."""

    subject: str
    measure: str
    value: float
    share: float | None = None
    of: str = ""


def read_lengths(manifests: Sequence[Path]) -> list[Lengths]:
    """Return the lengths per tokenizer of stores .../<tokenizer>/<shard>/manifest.json, sorted by name."""
    folders: defaultdict[str, list[Path]] = defaultdict(list)
    for manifest in manifests:
        folders[manifest.parent.parent.name].append(manifest.parent)
    found = []
    for tokenizer, parts in sorted(folders.items()):
        store = TokenStore(parts)
        histogram = np.bincount(store.lengths, minlength=store.max_length + 1)
        found.append(Lengths(tokenizer, histogram, store.truncated, store.max_length))
    return found


def summary_rows(total: ShardCounts, lengths: Sequence[Lengths]) -> list[Row]:
    """Return the table: the texts first, then each tokenizer."""
    noun, kept, abstracts = total["kind"], total["kept"], total["with_abstract"]
    read = total["citations"]
    rows = [Row("text", "files", len(total["sources"])), Row("text", f"{noun} read", read)]
    for reason, number in total["dropped"].items():
        rows.append(_part("text", f"dropped: {reason.replace('_', ' ')}", number, read, f"{noun} read"))
    rows.append(_part("text", f"{noun} kept", kept, read, f"{noun} read"))
    if noun == "citations":
        rows += [
            _part("text", "with abstract", abstracts, kept, "citations kept"),
            _part("text", "abstract in sections", total["structured"], abstracts, "with abstract"),
            _part("text", "title in brackets (translated)", total["bracketed_titles"], kept, "citations kept"),
        ]
    for kind, number in total["ignored"].items():
        rows.append(Row("text", f"not counted: {kind.replace('_', ' ')}", number))
    for length in lengths:
        name, sequences = f"tokenizer {length.tokenizer}", length.sequences
        rows += [
            Row(name, "sequences", sequences),
            Row(name, "tokens, special ones included", length.tokens),
            Row(name, "mean length", round(length.tokens / max(sequences, 1), 1)),
            *(Row(name, f"{word} length", length.quantile(part)) for word, part in QUANTILES.items()),
            _part(name, f"truncated at {length.max_length}", length.truncated, sequences, "sequences"),
        ]
    return rows


def write_table(
    rows: Sequence[Row], csv_path: Path, markdown_path: Path, settings: dict[str, Any], notice: str = ""
) -> None:
    """Write the table as CSV (shares as fractions) and, under the notice, as Markdown (shares in per cent)."""
    with replacing_file(csv_path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(Row._fields)
        for row in rows:
            share = "" if row.share is None else f"{row.share:.6f}"
            writer.writerow([row.subject, row.measure, row.value, share, row.of])
    lines = [f"> **{notice}**", ""] if notice else []
    lines += ["| | | number | share |", "|---|---|---:|---|"]
    previous = ""
    for row in rows:
        share = "" if row.share is None else f"{100 * row.share:.1f} % of {row.of}"
        subject = row.subject if row.subject != previous else ""
        lines.append(f"| {subject} | {row.measure} | {row.value:,} | {share} |")
        previous = row.subject
    if settings:
        words = ", ".join(f"{key} {'—' if value is None else value}" for key, value in settings.items())
        lines += ["", f"Settings of the text: {words}."]
    write_text(markdown_path, "\n".join(lines) + "\n")


def _part(subject: str, measure: str, part: int, whole: int, of: str) -> Row:
    """Return the row of a part of something; it has no share of nothing."""
    return Row(subject, measure, part, part / whole if whole else None, of)
