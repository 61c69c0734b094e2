"""Options of the programs that describe a run: its configuration, what was trained or fetched, where it lies."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.publishing.sources import Used, fetched_commits, used_sources
from compactbio.settings.results import Results


def parser_of(description: str) -> argparse.ArgumentParser:
    """Return a parser with the options that these programs share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the checked configuration as JSON")
    parser.add_argument("--sources", type=Path, required=True, help="config/data_sources.tsv")
    parser.add_argument("--trained", nargs="*", default=[], help="models that are trained here")
    parser.add_argument("--fetched", nargs="*", default=[], help="checkpoints and models that are fetched")
    parser.add_argument("--results", type=Path, required=True, help="results folder")
    return parser


def read_run(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Used]]:
    """Return the configuration and what the run uses of others.

    Raises:
        UserError: --config is not JSON, or the table of sources cannot be read.
    """
    try:
        config = json.loads(arguments.config)
    except json.JSONDecodeError as error:
        raise UserError(f"--config is not JSON: {error}") from None
    commits = fetched_commits(Results(arguments.results), arguments.fetched)
    return config, used_sources(config, arguments.sources, trained=arguments.trained, fetched=commits)
