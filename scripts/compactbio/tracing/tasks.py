"""A prepared dataset back to the files of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compactbio.files import read_json
from compactbio.finetuning.runs.digests import dataset_digest
from compactbio.tracing.chain import Chain


def trace_dataset(chain: Chain, depth: int, results: Path, dataset: str, recorded: str | None) -> None:
    """Walk from a prepared dataset to its source's files and archive.

    Args:
        recorded: the digest of the rows that the fine-tuning names.
    """
    folder = results / "tasks" / dataset
    manifest = chain.manifest(depth, folder)
    if manifest is None:
        return
    rows = ", ".join(f"{split} {counts['rows']:,}" for split, counts in manifest["counts"].items() if "rows" in counts)
    chain.say(depth, f"prepared dataset {folder}: digest {manifest['digest'][:16]}{f', rows {rows}' if rows else ''}")
    if recorded is not None:
        chain.same(
            depth + 1, f"digest of the rows of {folder} in the fine-tuning's inputs", recorded, dataset_digest(folder)
        )
    record = chain.origin(depth + 1, folder, manifest)
    used = manifest["inputs"]
    if record:
        kept = {name: digest for name, digest in record["inputs"].items() if name in used}
        chain.same(depth + 1, f"files in {folder}/provenance.json", kept, used)
    source = _source_of(results, record, used)
    if source is None:
        chain.say(depth + 1, "files of the user's own:" if record else "files it was made of:")
        chain.many(depth + 2, (f"{name}: sha256 {digest}" for name, digest in used.items()))
        return
    _trace_source(chain, depth + 1, source, used, record)


def _source_of(results: Path, record: dict[str, Any], used: dict[str, str]) -> Path | None:
    """Return the manifest of a dataset's source: the named one, or that which lists all the files used."""
    folder = results / "tasks" / "sources"
    if record:
        return folder / f"{record['source']}.json" if record.get("source") else None
    for path in sorted(folder.glob("*.json")):
        listed = {file["sha256"] for file in read_json(path)["files"].values()}
        if set(used.values()) <= listed:
            return path
    return None


def _trace_source(chain: Chain, depth: int, path: Path, used: dict[str, str], record: dict[str, Any]) -> None:
    """Walk from a source's manifest to its archive."""
    if not path.is_file():
        chain.gap(depth, f"{path} is not there")
        return
    source = read_json(path)
    chain.say(depth, f"source {source['source']} (version {source['version'] or 'none'}), {path}")
    if "source" in record.get("inputs", {}):
        chain.same(depth + 1, f"digest of {path}", record["inputs"]["source"], source["digest"])
    by_digest = {file["sha256"]: name for name, file in source["files"].items()}
    lines = []
    for name, digest in used.items():
        member = by_digest.get(digest)
        if member is None:
            chain.broken(depth + 1, f"{name} (sha256 {digest[:16]}) is not among the files of {path}")
            continue
        lines.append(f"{member}: sha256 {digest}")
        chain.file(depth + 1, Path(source["folder"]) / member, digest)
    chain.many(depth + 1, lines)
    archive = source["archive"]
    chain.say(depth + 1, f"from {source['url']}: sha256 {archive['sha256']}")
    place = Path(archive["path"])
    if place.is_dir():
        chain.gap(depth + 1, f"{place} is a folder, whose digest is not computed again; those of its files stand above")
    else:
        chain.file(depth + 1, place, archive["sha256"])
