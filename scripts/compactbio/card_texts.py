"""The form of a model card: front matter that a hub reads, a title, the notice of generated data, sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

CARD = "README.md"
GENERATED_TAG = "generated-data"
FRONT = "---\n"
_HERE = "The program runs in the folder of this card; for another place, set `folder`"
_ON_A_HUB = ", on a hub to the repository's owner/name"


def tags(notice: str, *others: str) -> list[str]:
    """Return a card's tags, that of generated data among them where a notice says so."""
    return [*([GENERATED_TAG] if notice else []), *others]


def card(front: Mapping[str, Any], title: str, notice: str, parts: Sequence[str]) -> str:
    """Return a card; what is empty in the front matter or among the parts is left out."""
    known = yaml.safe_dump({key: value for key, value in front.items() if value}, sort_keys=False)
    return f"{FRONT}{known}{FRONT}\n{body(title, notice, parts)}"


def front_matter(text: str) -> dict[str, Any]:
    """Return the front matter of a card, nothing where it has none."""
    parts = text.split(FRONT, 2)
    found = yaml.safe_load(parts[1]) if len(parts) == 3 and not parts[0] else None
    return found if isinstance(found, dict) else {}


def body(title: str, notice: str, parts: Sequence[str]) -> str:
    """Return a card without its front matter."""
    shown = [f"# {title}", *([f"> **{notice}**"] if notice else []), *(part.strip() for part in parts if part.strip())]
    return "\n\n".join(shown) + "\n"


def program(text: str, *, by_transformers: bool = True) -> str:
    """Return a program as a card shows it; transformers finds a `folder` on a hub too."""
    return f"```python\n{text.strip()}\n```\n\n{_HERE}{_ON_A_HUB * by_transformers}."


def facts_table(facts: Mapping[str, Any]) -> str:
    """Return facts as a table of two columns."""
    rows = [f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in facts.items()]
    return "\n".join(["| fact | value |", "|---|---|", *rows])
