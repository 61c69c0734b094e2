"""A prepared dataset back to the files of its source."""

from __future__ import annotations

from pathlib import Path

from compactbio.files import read_json
from compactbio.finetuning.runs.digests import dataset_digest
from compactbio.provenance import Provenance
from compactbio.tracing.chain import Chain


def trace_dataset(chain: Chain, name: str, recorded: str | None) -> None:
    """Walk from a prepared dataset to its source's files and archive.

    Args:
        recorded: the digest of the rows that the fine-tuning names.
    """
    dataset = chain.results.tasks.dataset(name)
    folder = dataset.folder
    manifest = chain.manifest(folder)
    if manifest is None:
        return
    rows = ", ".join(f"{split} {counts['rows']:,}" for split, counts in manifest["counts"].items() if "rows" in counts)
    chain.say(f"prepared dataset {folder}: digest {manifest['digest'][:16]}{f', rows {rows}' if rows else ''}")
    with chain.below():
        if recorded is not None:
            what = f"digest of the rows of {folder} in the fine-tuning's inputs"
            chain.same(what, recorded, dataset_digest(folder))
        record = chain.origin(dataset, manifest)
        used = manifest["inputs"]
        if record is not None:
            kept = {name: digest for name, digest in record["inputs"].items() if name in used}
            chain.same(f"files in {dataset.provenance}", kept, used)
        source = None if record is None else record.get("source")
        if source is not None and record is not None:
            _trace_source(chain, chain.results.tasks.source(source), used, record)
            return
        chain.say("files of the user's own:" if record else "files it was made of:")
        with chain.below():
            chain.files(used)


def _trace_source(chain: Chain, path: Path, used: dict[str, str], record: Provenance) -> None:
    """Walk from a source's manifest to its archive."""
    if not chain.there(path):
        return
    source = read_json(path)
    chain.say(f"source {source['source']} (version {source['version'] or 'none'}), {path}")
    with chain.below():
        if "source" in record["inputs"]:
            chain.same(f"digest of {path}", record["inputs"]["source"], source["digest"])
        by_digest = {file["sha256"]: name for name, file in source["files"].items()}
        found = {}
        for name, digest in used.items():
            member = by_digest.get(digest)
            if member is None:
                chain.broken(f"{name} (sha256 {digest[:16]}) is not among the files of {path}")
                continue
            found[member] = digest
            chain.file(Path(source["folder"]) / member, digest)
        chain.files(found)
        archive = source["archive"]
        chain.say(f"from {source['url']}: sha256 {archive['sha256']}")
        place = Path(archive["path"])
        if place.is_dir():
            chain.gap(f"{place} is a folder, whose digest is not computed again; those of its files stand above")
        else:
            chain.file(place, archive["sha256"])
