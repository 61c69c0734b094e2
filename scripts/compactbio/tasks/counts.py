"""Counts of a prepared data set, and their comparison with the figures that the definition asserts."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Set
from typing import Any

from compactbio.errors import UserError
from compactbio.tasks.prepared import Definition


def count_shared(train: Set[Hashable], test: Iterable[Hashable]) -> int:
    """Return how many items of the test data also stand in train: leakage that scores should be read with."""
    return sum(item in train for item in test)


def find_differences(expected: dict[str, dict[str, int]], found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return where counts differ from the expected ones: {"part", "count", "expected", "found"} each.

    `found` may hold more than is expected; a part or a count that was asked for and does not exist is found None.
    """
    return [
        {"part": part, "count": name, "expected": value, "found": found.get(part, {}).get(name)}
        for part, values in expected.items()
        for name, value in values.items()
        if found.get(part, {}).get(name) != value
    ]


def check_counts(definition: Definition, found: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the accepted differences from the definition's counts, after saying them in the log.

    Raises:
        UserError: there are differences and the definition does not accept them.
    """
    differences = find_differences(definition.counts, found)
    if not differences:
        return []
    for difference in differences:
        part, name = difference["part"], difference["count"]
        if difference["found"] is None:
            known = sorted(key for key, value in found.get(part, {}).items() if isinstance(value, int)) or sorted(found)
            raise UserError(
                f"{definition.key}.counts.{part}.{name} is not counted in this layout; "
                f"known here are {', '.join(known)}"
            )
    listed = "; ".join(
        f"{item['part']} {item['count']}: expected {item['expected']}, found {item['found']}" for item in differences
    )
    if not definition.accept_counts:
        raise UserError(
            f"the data of {definition.name} in {definition.folder} are not the expected ones: {listed}. Get the "
            f"right files, or correct {definition.key}.counts, or set {definition.key}.accept_counts: true"
        )
    logging.warning("%s: counts differ and are accepted: %s", definition.name, listed)
    return differences
