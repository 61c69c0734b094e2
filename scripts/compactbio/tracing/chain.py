"""A chain of origins as it is walked: what is found, what is not there, and where recorded digests are not met."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from compactbio.digests import sha256_of_file
from compactbio.errors import UserError
from compactbio.files import MANIFEST, Manifest, read_json, read_manifest
from compactbio.provenance import PROVENANCE, Provenance, read_provenance
from compactbio.settings.results import Artefact, Results

SHOWN = 6  # items of a longer list that are shown: the first ones
_INDENT = "  "


class Chain:
    """The lines of a trace through a results folder, and its breaks.

    A gap (something is not there, or an older version did not record it) is reported and accepted; a break (two things
    that should agree do not) is reported and counted.

    Args:
        results: the results folder.
        verify: compute the sha256 of every file again; else sizes and recorded digests are compared.
        full: list every file of long lists.
    """

    def __init__(self, results: Results[Path], *, verify: bool = False, full: bool = False) -> None:
        self.results = results
        self.verify = verify
        self.full = full
        self.lines: list[str] = []
        self.breaks: list[str] = []
        self.gaps: list[str] = []
        self.checks = 0
        self._walked: set[Path] = set()
        self._depth = 0

    def say(self, text: str) -> None:
        """Add a line."""
        self.lines.append(f"{_INDENT * self._depth}{text}")

    @contextmanager
    def below(self) -> Iterator[None]:
        """Indent the lines that are added inside."""
        self._depth += 1
        yield
        self._depth -= 1

    def gap(self, text: str) -> None:
        """Report that something is not there."""
        self.gaps.append(text)
        self.say(f"- {text}")

    def broken(self, text: str) -> None:
        """Report that the chain is broken here."""
        self.breaks.append(text)
        self.say(f"! BROKEN: {text}")

    def many(self, texts: Iterable[str]) -> None:
        """Add a line each, of long lists the first ones and a count."""
        texts = list(texts)
        shown = texts if self.full or len(texts) <= SHOWN + 1 else texts[:SHOWN]
        for text in shown:
            self.say(text)
        if len(shown) < len(texts):
            self.say(f"... and {len(texts) - len(shown):,} more (--full lists them)")

    def files(self, digests: dict[str, str], what: str = "") -> None:
        """List files with their digests."""
        self.many(f"{what}{name}: sha256 {digest}" for name, digest in digests.items())

    def same(self, what: str, recorded: Any, found: Any) -> None:
        """Compare two digests or numbers, and report where they do not agree."""
        self.checks += 1
        if recorded != found:
            self.broken(f"{what}: recorded {short(recorded)}, found {short(found)}")

    def enter(self, place: Path) -> bool:
        """Return whether a folder or file is walked for the first time; report where it is not."""
        if place in self._walked:
            self.say(f"{place}: see above")
            return False
        self._walked.add(place)
        return True

    def there(self, path: Path, so: str = "") -> bool:
        """Return whether a file is there; report where it is not, and what follows."""
        if not path.is_file():
            self.gap(f"{path} is not there{so}")
        return path.is_file()

    def manifest(self, folder: Path) -> Manifest | None:
        """Return a folder's manifest after comparing its files with it; None, and reported, where there is none."""
        if not self.there(folder / MANIFEST):
            return None
        self.checks += 1
        try:
            return read_manifest(folder, contents=self.verify)
        except UserError as error:
            self.broken(str(error))
            return cast(Manifest, read_json(folder / MANIFEST))

    def file(self, path: Path, recorded: str | None) -> None:
        """Compare a file with its recorded digest if files are verified and this one is there."""
        if recorded is None:
            self.gap(f"{path} has no recorded digest")
        elif self.there(path) and self.verify:
            self.same(f"sha256 of {path}", recorded, sha256_of_file(path))

    def record(self, path: Path) -> Provenance | None:
        """Return a provenance.json and say how the result was made; None, and reported, where there is none."""
        if not self.there(path, ": made by a version that wrote none, or not finished"):
            return None
        record = read_provenance(path)
        self.say(f"made {made_in_words(record)}")
        return record

    def origin(self, artefact: Artefact[Path], manifest: Manifest) -> Provenance | None:
        """Return the provenance.json beside a manifest, which must be of the same content."""
        record = self.record(artefact.provenance)
        if record is not None:
            digest = record["outputs"][MANIFEST]
            self.same(f"{artefact.folder / PROVENANCE}: digest of the folder", digest, manifest["digest"])
        return record


def short(value: Any) -> str:
    """Return a digest's first digits, or a value as it is."""
    return value[:16] if isinstance(value, str) and len(value) in (32, 40, 64) else str(value)


def made_in_words(record: Provenance) -> str:
    """Return how a result was made: program, code, time, GPUs, machine, the packages that matter most."""
    code, hardware, packages = record["code"], record["hardware"], record["packages"]
    if code["commit"]:
        commit = f"commit {code['commit'][:12]}{' with uncommitted changes' if code['dirty'] else ''}"
    else:
        commit = f"commit not known ({code.get('note', 'no git checkout')})"
    gpus = ", ".join(hardware["gpus"]) or "no GPU"
    parts = [
        f"by {record['program']}" if "program" in record else "",
        record.get("finished", ""),
        commit,
        f"{record['seconds']:,.1f} s",
        f"{record.get('gpu_hours', 0):g} GPU-hours",
        f"{hardware['processor']} x {hardware['cores']}, {gpus}",
        ", ".join(f"{name} {packages[name]}" for name in ("python", "torch", "transformers") if name in packages),
    ]
    return "; ".join(part for part in parts if part)
