"""Annotations that tags of words cannot say: refused, unless a definition says what becomes of them."""

from __future__ import annotations

from collections import Counter

from compactbio.errors import UserError
from compactbio.tasks.documents import Document
from compactbio.tasks.prepared import Definition

REFUSE, WIDEN = "refuse", "widen"
_CURES = {  # by kind of misfit, what a definition may say so that it is not refused
    "discontinuous": "misfits.discontinuous: drop",
    "across_sentences": "misfits.across_sentences: drop, or sentences: lines",
    "unaligned": "misfits.unaligned: widen or drop",
    "overlapping": "misfits.overlapping: keep_longest",
}


class Misfits:
    """What a dataset has of them, and the first of each kind."""

    def __init__(self, definition: Definition) -> None:
        self.key = definition.key
        self.policies = {name: definition.misfits.get(name, REFUSE) for name in _CURES}
        self.widens = self.policies["unaligned"] == WIDEN
        self._found: Counter[str] = Counter()
        self._first: dict[str, str] = {}

    def add(self, name: str, document: Document, told: str) -> None:
        """Count one; `told` says which annotations of the document it is."""
        self._found[name] += 1
        self._first.setdefault(name, f"{document.where}, document {document.name}: {told}")

    def require_allowed(self) -> None:
        """Refuse what the definition does not allow: one message for all kinds."""
        refused = [name for name, policy in self.policies.items() if policy == REFUSE and self._found[name]]
        if refused:
            listed = "; ".join(
                f"{self._found[name]} {name.replace('_', ' ')}, the first in {self._first[name]} (correct it, or set "
                f"{self.key}.{_CURES[name]})"
                for name in refused
            )
            raise UserError(f"annotations that tags of words cannot say: {listed}")
