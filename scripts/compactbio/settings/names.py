"""Names by which definitions refer to each other: what is wrong with those that are unknown or form a circle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping


def unknown(name: str, known: Iterable[str]) -> str:
    """Return the tail of a message about a name that is not defined."""
    return f"`{name}` is not defined; known: {', '.join(sorted(known))}"


def cycles(successors: Mapping[str, str | None]) -> Iterator[list[str]]:
    """Yield each cycle once, as the names from one of its members back to that member.

    Args:
        successors: the one name that each name refers to, or None; it may be a name without an entry.
    """
    seen: set[str] = set()
    for start in successors:
        chain: list[str] = []
        name: str | None = start
        while name is not None and name in successors and name not in seen and name not in chain:
            chain.append(name)
            name = successors[name]
        if name in chain:
            yield [*chain[chain.index(name) :], name]
        seen.update(chain)
