"""List everything that a run uses, with licence, version and citation: Markdown, HTML and BibTeX."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import replacing_file
from compactbio.logs import run_program

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, gather, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", required=True, help="the checked configuration as JSON")
    parser.add_argument("--sources", type=Path, required=True, help="config/data_sources.tsv")
    parser.add_argument("--trained", nargs="*", default=[], help="models that are trained here")
    parser.add_argument("--fetched", nargs="*", default=[], help="checkpoints and models that are fetched")
    parser.add_argument("--results", type=Path, required=True, help="results folder: which commits were fetched")
    parser.add_argument(
        "--output", type=Path, required=True, action="append", help=".md, .html or .bib; may be repeated"
    )
    arguments = parser.parse_args()
    try:
        config = json.loads(arguments.config)
    except json.JSONDecodeError as error:
        raise UserError(f"--config is not JSON: {error}") from None

    from compactbio.publishing.citations import bibtex, citations_document
    from compactbio.publishing.sources import fetched_commits, used_sources
    from compactbio.reporting.render import to_html, to_markdown

    commits = fetched_commits(arguments.results, arguments.fetched)
    used = used_sources(config, arguments.sources, trained=arguments.trained, fetched=commits)
    document = citations_document(used)
    texts = {".md": lambda: to_markdown(document), ".html": lambda: to_html(document), ".bib": lambda: bibtex(used)}
    for path in arguments.output:
        if path.suffix not in texts:
            raise UserError(f"--output {path}: the ending is one of {', '.join(texts)}")
        with replacing_file(path) as temporary:
            temporary.write_text(texts[path.suffix](), encoding="utf-8")
    log.info("%d sources written to %s", len(used), ", ".join(map(str, arguments.output)))


if __name__ == "__main__":
    run_program(main)
