"""Write the token store of a text shard: ids and offsets (see compactbio/corpus/tokens.py)."""

from __future__ import annotations

import argparse
import json
import logging
import os
import time
from pathlib import Path

from compactbio.digests import add_verify, sha256_of_file
from compactbio.errors import UserError
from compactbio.files import MANIFEST
from compactbio.locks import locked
from compactbio.logs import run_program


def main() -> None:
    """Check the tokenizer, then encode the shard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("texts", type=Path, metavar="TEXT.parquet", help="a file with a column `text`")
    parser.add_argument("--tokenizer", required=True, type=Path, help="folder with a tokenizer.json")
    parser.add_argument("--output", required=True, type=Path, help="folder of the store")
    parser.add_argument("--max-length", type=int, default=256, help="ids of a sequence at most (default 256)")
    parser.add_argument(
        "--definition", help="JSON of the configuration's tokenizers.<name>, asserted; null: the folder's, as published"
    )
    parser.add_argument("--name", default="<name>", help="that <name>, for messages")
    parser.add_argument("--threads", type=int, default=1, help="threads of the tokenizer (default 1)")
    add_verify(parser)
    arguments = parser.parse_args()
    try:
        definition = json.loads(arguments.definition) if arguments.definition else None
    except json.JSONDecodeError as error:
        raise UserError(f"--definition is not JSON: {error}") from None
    # read when the tokenizer's thread pool starts, hence before its import
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true" if arguments.threads > 1 else "false"

    from compactbio.corpus.tokenization import tokenize_shard
    from compactbio.provenance import write_provenance
    from compactbio.students.framing import read_frame
    from compactbio.students.tokenizers import (
        check_tokenizer,
        load_tokenizer,
        require_trainable,
        special_ids,
        tokenizer_digest,
    )

    tokenizer = load_tokenizer(arguments.tokenizer)
    if definition is not None:
        check_tokenizer(tokenizer, definition, arguments.name)
    require_trainable(tokenizer, arguments.max_length, arguments.tokenizer)
    ids = special_ids(tokenizer)
    frame = read_frame(tokenizer.backend_tokenizer, ids.get("cls"), ids.get("sep"), str(arguments.tokenizer))
    started = time.perf_counter()
    with locked(arguments.output):  # the folder and its record are of one process
        manifest = tokenize_shard(
            arguments.texts,
            arguments.output,
            tokenizer.backend_tokenizer,
            frame=frame.single,
            special_ids=ids,
            tokenizer_digest=tokenizer_digest(arguments.tokenizer),
            max_length=arguments.max_length,
        )
        seconds = time.perf_counter() - started
        inputs = {arguments.texts.name: sha256_of_file(arguments.texts), "tokenizer": manifest["tokenizer_digest"]}
        write_provenance(arguments.output, inputs, seconds, outputs={MANIFEST: manifest["digest"]})
    logging.info(
        "%s sequences, %s tokens, %s truncated at %d; %.1f s, %s tokens/s",
        f"{manifest['documents']:,}",
        f"{manifest['tokens']:,}",
        f"{manifest['truncated']:,}",
        arguments.max_length,
        seconds,
        f"{manifest['tokens'] / seconds:,.0f}",
    )


if __name__ == "__main__":
    run_program(main)
