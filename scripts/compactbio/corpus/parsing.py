"""From baseline files to one text shard, with the counts of what was kept and why the rest was not."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

from compactbio.corpus.citation_texts import FULL, Citation, read_citation
from compactbio.corpus.medline import ARTICLE, Record, broken_file, read_records
from compactbio.corpus.shards import ShardCounts, SourceCounts, TextShardWriter
from compactbio.errors import UserError
from compactbio.files import replacing_file

AFTER_DATE, WITHOUT_DATE = "entered_after_as_of", "without_entrez_date"
OLDER_VERSION, WITHOUT_TEXT = "older_version", "without_text"

log = logging.getLogger(__name__)


def parse_baseline(paths: Sequence[Path], output: Path, *, mode: str, as_of: date | None) -> ShardCounts:
    """Write the texts of baseline files as one shard, in the order of files and records; return the counts.

    Args:
        paths: gzipped PubMed XML files.
        output: the parquet file; it appears when it is complete.
        mode: `full` or `reference` (compactbio.corpus.citation_texts).
        as_of: keep citations that entered PubMed on this day or before; None keeps all.

    What is dropped, in this order: with `as_of`, citations that entered later and those without a date of
    entry, since nothing says that they are old enough; in mode `full`, all but the highest version of a PMID
    within a file, and citations without title and abstract. Mode `reference` keeps the last two kinds, an
    empty text too, because the paper's loader did. Book articles and deletion lists are not citations: they
    are ignored, and counted as such.

    Raises:
        UserError: a file is missing, truncated, broken or of the old form; nothing is written then.
    """
    totals: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    sources: list[SourceCounts] = []
    with replacing_file(output) as temporary, TextShardWriter(temporary) as writer:
        for path in paths:
            citations, seen = _read_file(path, mode, as_of, dropped, ignored)
            writer.append([c.pmid for c in citations], [c.text for c in citations])
            sources.append({"name": path.name, "citations": seen, "kept": len(citations)})
            if not seen:
                log.warning("%s has no citations", path)
            totals["citations"] += seen
            totals["kept"] += len(citations)
            totals["with_abstract"] += sum(c.has_abstract for c in citations)
            totals["structured"] += sum(c.structured for c in citations)
            totals["bracketed_titles"] += sum(c.bracketed for c in citations)
    return {
        "kind": "citations",
        "citations": totals["citations"],
        "kept": totals["kept"],
        "dropped": dict(sorted(dropped.items())),
        "ignored": dict(sorted(ignored.items())),
        "with_abstract": totals["with_abstract"],
        "structured": totals["structured"],
        "bracketed_titles": totals["bracketed_titles"],
        "settings": {"text": mode, "as_of": as_of.isoformat() if as_of else None},
        "sources": sources,
    }


def as_of_date(text: str) -> date:
    """Return the date of a text like 2021-12-12.

    Raises:
        UserError: it is no date.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UserError(f"{text!r} is no date: write it as 2021-12-12 (key corpus.baseline.as_of)") from None


def _read_file(
    path: Path, mode: str, as_of: date | None, dropped: Counter[str], ignored: Counter[str]
) -> tuple[list[Citation], int]:
    """Return the citations of a file that are kept, and the number of all; add to the two counters."""
    latest = (as_of.year, as_of.month, as_of.day) if as_of else None
    citations: list[Citation] = []
    seen = 0
    for record in read_records(path):
        if record.kind != ARTICLE:
            ignored[record.kind] += 1
            if record.doubtful:
                _require_sound(record, path)
            continue
        seen += 1
        citation = _read_record(record, path, mode, with_date=latest is not None)
        if latest is not None and (citation.entrez is None or citation.entrez > latest):
            dropped[WITHOUT_DATE if citation.entrez is None else AFTER_DATE] += 1
            continue
        citations.append(citation)
    if mode == FULL:
        citations = _without_empty(_highest_versions(citations, dropped), dropped)
    return citations, seen


def _read_record(record: Record, path: Path, mode: str, *, with_date: bool) -> Citation:
    """Return a record's citation; what the parser says becomes a message that names the file."""
    try:
        return read_citation(record, mode, with_date=with_date)
    except (ElementTree.ParseError, ValueError) as error:
        start = record.xml[:400].decode(errors="replace")
        pmid = start.partition("<PMID")[2].partition(">")[2].partition("<")[0] or "unknown"
        raise broken_file(path, f"the record of PMID {pmid} cannot be read ({error})") from None


def _require_sound(record: Record, path: Path) -> None:
    """Parse a record that is otherwise ignored, so that broken XML in it is not passed over."""
    try:
        ElementTree.fromstring(b"<set" + record.namespaces + b">" + record.xml + b"</set>")
    except ElementTree.ParseError as error:
        raise broken_file(path, f"an element of kind {record.kind} cannot be read ({error})") from None


def _highest_versions(citations: list[Citation], dropped: Counter[str]) -> list[Citation]:
    """Return the citations less those of which a higher version is there (of equal ones the last is kept)."""
    best: dict[int, int] = {}  # PMID -> place in the list
    for place, citation in enumerate(citations):
        held = best.get(citation.pmid)
        if held is None or citation.version >= citations[held].version:
            best[citation.pmid] = place
    if len(best) == len(citations):
        return citations
    dropped[OLDER_VERSION] += len(citations) - len(best)
    return [citations[place] for place in sorted(best.values())]


def _without_empty(citations: list[Citation], dropped: Counter[str]) -> list[Citation]:
    """Return the citations that have text."""
    kept = [citation for citation in citations if citation.text]
    if len(kept) < len(citations):
        dropped[WITHOUT_TEXT] += len(citations) - len(kept)
    return kept
