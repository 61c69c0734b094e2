"""Words that several checks of the configuration share."""

from __future__ import annotations

from collections.abc import Iterable


def unknown(name: str, known: Iterable[str]) -> str:
    """Return the tail of a message about a name that is not defined."""
    return f"`{name}` is not defined; known: {', '.join(sorted(known))}"
