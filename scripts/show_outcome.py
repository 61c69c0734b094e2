"""Print what a finished run came to, in ten lines: what was run, a number a kind of task, the checks, where to look."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.reporting.outcome import outcome_lines
from compactbio.settings.load import CONFIG_FOLDER, settings_of_files
from compactbio.settings.results import Results
from compactbio.tasks.data_sources import read_sources
from compactbio.tasks.generated_data import generated_notice


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--configfile", type=Path, nargs="*", default=[], help="as given to snakemake; default: none")
    parser.add_argument("--report", default="snakemake --report report.html", help="the command for the report")
    arguments = parser.parse_args()
    config = settings_of_files(arguments.configfile)
    results = Results(config["results_dir"])
    wanted = [results.tables.table("summary", "csv"), results.reporting.checks]
    missing = [str(path) for path in wanted if not Path(path).is_file()]
    if missing:
        raise UserError(f"no {', '.join(missing)}: the run has not ended; `make status` says how far it is")
    notice = generated_notice(config, read_sources(CONFIG_FOLDER / "data_sources.tsv"))
    sys.stdout.write("\n".join(outcome_lines(config, results, notice, arguments.report)) + "\n")


if __name__ == "__main__":
    run_program(main)
