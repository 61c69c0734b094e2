"""From a merged configuration to one that is checked and has its placeholders filled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import read_yaml
from compactbio.forms import require_few
from compactbio.settings.checks import check_relations
from compactbio.settings.schema import check_schema

ROOT = Path(__file__).resolve().parents[3]
CONFIG_FOLDER = ROOT / "config"
MIRROR = "{mirror}"


def load_settings(
    config: dict[str, Any], source_names: Iterable[str] | None = None, reserved_names: Iterable[str] = ()
) -> dict[str, Any]:
    """Return a validated copy of a configuration, `{mirror}` filled in, and `~` in paths replaced by the home folder.

    A relative mirror stays relative: jobs of a copied checkout have the same parameters, so nothing is made again.

    Args:
        config: the merged configuration, as Snakemake or a YAML file gives it.
        source_names: rows of config/data_sources.tsv that `datasets.*.source` and `data_urls` may name;
            None leaves these names unchecked.
        reserved_names: targets and rules of the workflow, which no model may be called.

    Raises:
        UserError: an unknown key, a wrong type or range, or keys that contradict each other;
            all of them are listed in one message.
    """
    try:
        settings = deepcopy(require_few(config))
    except ValueError as error:
        raise UserError(f"the configuration cannot be read: {error}") from None
    check_schema(settings, CONFIG_FOLDER / "schema.yaml")
    mirror = settings["mirror"]
    if mirror is not None and ("://" in mirror or not mirror):
        raise UserError(f"mirror: {mirror!r} is not a folder; give its path, without file://")
    settings = _fill(settings, mirror, ())
    _expand_homes(settings)
    check_relations(settings, None if source_names is None else set(source_names), set(reserved_names))
    return settings


def read_configuration(files: Iterable[Path]) -> dict[str, Any]:
    """Return config/config.yaml with the given files merged over it in turn, as Snakemake's --configfile does.

    Raises:
        UserError: a file is missing or is not a YAML mapping.
    """
    config: dict[str, Any] = {}
    for file in (CONFIG_FOLDER / "config.yaml", *files):
        content = read_yaml(file)
        if not isinstance(content, dict):
            raise UserError(f"{file} is not a mapping of keys: give a configuration like {CONFIG_FOLDER / 'demo.yaml'}")
        config = merge(config, content)
    return config


def rule_names() -> set[str]:
    """Return the names of the workflow's rules and of the targets that the Snakefile names, which no model may have."""
    texts = (path.read_text(encoding="utf-8") for path in (ROOT / "Snakefile", *(ROOT / "rules").glob("*.smk")))
    return {name for text in texts for name in re.findall(r"^ *(?:rule|checkpoint) (\w+):", text, re.MULTILINE)}


def settings_of_files(files: Iterable[Path]) -> dict[str, Any]:
    """Return the checked configuration of --configfile; a missing mirror is no fault, since nothing is read there.

    Raises:
        UserError: a file cannot be read, or the configuration has faults.
    """
    config = read_configuration(files)
    return load_settings(config if config.get("mirror") else merge(config, {"mirror": "."}))


def merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Return `below` with `above` merged over it, as Snakemake does: mappings merge, everything else replaces.

    An empty mapping over a value that is none leaves the value, as it does there.
    """
    merged = deepcopy(below)
    for key, value in above.items():
        if not isinstance(value, dict):
            merged[key] = deepcopy(value)
        elif value or key not in merged:
            inner = merged.get(key)
            merged[key] = merge(inner if isinstance(inner, dict) else {}, value)
    return merged


def _fill(value: Any, mirror: str | None, keys: tuple[str, ...]) -> Any:
    """Return a value with `{mirror}` in its texts replaced."""
    if isinstance(value, dict):
        return {key: _fill(entry, mirror, (*keys, str(key))) for key, entry in value.items()}
    if isinstance(value, list):
        return [_fill(entry, mirror, keys) for entry in value]
    if isinstance(value, str) and MIRROR in value:
        if mirror is None:
            raise UserError(
                f"{'.'.join(keys)}: {value} needs the key `mirror`: add --config mirror=FOLDER to the command"
            )
        return value.replace(MIRROR, str(Path(in_home(mirror, "mirror"))))
    return value


def _expand_homes(settings: dict[str, Any]) -> None:
    """Replace `~` at the beginning of every path of a configuration that is on this machine."""
    for key in ("results_dir", "downloads_dir"):
        settings[key] = in_home(settings[key], key)
    corpus = settings["corpus"]
    corpus["documents"] = [in_home(path, "corpus.documents") for path in corpus["documents"]]
    for kind, key in (("checkpoints", "path"), ("models", "path"), ("datasets", "folder")):
        for name, entry in settings[kind].items():
            if entry.get(key) is not None:
                entry[key] = in_home(entry[key], f"{kind}.{name}.{key}")


def in_home(path: str, place: str) -> str:
    """Return a path with `~` or `~user` at its beginning replaced by that user's home folder.

    Raises:
        UserError: the user is unknown; the key of the configuration, `place`, is named.
    """
    if not path.startswith("~"):
        return path  # as it is written: rules record it as a parameter
    try:
        return str(Path(path).expanduser())
    except RuntimeError:
        raise UserError(f"{place}: {path}: there is no such home folder; write ./{path} for a name") from None
