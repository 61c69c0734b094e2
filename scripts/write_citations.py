"""List everything that a run uses, with licence, version and citation: Markdown, HTML and BibTeX."""

from __future__ import annotations

import logging

from compactbio.files import write_text
from compactbio.logs import run_program
from compactbio.publishing.arguments import parser_of, read_run

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, gather, write."""
    _, results, used = read_run(parser_of(__doc__).parse_args())

    from compactbio.publishing.citations import bibtex, citations_document
    from compactbio.reporting.render import to_html, to_markdown

    document = citations_document(used)
    for form, text in {"md": to_markdown(document), "html": to_html(document), "bib": bibtex(used)}.items():
        write_text(results.reporting.citations(form), text)
    log.info("%d sources written to %s", len(used), results.reporting.citations("md"))


if __name__ == "__main__":
    run_program(main)
