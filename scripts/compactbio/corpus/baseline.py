"""What a PubMed baseline offers: names of its files, listings, checksums, and the block to configure them."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

from compactbio.downloads.retries import PATIENCE, Patience, TransferError
from compactbio.downloads.web import local_path, read_text
from compactbio.errors import UserError
from compactbio.settings.results import Downloads

_NAME = re.compile(r"pubmed(\d\d)n(\d{4})\.xml\.gz(?![.\w])")


def file_name(year: int, number: int) -> str:
    """Return the name of a file of a year's baseline: pubmed26n0001.xml.gz."""
    return f"pubmed{year % 100:02d}n{number:04d}.xml.gz"


def with_slash(base_url: str) -> str:
    """Return a base URL that ends in a slash."""
    return base_url if base_url.endswith("/") else base_url + "/"


def cache_folder(downloads: Path, base_url: str, year: int) -> Path:
    """Return where the files of a base URL are kept: <downloads>/pubmed/<year>/<server and path>/."""
    parts = urlsplit(base_url)
    slug = re.sub(r"[^A-Za-z0-9.-]+", "_", f"{parts.netloc}{parts.path}".strip("/"))
    return Downloads(downloads).pubmed / str(year) / (slug or "local")


def list_baseline(base_url: str, patience: Patience = PATIENCE) -> dict[int, list[int]]:
    """Return {year: sorted file numbers} that a folder or a server's listing has.

    Raises:
        UserError: the folder or the listing cannot be read.
    """
    folder = local_path(base_url)
    if folder is not None:
        if not folder.is_dir():
            raise UserError(f"{base_url} is no folder: correct corpus.baseline.base_url (or the mirror's path)")
        text = "\n".join(path.name for path in folder.iterdir())
    else:
        try:
            text = read_text(with_slash(base_url), patience)
        except TransferError as error:
            raise UserError(f"the listing of {base_url} cannot be read: {error}") from None
    numbers: defaultdict[int, set[int]] = defaultdict(set)
    for year, number in _NAME.findall(text):
        numbers[2000 + int(year)].add(int(number))
    return {year: sorted(found) for year, found in sorted(numbers.items())}


def describe_offer(offer: dict[int, list[int]]) -> str:
    """Return in words what a baseline offers."""
    if not offer:
        return "no baseline files at all"
    return "; ".join(
        f"the {year} baseline, {len(numbers):,} file{'s' * (len(numbers) > 1)} ({_ranges(numbers)})"
        for year, numbers in offer.items()
    )


def configuration_block(base_url: str, year: int, numbers: list[int]) -> str:
    """Return the YAML block that configures a year's files; `numbers` is written where some are missing."""
    whole = numbers == list(range(1, len(numbers) + 1))
    listed = "null" if whole else f"[{', '.join(map(str, numbers))}]"
    return (
        "corpus:\n"
        "  source: baseline\n"
        "  baseline:\n"
        f"    base_url: {with_slash(base_url)}\n"
        f"    year: {year}\n"
        f"    files: {numbers[-1]}\n"
        f"    numbers: {listed}\n"
    )


def parse_numbers(text: str) -> list[int]:
    """Return the numbers in a text like 1-20,25.

    Raises:
        UserError: it is not of that form.
    """
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if found is None or (found[2] and int(found[2]) < int(found[1])):
            raise UserError(f"{text!r} is no list of file numbers: write it as 1-20,25")
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
    return numbers


def _ranges(numbers: list[int]) -> str:
    """Return sorted numbers as text, runs shortened: 1-20, 25; at most ten parts."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    words = [str(first) if first == last else f"{first}-{last}" for first, last in parts]
    return ", ".join(words[:10]) + (", ..." if len(words) > 10 else "")
