"""Definitions that refer to each other in a circle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping


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
