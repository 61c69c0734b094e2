"""List the runs whose checkpoints are kept, those that nothing refers to any more, and what killed processes left.

Nothing is deleted but, with --remove-temporary, the last: temporary files and folders that no process writes.

In use: the run files and inputs that are there now give the run's fingerprint, so the next start takes it up.
Orphaned: they give another one, since a setting, an input or the recipe changed. Unknown: they are not all there.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from compactbio.cluster.inventory import ORPHANED, StoredRun, left_table, size_in_words, stored_runs, table
from compactbio.errors import UserError
from compactbio.logs import run_program
from compactbio.settings.load import settings_of_files
from compactbio.settings.results import Results
from compactbio.temporaries import left_below


def main() -> None:
    """Read the command line and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--results", type=Path, help="a results folder, whatever its configuration was")
    source.add_argument("--configfile", type=Path, nargs="*", metavar="FILE", help="the results of this configuration")
    parser.add_argument("--orphans-only", action="store_true", help="print the orphaned folders, one a line")
    parser.add_argument("--remove-temporary", action="store_true", help="remove what killed processes left")
    arguments = parser.parse_args()
    results, config = arguments.results, None
    if results is None:
        config = settings_of_files(arguments.configfile)
        results = Path(config["results_dir"])
    if not results.is_dir():
        raise UserError(f"{results} does not exist: give the results_dir of a configuration that was run")
    runs = stored_runs(results, config)
    if arguments.orphans_only:
        sys.stdout.write("".join(f"{run.folder}\n" for run in runs if run.use == ORPHANED))
        return
    list_runs(runs, results, arguments.configfile)
    list_left(
        [results] if config is None else [results, Path(config["downloads_dir"])], remove=arguments.remove_temporary
    )


def list_runs(runs: list[StoredRun], results: Path, configfiles: list[Path] | None) -> None:
    """Print the runs, and how the orphaned ones are removed."""
    if not runs:
        sys.stdout.write(f"no checkpoints under {Results(results).checkpoints.folder}\n")
        return
    orphans = [run for run in runs if run.use == ORPHANED]
    sys.stdout.write(table(runs, time.time()))
    kept, orphaned = (size_in_words(sum(run.bytes for run in some)) for some in (runs, orphans))
    sys.stdout.write(f"\n{len(runs)} runs, {kept}; orphaned: {len(orphans)} of them, {orphaned}\n")
    if orphans:
        chosen = ["--results", str(results)] if configfiles is None else ["--configfile", *map(str, configfiles)]
        command = ["python", sys.argv[0], *chosen, "--orphans-only"]
        sys.stdout.write(f"To remove the orphaned: {shlex.join(command)} | xargs -r -d '\\n' rm -r\n")


def list_left(places: Sequence[Path], *, remove: bool) -> None:
    """Print, or remove, what killed processes left in some folders and below."""
    left = list({one.path.resolve(): one for place in places for one in left_below(place)}.values())
    if not left:
        return
    size = size_in_words(sum(one.bytes for one in left))
    sys.stdout.write(f"\n{left_table(left, time.time())}\n{size} that killed processes left")
    if not remove:
        sys.stdout.write("; --remove-temporary removes it (make checkpoints REMOVE=temporary)\n")
        return
    for one in left:
        one.remove()
    kept = [str(one.path) for one in left if one.path.exists()]
    sys.stdout.write(f", removed{' but for ' + ', '.join(kept) if kept else ''}\n")


if __name__ == "__main__":
    run_program(main)
