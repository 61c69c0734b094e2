"""Addresses of files: what is on this machine, and the names that files of a server get here."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit


def local_path(url: str) -> Path | None:
    """Return the path of a file:// URL, None for another scheme; file://a/b is the relative path a/b."""
    if not url.lower().startswith("file://"):
        return None
    place = url[len("file://") :]
    return Path(unquote(place.removeprefix("localhost") if place.startswith("localhost/") else place) or ".")


def file_name_of(url: str, otherwise: str) -> str:
    """Return the last part of a URL's path as a plain file name."""
    name = unquote(urlsplit(url).path).rsplit("/", 1)[-1]
    return name if name and name not in (".", "..") and "\0" not in name else otherwise
