"""Write a run's settings, given as JSON, as the YAML file that a training reads."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import write_yaml
from compactbio.logs import run_program


def main() -> None:
    """Write the run file; equal settings give equal bytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", required=True, help="the run as a JSON object")
    parser.add_argument("--output", type=Path, required=True, help="the run.yaml to write")
    arguments = parser.parse_args()
    try:
        settings = json.loads(arguments.settings)
    except json.JSONDecodeError as error:
        raise UserError(f"--settings is not JSON: {error}") from None
    if not isinstance(settings, dict):
        raise UserError("--settings must be a JSON object: the settings of one run")
    write_yaml(arguments.output, settings)
    logging.info("wrote %s", arguments.output)


if __name__ == "__main__":
    run_program(main)
