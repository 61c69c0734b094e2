"""Names by which definitions refer to each other: what is wrong with those that are unknown or form a circle."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping


def undefined(place: str, name: str | None, known: Collection[str]) -> Iterator[str]:
    """Yield a fault where the name at a place is not defined; None is no name."""
    if name is not None and name not in known:
        yield f"{place}: `{name}` is not defined; known: {', '.join(sorted(known))}"


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
