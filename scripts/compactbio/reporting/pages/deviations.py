"""Where a run deviates: the quirk switches, and every number of the configuration that is not the paper's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from compactbio.reporting.explanations import quirks_block
from compactbio.reporting.render import DASH, Block, Document, Section, row

# What decides where things are read, kept and logged, or what is checked of them, and no number of a result.
_NO_NUMBER = {
    "results_dir",
    "downloads_dir",
    "mirror",
    "data_urls",
    "described_by",
    "files_per_job",
    "counts",
    "golden",
    "path",
    "benchmark",
}
_NO_NUMBER |= {"log_every_steps", "checkpoint_every_steps", "checkpoint_every_minutes", "base_url"}
_LIBRARIES = ("models", "checkpoints", "datasets", "tokenizers")  # definitions, of which a run uses some
_LONGEST = 90  # characters of a value in the table


def deviations_document(config: Mapping[str, Any], paper: Mapping[str, Any], used: Iterable[str]) -> Document:
    """Return the page: every quirk switch with its value, then the keys in which a run differs from the paper's.

    Args:
        config: the checked configuration of this run.
        paper: that of config/config.yaml alone.
        used: names of the models, checkpoints, datasets and tokenizers that take part in this run.
    """
    quirks = config["quirks"]
    changed = [name for name, value in quirks.items() if value != "reference"]
    follow = f"{', '.join(changed)} set otherwise" if changed else "all of them follow the reference code"
    rows = [row(key, shown(theirs), shown(ours)) for key, theirs, ours in differences(config, paper, set(used))]
    notes = [f"{DASH} = the key is not there."] if rows else ["Nothing differs."]
    header = ["key", "paper", "this run"]
    keys = Block("Configuration", "deviations-configuration", header, rows, notes)
    return Document(
        "Deviations",
        [
            f"Quirk switches: places where the paper's code does something that changes numbers; {follow}. "
            f"Configuration: {len(rows)} keys that can change a number and differ from config/config.yaml, the paper's "
            "configuration, among the models, datasets and checkpoints of this run. What cannot be switched stands in "
            "docs/deviations.md."
        ],
        [Section("", [], [quirks_block(quirks, "deviations-quirks"), keys])],
    )


def differences(config: Mapping[str, Any], paper: Mapping[str, Any], used: set[str]) -> list[tuple[str, Any, Any]]:
    """Return key, the paper's value and this run's, for each key that differs and can change a number of this run."""
    ours, theirs = dict(_flat(config, used)), dict(_flat(paper, used))
    keys = [*ours, *(key for key in theirs if key not in ours)]
    return [(key, theirs.get(key), ours.get(key)) for key in sorted(keys) if theirs.get(key) != ours.get(key)]


def shown(value: Any) -> str:
    """Return a value as one line of a table."""
    if value is None:
        return DASH
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _flat(content: Mapping[str, Any], used: set[str], above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield the leaves of nested mappings that can change a number, by their keys joined by dots."""
    for name, value in content.items():
        key = (*above, str(name))
        if name in _NO_NUMBER or key[0] == "quirks" or (len(key) == 2 and key[0] in _LIBRARIES and name not in used):
            continue
        if isinstance(value, Mapping):
            yield from _flat(value, used, key)
        else:
            yield ".".join(key), value
