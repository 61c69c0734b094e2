"""Which types of entities a dataset keeps, and under which labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from compactbio.errors import UserError
from compactbio.kinds.tag_schemes import Entity
from compactbio.tasks.prepared import Definition
from compactbio.tasks.texts import check_label

OTHER_TYPES = "entities_of_other_types"


class EntityTypes:
    """The types of a definition: those it chooses, else those of its labels."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.seen: Counter[str] = Counter()  # entities by their type in the files, those not kept included

    def keeps(self, kind: str) -> bool:
        """Return whether entities of a type are kept."""
        return not self.definition.types or kind in self.definition.types

    def label_of(self, kind: str, where: str) -> str:
        """Return the type in the labels: the type itself, or "" where a chosen one has only B and I; "" if not kept.

        Raises:
            UserError: it is kept and no label is of it; `where` is its place.
        """
        if not self.keeps(kind):
            return ""
        known = self.definition.label_ids
        if self.definition.types and f"B-{kind}" not in known and "B" in known:
            return ""
        key = f"{self.definition.key}.labels, or choose types by {self.definition.key}.types"
        check_label(f"B-{kind}" if kind else "B", known, where, key)
        return kind

    def chosen(self, kind: str, counts: Counter[str]) -> bool:
        """Return whether an entity of a type is kept; it is counted as seen, and in `counts` where it is not kept."""
        self.seen[kind] += 1
        if not self.keeps(kind):
            counts[OTHER_TYPES] += 1
        return self.keeps(kind)

    def kept(self, entities: Iterable[Entity], counts: Counter[str]) -> list[Entity]:
        """Return the entities of types that are kept, with the types of their labels; the others are counted."""
        return [(start, end, self.label_of(kind, "")) for start, end, kind in entities if self.chosen(kind, counts)]

    def require_all(self) -> None:
        """Refuse a chosen type that no file of the dataset has."""
        lacking = [kind for kind in self.definition.types if not self.seen[kind]]
        if lacking:
            found = ", ".join(map(repr, sorted(self.seen))) or "no entity at all"
            raise UserError(
                f"no file of {self.definition.key} has an entity of type {lacking[0]!r}; they have {found}: correct "
                f"{self.definition.key}.types"
            )
