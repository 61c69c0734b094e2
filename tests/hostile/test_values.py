"""Hostile values of a configuration: each key gets what it cannot mean, and is taken or refused, never a traceback."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from helpers.configurations import read

from compactbio.errors import UserError
from compactbio.settings.load import load_settings
from compactbio.settings.schema import whole_schema
from hostile.table import Counts

VALUES: list[Any] = [
    *(
        None,
        True,
        -1,
        0,
        10**30,
        float("nan"),
        float("inf"),
        1e26,
        "",
        "\n",
        "a\nb",
        "x'$(touch RAN)'y",
        "../../..",
        "~nobody/x",
    ),
    *("{mirror}", "\ud800", "é" * 5000, [], [[]], {}, {"a": {"b": 1}}, ["x"] * 3, "1e-4", "{model}", "-rf"),
]


def leaves(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the place of each mapping and value; of models, datasets, checkpoints and tokenizers the first two."""
    if keys:
        yield keys
    if isinstance(value, dict):
        names = list(value)[:2] if keys in (("models",), ("datasets",), ("checkpoints",), ("tokenizers",)) else value
        for key in names:
            yield from leaves(value[key], (*keys, key))


def put(config: dict[str, Any], keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return a copy of a configuration with another value at a place."""
    changed = copy.copy(config)
    changed[keys[0]] = put(config[keys[0]], keys[1:], value) if len(keys) > 1 else value
    return changed


@pytest.fixture(autouse=True)
def schema_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema is read once, not at every load."""
    monkeypatch.setattr("compactbio.settings.schema.whole_schema", cache(whole_schema))


@pytest.mark.parametrize("key", list(read()))
def test_every_key_takes_or_refuses_every_value(key: str, counts: Counts, request: pytest.FixtureRequest) -> None:
    """Of the values an even sample at each place, all of them by `make test-hostile`."""
    config, step = read(), max(1, 30 // request.config.getoption("--trials"))
    for number, keys in enumerate(leaves({key: config[key]})):
        for value in VALUES[number % step :: step]:
            try:
                load_settings(put(config, keys, value), source_names=None)
                outcome = "went on"
            except UserError as error:
                outcome = "one line" if len(str(error)) < 10_200 else "long"
            except Exception as error:
                pytest.fail(f"{'.'.join(keys)}: {value!r:.80} ends in {type(error).__name__}: {error}")
            counts.add("hostile value of a configuration", outcome)
            assert outcome != "long", (keys, value)
