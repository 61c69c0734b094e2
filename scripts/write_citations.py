"""List everything that a run uses, with licence, version and citation: Markdown, HTML and BibTeX."""

from __future__ import annotations

import logging

from compactbio.files import write_text
from compactbio.logs import run_program
from compactbio.publishing.arguments import parser_of, read_run
from compactbio.settings.results import TABLES

log = logging.getLogger(__name__)


def main() -> None:
    """Read the command line, gather, write."""
    arguments = parser_of(__doc__).parse_args()
    _, results, used = read_run(arguments)

    from compactbio.publishing.citations import bibtex, citations_document
    from compactbio.reporting.document_files import write_document
    from compactbio.reporting.report_records import INDEX

    page = results.reporting.citations("md")
    home = f"../{TABLES}/{INDEX.name}"
    write_document(citations_document(used), page.parent, page.stem, notice=arguments.notice, home=home)
    write_text(results.reporting.citations("bib"), bibtex(used))
    log.info("%d sources written to %s", len(used), page)


if __name__ == "__main__":
    run_program(main)
