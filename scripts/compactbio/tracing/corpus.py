"""Token stores back to text shards, and these back to the PubMed baseline files or a user's documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compactbio.corpus.baseline_files import BaselineManifest
from compactbio.files import read_json
from compactbio.provenance import Provenance
from compactbio.tracing.chain import Chain, made_in_words


def trace_store(chain: Chain, tokenizer: str, shard: str, recorded: str) -> None:
    """Walk from a token store, whose digest the training names as `recorded`, to the files of its shard."""
    store = chain.results.corpus.token_store(tokenizer, shard)
    manifest = chain.manifest(store.folder)
    if manifest is None:
        return
    chain.say(
        f"token store {store.folder}: digest {manifest['digest'][:16]}, {manifest['documents']:,} sequences, "
        f"{manifest['tokens']:,} tokens of at most {manifest['max_length']}"
    )
    with chain.below():
        chain.same(f"digest of {store.folder} in the training's inputs", recorded, manifest["digest"])
        if chain.enter(store.folder):
            record = chain.origin(store, manifest)
            text = chain.results.corpus.text(shard)
            trace_text(chain, shard, None if record is None else record["inputs"].get(text.name))


def trace_text(chain: Chain, shard: str, recorded: str | None) -> None:
    """Walk from a text shard to the files that it was parsed from."""
    texts, counts_file = chain.results.corpus.text(shard), chain.results.corpus.counts(shard)
    if not chain.there(counts_file):
        return
    counts = read_json(counts_file)
    chain.say(f"parsed shard {texts}: {counts['kept']:,} of {counts['citations']:,} {counts['kind']} kept")
    with chain.below():
        if not chain.enter(texts):
            return
        record: Provenance | None = counts.get("provenance")
        written = None if record is None else record["outputs"].get(texts.name)
        if record is None:
            chain.gap(f"{counts_file} has no provenance: an older version wrote it")
        else:
            chain.say(f"made {made_in_words(record)}")
            if recorded is not None:
                chain.same(f"sha256 of {texts.name} in the token store's inputs", recorded, written)
        chain.file(texts, recorded or written)
        if counts["kind"] == "citations":
            _trace_baseline(chain, chain.results.corpus.baseline(shard), record, counts)
        elif record is not None:
            chain.files(record["inputs"], "document file ")


def _trace_baseline(chain: Chain, listed: Path, record: Provenance | None, counts: dict[str, Any]) -> None:
    """Walk to the baseline files of a shard, each with its address and digests."""
    if not chain.there(listed, ": which files were downloaded is not known"):
        return
    manifest: BaselineManifest = read_json(listed)
    files = {file["name"]: file for file in manifest["files"]}
    parsed = [source["name"] for source in counts.get("sources", [])]
    if parsed:
        chain.same(f"files named in {listed}", sorted(parsed), sorted(files))
    lines = []
    for name, file in files.items():
        digests = f"md5 {file['md5']}, sha256 {file['sha256']}"
        lines.append(f"{manifest['base_url']}{name}: {digests}, {file['bytes']:,} bytes")
        if record is not None:
            chain.same(f"sha256 of {name} in the shard's inputs", record["inputs"].get(name), file["sha256"])
        path = Path(file["path"])
        if chain.verify and path.is_file():
            chain.file(path, file["sha256"])
    chain.say(f"PubMed baseline {manifest['year']}, {len(files)} files listed in {listed}")
    with chain.below():
        chain.many(lines)
        absent = [name for name, file in files.items() if not Path(file["path"]).is_file()]
        if absent:
            chain.gap(f"{len(absent)} of the files are no longer on this machine, for example {absent[0]}")
