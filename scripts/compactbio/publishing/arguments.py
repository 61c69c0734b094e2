"""Options of the programs that describe a run: its configuration, the table of sources, where the results lie."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from compactbio.publishing.sources import Used, fetched_commits, used_sources
from compactbio.reporting.options import json_option
from compactbio.settings.results import Results


def parser_of(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that these programs share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="the checked configuration as JSON")
    parser.add_argument("--sources", type=Path, required=True, help="config/data_sources.tsv")
    parser.add_argument("--results", type=Path, required=True, help="results folder")
    parser.add_argument("--notice", default="", help="what stands over everything, where the data call for it")
    return parser


def read_run(arguments: argparse.Namespace) -> tuple[dict[str, Any], Results[Path], list[Used]]:
    """Return the configuration, its results, and what the run uses of others.

    Raises:
        UserError: --config is not JSON, or the table of sources cannot be read.
    """
    config: dict[str, Any] = json_option("--config", arguments.config)
    results = Results(arguments.results)
    return config, results, used_sources(config, arguments.sources, fetched_commits(config, results))
