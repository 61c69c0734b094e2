"""Token stores back to text shards, and these back to the PubMed baseline files or a user's documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compactbio.files import read_json
from compactbio.tracing.chain import Chain, made_in_words


def trace_store(chain: Chain, depth: int, results: Path, tokenizer: str, batch: str, recorded: str) -> None:
    """Walk from a token store to the files of its batch.

    Args:
        recorded: the digest that the training names.
    """
    folder = results / "corpus" / "tokens" / tokenizer / batch
    manifest = chain.manifest(depth, folder)
    if manifest is None:
        return
    chain.say(
        depth,
        f"token store {folder}: digest {manifest['digest'][:16]}, {manifest['documents']:,} sequences, "
        f"{manifest['tokens']:,} tokens of at most {manifest['max_length']}",
    )
    chain.same(depth + 1, f"digest of {folder} in the training's inputs", recorded, manifest["digest"])
    if chain.enter(depth + 1, folder):
        record = chain.origin(depth + 1, folder, manifest)
        inputs = record.get("inputs", {})
        trace_text(chain, depth + 1, results, batch, inputs.get(f"{batch}.parquet"))


def trace_text(chain: Chain, depth: int, results: Path, batch: str, recorded: str | None) -> None:
    """Walk from a text shard to the files that it was parsed from."""
    folder = results / "corpus" / "text"
    shard, counts_file = folder / f"{batch}.parquet", folder / f"{batch}.counts.json"
    if not counts_file.is_file():
        chain.gap(depth, f"{counts_file} is not there")
        return
    counts = read_json(counts_file)
    chain.say(depth, f"parsed shard {shard}: {counts['kept']:,} of {counts['citations']:,} {counts['kind']} kept")
    if not chain.enter(depth + 1, shard):
        return
    record = counts.get("provenance", {})
    written = record.get("outputs", {}).get(shard.name)
    if record:
        chain.say(depth + 1, f"made {made_in_words(record)}")
        if recorded is not None:
            chain.same(depth + 1, f"sha256 of {shard.name} in the token store's inputs", recorded, written)
    else:
        chain.gap(depth + 1, f"{counts_file} has no provenance: an older version wrote it")
    chain.file(depth + 1, shard, recorded or written)
    if counts["kind"] == "citations":
        _trace_baseline(chain, depth + 1, results / "corpus" / "baseline" / f"{batch}.json", record, counts)
    else:
        chain.many(
            depth + 1, (f"document file {name}: sha256 {digest}" for name, digest in record.get("inputs", {}).items())
        )


def _trace_baseline(chain: Chain, depth: int, listed: Path, record: dict[str, Any], counts: dict[str, Any]) -> None:
    """Walk to the baseline files of a batch, each with its address and digests."""
    if not listed.is_file():
        chain.gap(depth, f"{listed} is not there: which files were downloaded is not known")
        return
    batch = read_json(listed)
    files = {file["name"]: file for file in batch["files"]}
    parsed = [source["name"] for source in counts.get("sources", [])]
    if parsed:
        chain.same(depth, f"files named in {listed}", sorted(parsed), sorted(files))
    lines = []
    for name, file in files.items():
        lines.append(f"{batch['base_url']}{name}: md5 {file['md5']}, sha256 {file['sha256']}, {file['bytes']:,} bytes")
        if record:
            chain.same(depth, f"sha256 of {name} in the shard's inputs", record["inputs"].get(name), file["sha256"])
        path = Path(file["path"])
        if chain.verify and path.is_file():
            chain.file(depth, path, file["sha256"])
            chain.file(depth, path, file["md5"], "md5")
    chain.say(depth, f"PubMed baseline {batch['year']}, {len(files)} files listed in {listed}")
    chain.many(depth + 1, lines)
    absent = [name for name, file in files.items() if not Path(file["path"]).is_file()]
    if absent:
        chain.gap(depth + 1, f"{len(absent)} of the files are no longer on this machine, for example {absent[0]}")
