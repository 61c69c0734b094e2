"""What a configuration uses of others: the rows of config/data_sources.tsv that it reads, with licence and citation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.files import read_json
from compactbio.settings.results import Results
from compactbio.settings.selection import (
    BASELINE,
    definition_of,
    fetched_names,
    finetuned_datasets,
    row_of_corpus,
    row_of_dataset,
    row_of_model,
    trained_models,
)
from compactbio.tasks.data_sources import Source, read_sources

PUBMED = BASELINE
PUBMED_ATTRIBUTION = (
    "PubMed data: courtesy of the U.S. National Library of Medicine. They were changed (texts were selected and "
    "tokenised); what is held here does not reflect the most current or accurate data available from NLM, and NLM does "
    "not endorse this work."
)
CORPUS, BENCHMARK, MODEL = "corpus", "benchmark", "model"


@dataclass(frozen=True)
class Used:
    """Something of others that a run uses. Empty where the table does not know."""

    kind: str  # corpus, benchmark or model
    name: str  # of a row of the table, or what the configuration names where there is no row; no path
    used_for: tuple[str, ...]  # the datasets, checkpoints and models it is read for
    url: str
    version: str
    licence: str
    citation: str
    note: str = ""
    language: str = ""


def used_sources(config: dict[str, Any], table: Path, commits: Mapping[str, str]) -> list[Used]:
    """Return everything of others that a run uses: corpus, benchmarks, checkpoints and models, in that order.

    `commits` are those of the checkpoints and models that are fetched, "" where it is not known.
    """
    sources = read_sources(table)
    corpus = _corpus(config, sources) if trained_models(config) else []
    return [*corpus, *_benchmarks(config, sources), *_models(config, sources, commits)]


def _corpus(config: dict[str, Any], sources: dict[str, Source]) -> list[Used]:
    """Return the corpus of pre-training."""
    corpus, users = config["corpus"], ["pre-training"]
    described = row_of_corpus(config)
    row = None if described is None else sources[described]
    if corpus["source"] != "baseline":
        return [_used(CORPUS, f"own file {Path(path).name}", users, row) for path in corpus["documents"]]
    baseline = corpus["baseline"]
    return [_used(CORPUS, row.name, users, row, baseline["base_url"], f"baseline of {baseline['year']}")] if row else []


def _benchmarks(config: dict[str, Any], sources: dict[str, Source]) -> list[Used]:
    """Return the archives that datasets come from, and each dataset with the terms of its own files."""
    used: list[Used] = []
    archives: dict[str, list[str]] = {}
    for name in finetuned_datasets(config):
        definition = config["datasets"][name]
        source = definition["source"]
        if not source:
            described = row_of_dataset(config, name)
            used.append(_used(BENCHMARK, name, [name], sources[described] if described else None))
            continue
        archives.setdefault(source, []).append(name)
        inside = f"{definition['folder']}/" if definition["folder"] else ""
        terms = [terms for member, terms in sources[source].terms.items() if member.startswith(inside)]
        licence, citation = _joined(one for one, _ in terms), _joined(one for _, one in terms)
        if licence or citation:
            row = sources[source]
            used.append(Used(BENCHMARK, name, (name,), "", row.version, licence, citation, language=row.language))
    for source, names in archives.items():
        row = sources[source]
        url = config["data_urls"].get(source) or next(iter(row.urls), "")
        used.append(_used(BENCHMARK, source, names, row, url, row.version))
    return used


def fetched_commits(config: dict[str, Any], results: Results[Path]) -> dict[str, str]:
    """Return the commit of each checkpoint or model that is fetched, "" where it is not there or came from a folder."""
    manifests = {name: results.students.fetched(name).manifest for name in fetched_names(config)}
    return {
        name: read_json(path)["origin"].get("commit", "") if path.is_file() else "" for name, path in manifests.items()
    }


def _models(config: dict[str, Any], sources: dict[str, Source], fetched: Mapping[str, str]) -> list[Used]:
    """Return the repositories or folders that checkpoints and models come from."""
    names: dict[tuple[str, str, str | None], list[str]] = {}
    for name, commit in fetched.items():
        definition = definition_of(config, name)
        hub = definition["hub"] if definition["source"] == "hub" else None
        place = (hub["repository"], commit or hub["revision"]) if hub else (str(definition["path"]), "")
        names.setdefault((*place, row_of_model(config, name)), []).append(name)
    used = []
    for (origin, revision, described), users in names.items():
        row = sources.get(described) if described else None
        url = next(iter(row.urls), "") if row and revision else f"https://huggingface.co/{origin}" if revision else ""
        used.append(_used(MODEL, origin if revision else f"own folder {Path(origin).name}", users, row, url, revision))
    return used


def _used(kind: str, name: str, users: list[str], row: Source | None, url: str = "", version: str = "") -> Used:
    """Return what is used, with what its row of the table says of it; an address on this machine is left out."""
    said = ("", "", "", "") if row is None else (row.licence, row.citation, row.note, row.language)
    local = url.startswith("file:")
    note = "; ".join(text for text in (said[2], "read from a local copy" if local else "") if text)
    return Used(kind, name, tuple(users), "" if local else url, version, *said[:2], note, said[3])


def _joined(texts: Iterable[str]) -> str:
    """Return the different texts, in order, as one."""
    return "; ".join(dict.fromkeys(text for text in texts if text))
