"""Print the tables of a folder to the terminal, and where the files are."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.reporting.report_records import TABLES, in_print_order
from compactbio.reporting.tables.terminal import for_terminal
from compactbio.settings.load import settings_of_files
from compactbio.settings.results import Results, Tables


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("folder", type=Path, nargs="?", metavar="DIR", help="folder that build_tables wrote")
    source.add_argument(
        "--configfile", type=Path, nargs="*", metavar="FILE", help="the tables that build_tables --configfile wrote"
    )
    names, about = [table.name for table in TABLES], "tables to print (default: those there that fit a terminal)"
    parser.add_argument("--only", nargs="+", choices=names, help=about)
    arguments = parser.parse_args()
    folder = arguments.folder
    if folder is None:
        folder = Results(Path(settings_of_files(arguments.configfile)["results_dir"])).tables_so_far.folder
    paths = {table.name: Tables(folder).table(table.name, "md") for table in TABLES}
    shown = arguments.only or in_print_order([table for table in TABLES if paths[table.name].is_file()])
    missing = [str(paths[name]) for name in shown if not paths[name].is_file()]
    if missing or not shown:
        lacking = ", ".join(missing) or f"table in {folder}"
        raise UserError(f"no {lacking}: build the tables first, for example with `make tables`")
    styled = sys.stdout.isatty()
    for name in shown:
        sys.stdout.write(for_terminal(paths[name].read_text(encoding="utf-8"), styled=styled) + "\n")
    index = Tables(folder).index("md")
    lines = [
        f"Tables (.md, .tex, .html, .csv): {folder}/",
        f"What they are, protocols, numbers of runs, deviations: {index}",
        f"Figures: {Results(folder.parent).figures.folder}/",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    run_program(main)
