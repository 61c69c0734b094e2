"""Make the miniature: an artificial PubMed baseline, four datasets and tiny starting points, in official layouts.

With --more the datasets and starting points are those of config/demo_more.yaml: other kinds of task, other forms of
named entities, other architectures and tokenizers.

The same seed and sizes give the same bytes. A folder that is complete for them is left as it is.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
from pathlib import Path

from compactbio.logs import run_program
from compactbio.miniature.assembly import LISTING, Sizes, make_miniature

HELP = {
    "year": "year of the baseline, in its file names",
    "files": "files of the baseline",
    "citations": "citations of all its files",
    "ner_train": "training sentences of NCBI-disease",
    "gad_rows": "sentences of GAD",
    "gad_folds": "folds of GAD, 5 at most",
    "chemprot_train": "training abstracts of ChemProt",
    "questions_train": "training questions of BioASQ",
    "questions_other": "golden questions of each kind that is not factoid",
    "checkpoints": "write the starting points too",
    "more": "the datasets and starting points of config/demo_more.yaml, whose sizes are fixed",
}


def main() -> None:
    """Parse the command line and write the miniature."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the folder to make")
    parser.add_argument("--seed", type=int, default=0, help="of everything drawn at random (default: 0)")
    for field in dataclasses.fields(Sizes):
        flag = f"--{field.name.replace('_', '-')}"
        if field.type == "bool":
            parser.add_argument(
                flag, action=argparse.BooleanOptionalAction, default=field.default, help=HELP[field.name]
            )
        else:
            text = HELP.get(field.name, field.name.replace("_", " "))
            parser.add_argument(flag, type=int, default=field.default, help=f"{text} (default: {field.default})")
    arguments = vars(parser.parse_args())
    output, seed = arguments.pop("output"), arguments.pop("seed")
    listing = make_miniature(output, seed, Sizes(**arguments))
    size = sum(facts["bytes"] for facts in listing["files"].values())
    logging.info("%s: %d files, %.1f MB, listed in %s", output, len(listing["files"]), size / 1e6, LISTING)


if __name__ == "__main__":
    run_program(main)
