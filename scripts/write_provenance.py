"""Describe a finished run as a research object: a Workflow Run Crate whose root is the results folder.

Writes ro-crate-metadata.json, the configuration as it was resolved, and a copy of the workflow beside the results.
"""

from __future__ import annotations

import getpass
import logging
import shutil
import subprocess
from pathlib import Path
from typing import Any

from compactbio.files import replacing_folder, write_json, write_yaml
from compactbio.logs import run_program
from compactbio.publishing.arguments import parser_of, read_run

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("Snakefile", "rules", "scripts", "config", "envs")

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, copy the workflow, describe everything."""
    arguments = parser_of(__doc__).parse_args()
    config, results, used = read_run(arguments)

    from compactbio.provenance import code_version
    from compactbio.publishing.contents import find_contents
    from compactbio.publishing.crate import run_crate

    write_yaml(results.reporting.configuration, config)
    copy_workflow(results.workflow.parent)
    contents = find_contents(results, config)
    crate = run_crate(results, contents, used, code_version(), agent_name(), arguments.notice)
    write_json(results.research_object, crate)
    log.info("%d entities described in %s", len(crate["@graph"]), results.research_object)


def copy_workflow(folder: Path) -> None:
    """Write Snakefile, rules, programs, configurations and pins of this checkout into a folder."""
    with replacing_folder(folder) as temporary:
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                _copy_folder(source, temporary / name)
            else:
                shutil.copyfile(source, temporary / name)


def agent_name() -> str:
    """Return the name of who runs this, as git knows it, else as the system does."""
    command: list[Any] = ["git", "-C", ROOT, "config", "user.name"]
    try:
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    except OSError:
        name = ""
    return name or getpass.getuser()


def _copy_folder(source: Path, target: Path) -> None:
    """Copy a folder without hidden and compiled files, in the modes of new files: a checkout may be read-only."""
    for path in source.rglob("*"):
        inside = path.relative_to(source)
        if path.is_file() and not any(part.startswith((".", "__pycache__")) for part in inside.parts):
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / inside)


if __name__ == "__main__":
    run_program(main)
