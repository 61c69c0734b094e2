"""What a corpus holds: citations, abstracts, and the lengths of its sequences per tokenizer."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compactbio.corpus.shards import ShardCounts
from compactbio.corpus.tokens import TokenStore
from compactbio.errors import UserError
from compactbio.files import replacing_file

COLUMNS = ("subject", "measure", "value", "share", "of")
QUANTILES = {"median": 0.5, "90th percentile": 0.9}


@dataclass(frozen=True)
class Lengths:
    """Sequence lengths of one tokenizer's stores.

    Attributes:
        tokenizer: its name.
        histogram: int64, (max_length + 1,), sequences of each length, [CLS] and [SEP] included.
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


@dataclass(frozen=True)
class Row:
    """A line of the table: a number, and what part of another one it is."""

    subject: str
    measure: str
    value: int | float | None
    share: float | None = None
    of: str = ""


def add_counts(counts: Sequence[ShardCounts]) -> ShardCounts:
    """Return the sum of the counts of text shards.

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
        "dropped": dropped,
        "ignored": ignored,
        "with_abstract": sum(count["with_abstract"] for count in counts),
        "structured": sum(count["structured"] for count in counts),
        "bracketed_titles": sum(count["bracketed_titles"] for count in counts),
        "settings": settings,
        "sources": [source for count in counts for source in count["sources"]],
    }


def read_lengths(manifests: Sequence[Path]) -> list[Lengths]:
    """Return the lengths per tokenizer of stores .../<tokenizer>/<shard>/manifest.json, sorted by name."""
    folders: defaultdict[str, list[Path]] = defaultdict(list)
    for manifest in manifests:
        folders[manifest.parent.parent.name].append(manifest.parent)
    found = []
    for tokenizer, parts in sorted(folders.items()):
        store = TokenStore.open(parts)
        histogram = np.bincount(store.lengths, minlength=store.max_length + 1)
        found.append(Lengths(tokenizer, histogram, store.truncated, store.max_length))
    return found


def summary_rows(total: ShardCounts, lengths: Sequence[Lengths]) -> list[Row]:
    """Return the table: the texts first, then each tokenizer."""
    noun = total["kind"]
    read, kept = total["citations"], total["kept"]
    rows = [Row("text", "files", len(total["sources"])), Row("text", f"{noun} read", read)]
    rows += [
        Row("text", f"dropped: {reason.replace('_', ' ')}", number, _share(number, read), f"{noun} read")
        for reason, number in sorted(total["dropped"].items())
    ]
    rows.append(Row("text", f"{noun} kept", kept, _share(kept, read), f"{noun} read"))
    if noun == "citations":
        abstracts = total["with_abstract"]
        rows += [
            Row("text", "with abstract", abstracts, _share(abstracts, kept), "citations kept"),
            Row(
                "text",
                "abstract in sections",
                total["structured"],
                _share(total["structured"], abstracts),
                "with abstract",
            ),
            Row(
                "text",
                "title in brackets (translated)",
                total["bracketed_titles"],
                _share(total["bracketed_titles"], kept),
                "citations kept",
            ),
        ]
    rows += [
        Row("text", f"not counted: {kind.replace('_', ' ')}", number)
        for kind, number in sorted(total["ignored"].items())
    ]
    for length in lengths:
        name = f"tokenizer {length.tokenizer}"
        rows += [
            Row(name, "sequences", length.sequences),
            Row(name, "word pieces, [CLS] and [SEP] included", length.tokens),
            Row(name, "mean length", round(length.tokens / max(length.sequences, 1), 1)),
            *(Row(name, f"{word} length", length.quantile(part)) for word, part in QUANTILES.items()),
            Row(
                name,
                f"truncated at {length.max_length}",
                length.truncated,
                _share(length.truncated, length.sequences),
                "sequences",
            ),
        ]
    return rows


def write_table(rows: Sequence[Row], csv_path: Path, markdown_path: Path, settings: dict[str, Any]) -> None:
    """Write the table as CSV (shares as fractions) and as Markdown (shares in per cent)."""
    with replacing_file(csv_path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in rows:
            share = "" if row.share is None else f"{row.share:.6f}"
            writer.writerow([row.subject, row.measure, "" if row.value is None else row.value, share, row.of])
    lines = ["| | | number | share |", "|---|---|---:|---|"]
    previous = ""
    for row in rows:
        share = "" if row.share is None else f"{100 * row.share:.1f} % of {row.of}"
        value = "—" if row.value is None else f"{row.value:,}"
        lines.append(f"| {row.subject if row.subject != previous else ''} | {row.measure} | {value} | {share} |")
        previous = row.subject
    if settings:
        words = ", ".join(f"{key} {'—' if value is None else value}" for key, value in settings.items())
        lines += ["", f"Settings of the text: {words}."]
    with replacing_file(markdown_path) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _share(part: int, whole: int) -> float | None:
    """Return a part as a fraction, None of nothing."""
    return part / whole if whole else None
