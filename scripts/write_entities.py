"""Write the entities that a fine-tuned model found in its test data: as spans of the documents, or as tagged words."""

import argparse
import logging
from pathlib import Path

from compactbio.digests import add_verify
from compactbio.errors import UserError
from compactbio.kinds.tag_schemes import SCHEMES
from compactbio.logs import run_program

log = logging.getLogger(__name__)


def main() -> None:
    """Parse the command line, read the predictions of a run, write them."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Without --scheme, for datasets whose files were documents, a line of JSON a document: "
        '{"id": ..., "entities": [{"start", "end", "label", "text"}]}; offsets count as in these files.',
    )
    about = "folder with run.yaml and predictions.parquet"
    parser.add_argument("--results", type=Path, required=True, metavar="RUNDIR", help=about)
    parser.add_argument("--tasks", type=Path, required=True, metavar="TASKDIR", help="the prepared dataset")
    parser.add_argument("--run", help="which run; the first one if it is not said")
    about = "write word<TAB>tag lines in this scheme"
    parser.add_argument("--scheme", choices=list(SCHEMES), help=about)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="the file to write")
    add_verify(parser)
    arguments = parser.parse_args()

    from compactbio.scoring.finetuned import open_finetuned
    from compactbio.scoring.found_entities import document_spans, tagged_words, write_lines
    from compactbio.settings.results import Finetuning
    from compactbio.settings.runs import read_finetuning_run

    run_file = Finetuning(arguments.results).run
    settings = read_finetuning_run(run_file)
    names = [run["run"] for run in settings["runs"]]
    run = arguments.run or names[0]
    if run not in names:
        raise UserError(f"--run {run} is not in {run_file}, which has {', '.join(names)}")
    finetuned = open_finetuned(settings["model"], arguments.results, arguments.tasks)
    lines = tagged_words(finetuned, run, arguments.scheme) if arguments.scheme else document_spans(finetuned, run)
    write_lines(arguments.output, lines)
    log.info("entities of %s, run %s, written to %s", settings["model"], run, arguments.output)


if __name__ == "__main__":
    run_program(main)
