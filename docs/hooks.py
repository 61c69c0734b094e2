"""What MkDocs adds to the pages: README as the first one, the keys of a configuration, and files that pages link to.

Links are written as they hold in the checkout, where a reader of the repository follows them. The site has a page for
each linked file, Markdown as it is and everything else as a listing.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
REFERENCE = "<!-- the keys stand here -->"  # in a page
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)#\s]+)")
LANGUAGES = {".py": "python", ".smk": "python", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".sbatch": "bash"}


def site_page(path: str) -> str:
    """Return the page of the site that shows a file of the checkout."""
    if path == "README.md":
        return "index.md"
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    shown = path.removeprefix(".")  # MkDocs leaves hidden files out
    return f"files/{shown}" if path.endswith(".md") else f"files/{shown}.md"


def checkout_path(page: str) -> str:
    """Return the file of the checkout that a page of the site shows; listings, which have no links, aside."""
    if page == "index.md":
        return "README.md"
    return page.removeprefix("files/") if page.startswith("files/") else f"docs/{page}"


def linked_paths(path: str) -> set[str]:
    """Return the files of the checkout that a Markdown file of it links to, as paths from the checkout's folder."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return {posixpath.normpath(posixpath.join(posixpath.dirname(path), link)) for link in LINK.findall(text)}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for README and for every file of the checkout that a page links to."""
    known = {checkout_path(file.src_uri) for file in files.documentation_pages()}
    left = {"README.md", *known}
    while left:
        path = left.pop()
        if path not in known and (ROOT / path).is_file():
            known.add(path)
            files.append(File.generated(config, site_page(path), content=_page(path)))
        if path.endswith(".md"):
            left |= linked_paths(path) - known
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return a page with the keys where they belong, and with links to pages of the site in place of files."""
    here = page.file.src_uri
    folder = posixpath.dirname(checkout_path(here))

    def turned(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        target = site_page(path)
        # what is no page stays as it is, for MkDocs to complain about
        return (
            posixpath.relpath(target, posixpath.dirname(here) or ".") if files.get_file_from_path(target) else link[1]
        )

    if REFERENCE in markdown:
        markdown = markdown.replace(REFERENCE, _keys())
    return LINK.sub(turned, markdown)


def _keys() -> str:
    """Return the tables of a configuration's keys."""
    sys.path.insert(0, str(ROOT / "scripts"))
    from compactbio.settings.load import CONFIG_FOLDER, read_configuration
    from compactbio.settings.reference import configuration_reference
    from compactbio.settings.schema import whole_schema

    return configuration_reference(whole_schema(CONFIG_FOLDER / "schema.yaml"), read_configuration([]))


def _page(path: str) -> str:
    """Return a file of the checkout as the source of a page."""
    file = ROOT / path
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".md":
        return text
    return f"# {path}\n\n````{LANGUAGES.get(file.suffix, 'text')}\n{text}\n````\n"
