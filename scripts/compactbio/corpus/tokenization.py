"""Texts to a token store."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from compactbio.corpus.shards import read_texts
from compactbio.corpus.tokens import TokenStoreWriter
from compactbio.errors import UserError
from compactbio.files import Manifest, replacing_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BATCH = 1000
LOG_EVERY_SECONDS = 60.0

log = logging.getLogger(__name__)


def tokenize_shard(
    texts: Path,
    output: Path,
    tokenizer: Tokenizer,
    *,
    frame: tuple[Sequence[int], Sequence[int]],
    special_ids: dict[str, int],
    tokenizer_digest: str,
    max_length: int,
) -> Manifest:
    """Write the token store of a text shard and return its manifest.

    A sequence is a text between the special ids of its frame (`[CLS]` and `[SEP]`), cut to `max_length` ids in all.
    Texts are read and written in batches, so that memory does not grow with the shard. The tokenizer's truncation and
    padding are set here.

    Args:
        frame: special ids before and behind a text.

    Raises:
        UserError: the length is impossible, or the shard is unsound.
    """
    before, behind = map(list, frame)
    room = max_length - len(before) - len(behind)
    if room < 1:
        raise UserError(f"corpus.max_length is {max_length}: a sequence needs at least {max_length - room + 1} ids")
    tokenizer.enable_truncation(room)
    tokenizer.no_padding()
    ids = np.unique(list(tokenizer.get_vocab(with_added_tokens=True).values()))
    vocabulary_size = int(ids[-1]) + 1
    reported = time.monotonic()
    with replacing_folder(output) as folder:
        writer = TokenStoreWriter(
            folder,
            vocabulary_size=vocabulary_size,
            unused_ids=np.setdiff1d(np.arange(vocabulary_size), ids).tolist(),
            special_ids=special_ids,
            max_length=max_length,
        )
        try:
            for batch in read_texts(texts, BATCH):
                encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=False)
                sequences = [before + encoding.ids + behind for encoding in encodings]
                # only a full sequence can have been cut; asking all of them for their rest costs a third
                full = (encoding for encoding, ids in zip(encodings, sequences, strict=True) if len(ids) == max_length)
                writer.append(sequences, truncated=sum(bool(encoding.overflowing) for encoding in full))
                if time.monotonic() - reported > LOG_EVERY_SECONDS:
                    reported = time.monotonic()
                    log.info("%s sequences, %s tokens", f"{writer.sequences:,}", f"{writer.tokens:,}")
            return writer.finish(tokenizer_digest=tokenizer_digest)
        finally:
            writer.close()
