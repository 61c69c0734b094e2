"""Token stores: what is written is what is read, and stores that do not belong together are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from compactbio.corpus.tokens import TokenStore, TokenStoreWriter
from compactbio.errors import UserError
from compactbio.files import read_manifest, write_manifest

SPECIAL = {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}


def write_store(folder: Path, sequences: list[list[int]], *, digest: str = "d", max_length: int = 64) -> Path:
    folder.mkdir(parents=True)
    writer = TokenStoreWriter(folder, vocabulary_size=300, special_ids=SPECIAL, max_length=max_length)
    half = len(sequences) // 2
    writer.append(sequences[:half])
    writer.append(sequences[half:], truncated=1 if sequences else 0)
    writer.finish(tokenizer_digest=digest)
    return folder


def random_sequences(seed: int, number: int) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    return [generator.integers(0, 300, generator.integers(2, 64)).tolist() for _ in range(number)]


@pytest.fixture
def stored(tmp_path):
    parts = [random_sequences(seed, number) for seed, number in enumerate([7, 0, 40, 1])]
    folders = [write_store(tmp_path / str(n), part) for n, part in enumerate(parts)]
    return TokenStore(folders), [sequence for part in parts for sequence in part], folders


def test_sequences_come_back(stored):
    store, expected, _ = stored
    assert len(store) == 48
    assert store.lengths.dtype == np.int32
    assert store.lengths.tolist() == [len(sequence) for sequence in expected]
    sequences = store.gather(np.arange(len(store)))
    assert [sequence.tolist() for sequence in sequences] == expected
    assert sequences[0].dtype == np.uint16
    assert store.tokens == sum(map(len, expected))
    assert (store.vocabulary_size, store.special_ids, store.max_length, store.truncated) == (300, SPECIAL, 64, 3)


def test_gather_keeps_the_order_asked_for(stored):
    store, expected, _ = stored
    indices = np.array([47, 0, 6, 7, 46, 0])
    assert [sequence.tolist() for sequence in store.gather(indices)] == [expected[n] for n in indices]
    joined, lengths = store.gather_joined(indices)
    assert joined.tolist() == [token for n in indices for token in expected[n]]
    assert lengths.tolist() == [len(expected[n]) for n in indices]
    assert store.gather(np.array([], dtype=np.int64)) == []


def test_numbers_outside_are_refused(stored):
    store, _, _ = stored
    for index in (-1, 48):
        with pytest.raises(IndexError):
            store.gather(np.array([0, index]))


def test_what_is_read_cannot_be_changed(stored):
    with pytest.raises(ValueError, match="read-only"):
        stored[0].gather(np.array([0]))[0][0] = 1


def test_digest_follows_content_and_order(stored, tmp_path):
    store, _, folders = stored
    assert TokenStore(folders).digest == store.digest
    assert TokenStore(folders[::-1]).digest != store.digest
    other = write_store(tmp_path / "other", random_sequences(9, 7))
    assert TokenStore([other, *folders[1:]]).digest != store.digest


@pytest.mark.parametrize(
    ("change", "named"), [({"digest": "e"}, "tokenizer_digest"), ({"max_length": 65}, "max_length")]
)
def test_stores_of_different_tokenizers_are_refused(tmp_path, change, named):
    first = write_store(tmp_path / "a", random_sequences(0, 3))
    second = write_store(tmp_path / "b", random_sequences(1, 3), **change)
    with pytest.raises(UserError, match=named):
        TokenStore([first, second])


def test_no_store_and_a_damaged_one(tmp_path):
    with pytest.raises(UserError, match="no token store"):
        TokenStore([])
    with pytest.raises(UserError, match=r"manifest\.json does not exist"):
        TokenStore([tmp_path])
    folder = write_store(tmp_path / "a", random_sequences(0, 3))
    content = bytearray((folder / "ids.npy").read_bytes())
    content[-1] ^= 1
    (folder / "ids.npy").write_bytes(content)
    with pytest.raises(UserError, match="differs from its digest"):
        TokenStore([folder])
    (folder / "ids.npy").write_bytes(content[:-2])
    with pytest.raises(UserError, match="bytes where"):
        TokenStore([folder])


@pytest.mark.parametrize(("vocabulary", "dtype"), [(65_535, "<u2"), (65_536, "<u4"), (250_002, "<u4")])
def test_ids_have_32_bits_where_the_vocabulary_needs_them(tmp_path, vocabulary, dtype):
    options = {"vocabulary_size": vocabulary, "special_ids": SPECIAL, "max_length": 8}
    writer = TokenStoreWriter(tmp_path, **options, unused_ids=[7, 9])
    sequences = [[2, vocabulary - 1, 3], [], [2, 65_534, 3]]
    writer.append(sequences)
    writer.finish(tokenizer_digest="d")
    stored = np.load(tmp_path / "ids.npy")
    assert (stored.dtype.str, stored.tolist()) == (dtype, [token for sequence in sequences for token in sequence])
    store = TokenStore([tmp_path])
    assert [ids.tolist() for ids in store.gather(np.arange(3))] == sequences
    assert store.gather_joined(np.array([], np.int64))[0].dtype == np.dtype(dtype)
    assert store.unused_ids == [7, 9]
    manifest = read_manifest(tmp_path)
    np.save(tmp_path / "ids.npy", stored.astype("<u2" if dtype == "<u4" else "<u4"))
    write_manifest(tmp_path, **{key: manifest[key] for key in manifest.keys() - {"digest", "files", "seal"}})
    with pytest.raises(UserError, match=r"ids\.npy holds uint(16|32) of 1 dimensions"):
        TokenStore([tmp_path])


def test_an_id_beyond_the_vocabulary_of_16_bits_is_not_cut(tmp_path):
    writer = TokenStoreWriter(tmp_path, vocabulary_size=300, special_ids=SPECIAL, max_length=8)
    with pytest.raises(OverflowError):
        writer.append([[65_536 + 5]])


def test_damaged_arrays_are_refused_by_name(tmp_path):
    folder = write_store(tmp_path / "x", random_sequences(5, 30))
    for name in ("ids.npy", "offsets.npy"):
        whole = (folder / name).read_bytes()
        for damaged in (bytes(len(whole)), b"\x93NUMPY" + bytes(len(whole) - 6), whole[:60] + b"{" * 20 + whole[80:]):
            (folder / name).write_bytes(damaged)
            with pytest.raises(UserError, match=str(tmp_path)):
                TokenStore([folder])
        (folder / name).write_bytes(whole)
    offsets = np.load(folder / "offsets.npy")
    offsets[3] = offsets[9]
    np.save(folder / "offsets.npy", offsets)
    manifest = read_manifest(folder, contents=False)
    write_manifest(folder, **{key: manifest[key] for key in manifest.keys() - {"digest", "files", "seal"}})
    with pytest.raises(UserError, match="disagree"):
        TokenStore([folder])
