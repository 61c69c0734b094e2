"""The list of everything that a run uses, with licence, version and citation, and as BibTeX."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import metadata
from importlib.metadata import PackageMetadata
from typing import TextIO

from compactbio.errors import UserError
from compactbio.provenance import PACKAGES
from compactbio.publishing.sources import BENCHMARK, CORPUS, MODEL, PUBMED, PUBMED_ATTRIBUTION, Used
from compactbio.reporting.render import DASH, Block, Document, Section, row

PAPER = (
    "Rohanian O, Nouriborji M, Kouchaki S, Clifton DA. On the Effectiveness of Compact Biomedical Transformers. "
    "Bioinformatics 39(3), btad103, 2023. doi:10.1093/bioinformatics/btad103"
)
_PAPER_AUTHORS = ("Rohanian, Omid", "Nouriborji, Mohammadmahdi", "Kouchaki, Samaneh", "Clifton, David A.")
_PAPER_FIELDS = {
    "title": "On the Effectiveness of Compact Biomedical Transformers",
    "journal": "Bioinformatics",
    "volume": "39",
    "number": "3",
    "pages": "btad103",
    "year": "2023",
    "doi": "10.1093/bioinformatics/btad103",
}
SNAKEMAKE = "snakemake"
_TITLES = {CORPUS: "Corpus of pre-training", BENCHMARK: "Benchmarks", MODEL: "Checkpoints and models"}
_NOT_SAID = "not stated"
_LICENCE = "License :: "
_LONGEST_NAME = 60  # characters; some packages put the whole text where its name belongs


def citations_document(used: Sequence[Used]) -> Document:
    """Return the page; a place that config/data_sources.tsv leaves empty is said to be not stated."""
    sections = [Section("The paper that the workflow replicates", [PAPER], [])]
    of_kinds = ((title, [one for one in used if one.kind == kind]) for kind, title in _TITLES.items())
    sections += [Section("", [], [_block(title, of_kind)]) for title, of_kind in of_kinds if of_kind]
    sections.append(Section("", [], [_software()]))
    return Document(
        "What this run uses, and how to cite it",
        [
            "Out of config/data_sources.tsv, which says where each licence was read. A licence binds whoever uses the "
            "data or a model made of them; read its own text before you pass anything on."
        ],
        sections,
    )


def _block(title: str, used: Sequence[Used]) -> Block:
    """Return the table of one kind of source."""
    rows = []
    for one in used:
        terms = (one.licence or _NOT_SAID, one.citation or _NOT_SAID)
        rows.append(row(one.name, ", ".join(one.used_for), one.version or DASH, *terms, one.url or DASH))
    header = ["source", "used for", "version", "licence", "citation", "address"]
    notes = [PUBMED_ATTRIBUTION] if any(one.name == PUBMED for one in used) else []
    notes += [f"{one.name}: {one.note}" for one in used if one.note]
    return Block(title, f"sources-{used[0].kind}", header, rows, notes)


def _software() -> Block:
    """Return the packages that can change a number, and the workflow engine, as they are installed here."""
    rows = [row(*package, package_page(*package[:2])) for package in installed_packages()]
    return Block("Software", "software", ["package", "version", "licence", "address"], rows)


def installed_packages() -> list[tuple[str, str, str]]:
    """Return (name, version, licence as the package states it) of the packages that make the results."""
    found = []
    for name in (*PACKAGES, SNAKEMAKE):
        try:
            facts = metadata.metadata(name)
        except metadata.PackageNotFoundError:
            continue
        found.append((name, facts["Version"], licence_of(facts)))
    return found


def licence_of(facts: PackageMetadata) -> str:
    """Return what a package states: the SPDX expression, else its classifiers, else a field that is a name, not a text.

    https://packaging.python.org/en/latest/specifications/core-metadata/
    """
    expressions = facts.get_all("License-Expression")
    if expressions:
        return str(expressions[0])
    classifiers = [line.rsplit(" :: ", 1)[1] for line in facts.get_all("Classifier") or [] if line.startswith(_LICENCE)]
    named = [text for text in facts.get_all("License") or [] if "\n" not in text and len(text) <= _LONGEST_NAME]
    return "; ".join(classifiers or named) or _NOT_SAID


def package_page(name: str, version: str) -> str:
    """Return the address of a package's version; a build such as 2.13.0+cpu has no page of its own."""
    return f"https://pypi.org/project/{name}/{version.partition('+')[0]}/"


def bibtex(used: Sequence[Used]) -> str:
    """Return an entry for the paper, and one a source whose note is the citation as the table has it.

    The table has no fields of authors and titles, so none are made up: a note is printed as it stands.

    Raises:
        UserError: a text of the table has braces without their partner.
    """
    from pybtex.database import BibliographyData, Entry, Person
    from pybtex.database.output.bibtex import BibTeXError, Writer

    class Verbatim(Writer):
        """Leaves addresses alone, in which a backslash would be part of the address."""

        def _write_field(self, stream: TextIO, type: str, value: str) -> None:
            if type == "howpublished":
                stream.write(f",\n    {type} = {{\\url{{{value}}}}}")
            else:
                super()._write_field(stream, type, value.replace("$", r"\$"))

    authors = [Person(name) for name in _PAPER_AUTHORS]
    entries = {"rohanian2023": Entry("article", fields=_PAPER_FIELDS, persons={"author": authors})}
    for one in used:
        if one.citation:
            fields = {"title": one.name, "note": one.citation, "howpublished": one.url, "version": one.version}
            key = re.sub(r"[^a-z0-9]+", "-", one.name.lower()).strip("-")
            entries[key] = Entry("misc", fields={name: text for name, text in fields.items() if text})
    try:
        return Verbatim().to_string(BibliographyData(entries))
    except BibTeXError as error:
        raise UserError(f"config/data_sources.tsv has what no BibTeX can hold ({error}): correct its text") from None
