"""The name of a training run's results: what decides them, and nothing that decides where they are made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from compactbio.files import sha256_of_value


def fingerprint(run: Mapping[str, Any], digests: dict[str, str], recipe: int) -> str:
    """Return the sha256 over a run's settings, its inputs' digests and the recipe's number.

    Args:
        run: the content of run.yaml.
        digests: content digest of each input by its role ("student", "tokens/0001", ...).
        recipe: raised by hand whenever the arithmetic of the training changes.
    """
    return sha256_of_value({"run": run, "digests": digests, "recipe": recipe})
