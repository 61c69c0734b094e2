"""From a merged configuration to one that is checked and has its placeholders filled."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.settings.checks import check_relations
from compactbio.settings.schema import check_schema

CONFIG_FOLDER = Path(__file__).resolve().parents[3] / "config"
MIRROR = "{mirror}"


def load_settings(
    config: dict[str, Any],
    schema_file: Path = CONFIG_FOLDER / "schema.yaml",
    source_names: Iterable[str] | None = None,
) -> dict[str, Any]:
    """Return a validated copy of a configuration with `{mirror}` replaced in its paths and URLs.

    Args:
        config: the merged configuration, as Snakemake or a YAML file gives it.
        schema_file: the JSON Schema that it must fit.
        source_names: rows of config/data_sources.tsv that `datasets.*.source` and `data_urls` may name;
            None leaves these names unchecked.

    Raises:
        UserError: an unknown key, a wrong type or range, or keys that contradict each other;
            all of them are listed in one message.
    """
    settings = deepcopy(config)
    check_schema(settings, schema_file)
    mirror = settings["mirror"]
    if mirror is not None and ("://" in mirror or not mirror):
        raise UserError(f"mirror: {mirror!r} is not a folder; give its path, without file://")
    settings = _fill(settings, mirror, ())
    check_relations(settings, None if source_names is None else set(source_names))
    return settings


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with `above` merged over it: mappings merge, everything else replaces."""
    merged = deepcopy(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(merged.get(key), dict):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = deepcopy(value)
    return merged


def _fill(value: Any, mirror: str | None, keys: tuple[str, ...]) -> Any:
    """Return a value with `{mirror}` in its texts replaced; file:// URLs get an absolute path."""
    if isinstance(value, dict):
        return {key: _fill(entry, mirror, (*keys, str(key))) for key, entry in value.items()}
    if isinstance(value, list):
        return [_fill(entry, mirror, keys) for entry in value]
    if isinstance(value, str) and MIRROR in value:
        if mirror is None:
            raise UserError(
                f"{'.'.join(keys)}: {value} needs the key `mirror`: add --config mirror=FOLDER to the command"
            )
        folder = str(Path(mirror).expanduser().resolve()) if value.startswith("file://") else mirror.rstrip("/")
        return value.replace(MIRROR, folder)
    return value
