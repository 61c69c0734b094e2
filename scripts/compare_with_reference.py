"""Run the authors' own classes and functions beside this project's, and print how far the two are apart.

Needs a clone of the authors' repository at the commit that the message names; only the definitions that are compared
are executed, from files that are checked by their digest. Everything else is random or generated: weights,
sequences, and, without --ner and --qa, the data sets of the miniature.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.benchmarks.authors_code import COMMIT, REPOSITORY, check_clone
from compactbio.errors import UserError
from compactbio.logs import run_program

if TYPE_CHECKING:
    from compactbio.benchmarks.authors_objectives import Difference


def parse_arguments() -> argparse.Namespace:
    """Return the command line's values."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", type=Path, required=True, help=f"a clone of {REPOSITORY} at {COMMIT}")
    parser.add_argument("--seeds", type=int, default=8, help="random models and batches of each objective")
    parser.add_argument("--ner", type=Path, nargs="*", default=[], help="folders with train, train_dev and test.tsv")
    parser.add_argument("--qa", type=Path, help="a training file of BioASQ in SQuAD's form")
    parser.add_argument("--vocabulary", type=Path, help="vocab.txt for --ner and --qa")
    parser.add_argument("--lower-case", action="store_true", help="of the vocabulary")
    return parser.parse_args()


def main() -> None:
    """Print the table of differences."""
    arguments = parse_arguments()
    check_clone(arguments.authors)
    if (arguments.ner or arguments.qa) and arguments.vocabulary is None:
        raise UserError("--vocabulary: the vocab.txt that the texts of --ner and --qa are split by is needed")
    from tabulate import tabulate

    with tempfile.TemporaryDirectory() as folder:
        rows = list(differences(arguments, Path(folder)))
    headers = ("what", "compared", "authors", "here", "difference")
    sys.stdout.write(tabulate(rows, headers, disable_numparse=True) + "\n")


def differences(arguments: argparse.Namespace, work: Path) -> Iterator[Difference]:
    """Yield all rows; `work` is a folder for the tokenizer and generated data."""
    import datasets
    import torch

    from compactbio.benchmarks.authors_objectives import compare_objectives, compare_starting_weights
    from compactbio.benchmarks.authors_tasks import compare_entities, compare_questions
    from compactbio.students.tokenizers import build_tokenizer, save_tokenizer

    datasets.disable_progress_bars()
    warnings.filterwarnings("ignore", message="reduction: 'mean' divides")  # which is their formula
    torch.set_num_threads(1)  # models this small gain nothing from a second
    yield from compare_objectives(arguments.authors, arguments.seeds)
    yield from compare_starting_weights(arguments.authors)
    vocabulary, ner, qa = arguments.vocabulary, arguments.ner, arguments.qa
    if not ner and not qa:
        vocabulary, ner, qa = generated_data(work)
    save_tokenizer(build_tokenizer(vocabulary, arguments.lower_case), work / "tokenizer")
    for folder in ner:
        yield from compare_entities(arguments.authors, folder, work / "tokenizer")
    if qa is not None:
        yield from compare_questions(arguments.authors, qa, work / "tokenizer")


def generated_data(work: Path) -> tuple[Path, list[Path], Path]:
    """Write the miniature's NER and BioASQ sets and return (vocabulary, folders of NER sets, training file)."""
    from compactbio.miniature.benchmark_files import make_tagged_words
    from compactbio.miniature.checkpoints import make_wordpieces
    from compactbio.miniature.questions import make_bioasq
    from compactbio.miniature.vocabulary import make_lexicon

    lexicon = make_lexicon(1)
    tagged, _ = make_tagged_words(lexicon, 1, {"train": 60, "validation": 20, "test": 60}, "generated")
    questions, _ = make_bioasq(lexicon, 1, {"train": 40, "test": 1}, 1, "generated")
    for name, content in (tagged | questions).items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    texts = [content.decode() for content in tagged.values()]
    vocabulary = work / "vocab.txt"
    vocabulary.write_text("\n".join(make_wordpieces(texts, lexicon, lower_case=False)) + "\n", encoding="utf-8")
    return vocabulary, [work / "generated"], work / "generated" / "BioASQ-train-factoid-7b.json"


if __name__ == "__main__":
    run_program(main)
