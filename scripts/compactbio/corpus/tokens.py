"""Token stores: the sequences of a corpus as ids on disk, written once and read by memory mapping.

A store is a folder with

- `ids.npy`: of the type of `id_type`, one dimension, the ids of all sequences joined, each with its special tokens;
- `offsets.npy`: int64, n + 1 values; sequence i is `ids[offsets[i]:offsets[i + 1]]`;
- `manifest.json`: digests, counts, and the tokenizer that made it.

Attention masks, special-token masks and token types follow from the ids and are not stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from compactbio.digests import AGAIN
from compactbio.errors import UserError, reading
from compactbio.files import MANIFEST, Facts, Manifest, read_manifests, sha256_of_value, write_manifest
from compactbio.settings.results import TokenStoreFolder

IDS, OFFSETS = TokenStoreFolder.ids.name, TokenStoreFolder.offsets.name
LARGEST_OF_16_BITS = 65_535  # entries; one value is left unused so that none can be a sentinel by accident
FIXED_FACTS: Final = ("tokenizer_digest", "vocabulary_size", "special_ids", "max_length")


def id_type(vocabulary_size: int) -> np.dtype[np.unsignedinteger]:
    """Return the type in which a store holds ids: 16 bits, or 32 where the vocabulary has more of them."""
    return np.dtype("<u2" if vocabulary_size <= LARGEST_OF_16_BITS else "<u4")


class TokenStoreWriter:
    """Writes the sequences of one store as they come, holding only their lengths in memory."""

    def __init__(
        self,
        folder: Path,
        *,
        vocabulary_size: int,
        special_ids: dict[str, int],
        max_length: int,
        unused_ids: Sequence[int] = (),
    ) -> None:
        """Start a store in an existing, empty folder; see `TokenStore` for what is noted of its tokenizer."""
        self.folder = folder
        self.id_type = id_type(vocabulary_size)
        self.unused_ids = list(unused_ids)
        self.vocabulary_size = vocabulary_size
        self.special_ids = special_ids
        self.max_length = max_length
        self.truncated = 0
        self.sequences = 0
        self._lengths: list[np.ndarray] = []
        self.tokens = 0
        self._stream = (folder / IDS).open("wb")
        self._header_bytes = self._write_header()

    def append(self, sequences: Iterable[Sequence[int]], truncated: int = 0) -> None:
        """Append sequences of ids, of which `truncated` were cut to the length limit."""
        arrays = [np.asarray(ids, dtype=self.id_type) for ids in sequences]
        if not arrays:
            return
        joined = np.concatenate(arrays)
        self._stream.write(joined.tobytes())
        self._lengths.append(np.fromiter(map(len, arrays), dtype=np.int32, count=len(arrays)))
        self.tokens += len(joined)
        self.sequences += len(arrays)
        self.truncated += truncated

    def finish(self, *, tokenizer_digest: str) -> Manifest:
        """Complete both arrays, write the manifest and return it."""
        lengths = np.concatenate(self._lengths) if self._lengths else np.zeros(0, dtype=np.int32)
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        np.save(self.folder / OFFSETS, offsets)
        self._stream.seek(0)
        if self._write_header() != self._header_bytes:
            raise RuntimeError("the header of ids.npy changed its length: the ids behind it would be overwritten")
        self._stream.close()
        facts: Facts = {
            "documents": len(lengths),
            "tokens": self.tokens,
            "truncated": self.truncated,
            "tokenizer_digest": tokenizer_digest,
            "vocabulary_size": self.vocabulary_size,
            "special_ids": self.special_ids,
            "max_length": self.max_length,
        }
        if self.unused_ids:
            facts["unused_ids"] = self.unused_ids
        return write_manifest(self.folder, **facts)

    def close(self) -> None:
        """Let go of the open file (after an error; `finish` does it otherwise)."""
        self._stream.close()

    def _write_header(self) -> int:
        """Write numpy's header for the ids so far and return its length.

        numpy leaves room in it for the first dimension to grow, so that it can be written again at the end.
        """
        header = {"descr": self.id_type.str, "fortran_order": False, "shape": (self.tokens,)}
        np.lib.format.write_array_header_1_0(self._stream, header)
        return self._stream.tell()


class TokenStore:
    """Several store folders read as one list of sequences, in the order of the folders.

    Attributes:
        lengths: int32, (n,), ids of each sequence, special tokens included.
        special_ids: names to ids: "pad", "mask", those of "unk", "cls" and "sep" that there are, and others.
        vocabulary_size: one more than the largest id.
        unused_ids: those below it that stand for no token.
        max_length: longest sequence that the stores were made with.
        tokenizer_digest: digest of all that decides ids.
        digest: sha256 over the digests of the folders, in order.
        truncated: number of sequences cut to `max_length`.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """Open the folders, whose files are compared with their manifests.

        Raises:
            UserError: no folder, a folder that is no sound store, or folders of different tokenizers.
        """
        if not folders:
            raise UserError("no token store was given: name at least one folder that tokenize_shard made")
        manifests = read_manifests(folders)
        for folder, manifest in zip(folders, manifests, strict=True):
            _require_store(folder, manifest)
        _require_same_tokenizer(folders, manifests)
        self.special_ids = manifests[0]["special_ids"]
        self.vocabulary_size = manifests[0]["vocabulary_size"]
        self.unused_ids = manifests[0].get("unused_ids", [])
        self.max_length = manifests[0]["max_length"]
        self.tokenizer_digest = manifests[0]["tokenizer_digest"]
        self.digest: str = sha256_of_value([manifest["digest"] for manifest in manifests])
        self.tokens: int = sum(manifest["tokens"] for manifest in manifests)
        self.truncated: int = sum(manifest["truncated"] for manifest in manifests)
        self._nothing: np.ndarray = np.zeros(0, dtype=id_type(self.vocabulary_size))
        self._ids = [_map_array(folder / IDS, self._nothing.dtype) for folder in folders]
        self._offsets = [_map_array(folder / OFFSETS, np.dtype(np.int64)) for folder in folders]
        for folder, ids, offsets, manifest in zip(folders, self._ids, self._offsets, manifests, strict=True):
            ends = len(offsets) == manifest["documents"] + 1 and offsets[0] == 0 and offsets[-1] == len(ids)
            if not ends or bool(np.any(np.diff(offsets) < 0)):
                raise UserError(f"{folder}: {IDS}, {OFFSETS} and {MANIFEST} disagree: remake the folder")
        self._first = np.cumsum([0] + [len(offsets) - 1 for offsets in self._offsets])
        self.lengths: np.ndarray = np.concatenate([np.diff(offsets).astype(np.int32) for offsets in self._offsets])

    def __len__(self) -> int:
        """Return the number of sequences."""
        return int(self._first[-1])

    def gather(self, indices: np.ndarray) -> list[np.ndarray]:
        """Return sequences by their numbers, in the order of `indices` (k,), each a read-only view."""
        indices = np.asarray(indices, dtype=np.int64)
        if len(indices) and not (indices.min() >= 0 and indices.max() < len(self)):
            raise IndexError(f"sequence {indices.min()} or {indices.max()} of a store of {len(self)}")
        sequences: list[np.ndarray] = [self._nothing] * len(indices)
        shards = np.searchsorted(self._first, indices, side="right") - 1
        for shard in np.unique(shards):
            places = np.flatnonzero(shards == shard)
            rows = indices[places] - self._first[shard]
            offsets, ids = self._offsets[shard], self._ids[shard]
            # .tolist(): slicing by Python integers costs half of slicing by numpy's
            starts, ends = offsets[rows].tolist(), offsets[rows + 1].tolist()
            for place, start, end in zip(places.tolist(), starts, ends, strict=True):
                sequences[place] = ids[start:end]
        return sequences

    def gather_joined(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return sequences joined in one array of ids (sum of lengths,), and their int32 lengths (k,)."""
        sequences = self.gather(indices)
        joined = np.concatenate(sequences) if sequences else self._nothing
        return joined, self.lengths[np.asarray(indices, dtype=np.int64)]


def _require_store(folder: Path, manifest: Manifest) -> None:
    """Refuse a folder whose manifest is that of something else than a store."""
    missing = [key for key in (*FIXED_FACTS, "documents", "tokens", "truncated") if key not in manifest]
    if missing or not {IDS, OFFSETS} <= manifest["files"].keys():
        raise UserError(
            f"{folder} is not a token store ({', '.join(missing) or IDS} is missing): make one with tokenize_shard"
        )


def _require_same_tokenizer(folders: Sequence[Path], manifests: list[Manifest]) -> None:
    """Refuse stores whose tokenizers or lengths differ."""
    for folder, manifest in zip(folders, manifests, strict=True):
        for key in FIXED_FACTS:
            first, other = manifests[0][key], manifest[key]
            if first != other:
                raise UserError(
                    f"the token stores {folders[0]} and {folder} differ in {key} ({first} and {other}): "
                    "make both with one tokenizer and one corpus.max_length"
                )


def _map_array(path: Path, dtype: np.dtype[Any]) -> np.ndarray:
    """Return a one-dimensional array of a file, mapped and read-only."""
    with reading(path, f"delete {path.parent} and {AGAIN}"):
        array = np.load(path, mmap_mode="r")
    if array.dtype != dtype or array.ndim != 1:
        raise UserError(f"{path} holds {array.dtype} of {array.ndim} dimensions, not one of {dtype}")
    return array.view(np.ndarray)  # slices of numpy.memmap itself are several times slower
