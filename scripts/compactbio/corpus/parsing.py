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
from compactbio.corpus.shards import ShardCounts, TextShardWriter, add_counts
from compactbio.files import replacing_file

log = logging.getLogger(__name__)


def parse_baseline(paths: Sequence[Path], output: Path, *, mode: str, as_of: date | None) -> ShardCounts:
    """Write the texts of baseline files as one shard, in the order of files and records; return the counts.

    Args:
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
    counts: list[ShardCounts] = []
    with replacing_file(output) as temporary, TextShardWriter(temporary) as writer:
        for path in paths:
            citations, of_file = _read_file(path, mode, as_of)
            writer.append([c.pmid for c in citations], [c.text for c in citations])
            if not of_file["citations"]:
                log.warning("%s has no citations", path)
            counts.append(of_file)
    return add_counts(counts)


def _read_file(path: Path, mode: str, as_of: date | None) -> tuple[list[Citation], ShardCounts]:
    """Return the citations of a file that are kept, and what was read, dropped and ignored."""
    latest = (as_of.year, as_of.month, as_of.day) if as_of else None
    citations: list[Citation] = []
    dropped: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
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
            dropped["without_entrez_date" if citation.entrez is None else "entered_after_as_of"] += 1
        else:
            citations.append(citation)
    if mode == FULL:
        newest = _highest_versions(citations)
        dropped["older_version"] += len(citations) - len(newest)
        citations = [citation for citation in newest if citation.text]
        dropped["without_text"] += len(newest) - len(citations)
    return citations, {
        "kind": "citations",
        "citations": seen,
        "kept": len(citations),
        "dropped": {reason: number for reason, number in dropped.items() if number},
        "ignored": ignored,
        "with_abstract": sum(c.has_abstract for c in citations),
        "structured": sum(c.structured for c in citations),
        "bracketed_titles": sum(c.bracketed for c in citations),
        "settings": {"text": mode, "as_of": as_of.isoformat() if as_of else None},
        "sources": [{"name": path.name, "citations": seen, "kept": len(citations)}],
    }


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


def _highest_versions(citations: list[Citation]) -> list[Citation]:
    """Return the citations less those of which a higher version is there (of equal ones the last is kept)."""
    best: dict[int, int] = {}  # PMID -> place in the list
    for place, citation in enumerate(citations):
        held = best.get(citation.pmid)
        if held is None or citation.version >= citations[held].version:
            best[citation.pmid] = place
    return citations if len(best) == len(citations) else [citations[place] for place in sorted(best.values())]
