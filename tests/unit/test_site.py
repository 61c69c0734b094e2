"""The pages in docs/ are a site: it builds, every page is in its menu and leads on, and it needs no other machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.configurations import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; --strict ends with an error at a broken link, a missing heading or a page outside the menu."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_every_page_of_the_folder_is_built_and_readme_is_the_first(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert len(pages) > 10
    assert pages | {"index"} <= {path.stem for path in site.glob("*.html")}
    assert "A Snakemake workflow that replicates" in (site / "index.html").read_text()


def test_linked_files_of_the_checkout_have_a_page(site: Path) -> None:
    page = (site / "configuration.html").read_text()
    assert "files/config/config.yaml.html" in page
    assert "{mirror}" in (site / "files" / "config" / "config.yaml.html").read_text()
    assert "](" not in re.sub(r"<(code|pre).*?</\1>", "", page, flags=re.DOTALL)  # no link is left as it was written


def test_nothing_is_fetched_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|img|iframe)[^>]*\ssrc=\"(https?:[^\"]+)|<link[^>]*href=\"(https?:[^\"]+)", page.read_text()
        )
        assert not fetched, page


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180
