"""List everything that a run uses, with licence, version and citation: Markdown, HTML and BibTeX."""

from __future__ import annotations

import logging
from pathlib import Path

from compactbio.errors import UserError
from compactbio.files import replacing_file
from compactbio.logs import run_program
from compactbio.publishing.arguments import parser_of, read_run

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, gather, write."""
    parser = parser_of(__doc__)
    parser.add_argument(
        "--output", type=Path, required=True, action="append", help=".md, .html or .bib; may be repeated"
    )
    arguments = parser.parse_args()
    _, used = read_run(arguments)

    from compactbio.publishing.citations import bibtex, citations_document
    from compactbio.reporting.render import to_html, to_markdown

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
