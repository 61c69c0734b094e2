"""What came of all trials, by kind: a table that is printed at the end and kept in results/benchmarks/hostile.tsv."""

from __future__ import annotations

from collections import Counter, defaultdict

from helpers.configurations import ROOT

PATH = ROOT / "results" / "benchmarks" / "hostile.tsv"
COLUMNS = ("tried", "sound", "one line", "traceback", "silent", "locked", "temporaries", "hang", "other")
SOUND = ("killed", "absorbed", "went on")  # what was interrupted, or did no harm


class Counts:
    """Outcomes by kind of trial."""

    def __init__(self) -> None:
        """Start empty."""
        self._kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)

    @property
    def kinds(self) -> dict[str, dict[str, int]]:
        """The numbers by kind and outcome."""
        return {kind: dict(row) for kind, row in self._kinds.items()}

    def join(self, kinds: dict[str, dict[str, int]]) -> None:
        """Add the numbers of another process."""
        for kind, row in kinds.items():
            self._kinds[kind].update(row)

    def add(self, kind: str, first: str, second: str = "sound") -> None:
        """Count one trial: what the program did, and what became of the next start."""
        row = self._kinds[kind]
        row["tried"] += 1
        for outcome in {"sound" if first in SOUND else first, second} - ({"sound"} if first not in SOUND else set()):
            row[outcome if outcome in COLUMNS else "other"] += 1

    def lines(self) -> list[str]:
        """Return the table as lines of tab-separated values; none where nothing was tried."""
        rows = [("kind", *COLUMNS)]
        rows += [(kind, *(str(row[name]) for name in COLUMNS)) for kind, row in sorted(self._kinds.items())]
        return ["\t".join(row) for row in rows] if self._kinds else []

    def write(self) -> None:
        """Write the table."""
        PATH.parent.mkdir(parents=True, exist_ok=True)
        PATH.write_text("".join(f"{line}\n" for line in self.lines()))
