"""Print what CHANGELOG.md says of a release, after checking that its tag, CHANGELOG.md and CITATION.cff agree.

    python3 .ci/release_notes.py v1.2.3

Only the standard library is needed.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SECTION = re.compile(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d{2}-\d{2})\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def release_notes(tag: str, changelog: str, citation: str) -> str:
    """Return the section of a release.

    Raises:
        SystemExit: with one line, where tag, change log and citation do not name the same version and day.
    """
    stated = tuple(
        re.findall(rf"^{key}: \"?([^\"\n]+)\"?$", citation, re.MULTILINE) for key in ("version", "date-released")
    )
    if [f"v{version}" for version in stated[0]] != [tag]:
        raise SystemExit(f"CITATION.cff has version {', '.join(stated[0])}, not that of the tag {tag}")
    sections = {version: (day, text) for version, day, text in SECTION.findall(changelog)}
    if next(iter(sections), None) != tag.removeprefix("v"):
        raise SystemExit(f"CHANGELOG.md: the newest section is not `## {tag.removeprefix('v')} - YEAR-MONTH-DAY`")
    day, text = sections[tag.removeprefix("v")]
    if stated[1] != [day]:
        raise SystemExit(f"CITATION.cff has date-released {', '.join(stated[1])}, CHANGELOG.md {day}")
    return text.strip()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: release_notes.py v1.2.3")
    print(
        release_notes(
            sys.argv[1], *((ROOT / name).read_text(encoding="utf-8") for name in ("CHANGELOG.md", "CITATION.cff"))
        )
    )
