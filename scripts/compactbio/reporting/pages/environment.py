"""What trainings ran on: code, versions of packages, hardware, each kind once with the trainings it concerns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from compactbio.reporting.pages.training_records import STAGES, Trained
from compactbio.reporting.render import DASH, Block, Document, Entry, Section


def environment_document(trained: Sequence[Trained], here: dict[str, str]) -> Document:
    """Return the page.

    Args:
        here: versions of what makes the reports, by name, of the machine that writes this page.
    """
    text = (
        "As recorded in each training's provenance.json when it finished. Where more than one line or column stands, "
        "results of different environments are compared in the tables."
    )
    code = _kinds(trained, lambda facts: (_commit(facts["code"]),))
    hardware = _kinds(trained, lambda facts: _hardware(facts["hardware"]))
    return Document(
        "Environment",
        [text],
        [
            Section(
                "",
                [],
                [
                    Block("Code", "environment-code", ["commit", "trainings"], code, numeric=False),
                    Block(
                        "Hardware",
                        "environment-hardware",
                        ["processor", "cores", "GPUs", "trainings"],
                        hardware,
                        numeric=False,
                    ),
                    _packages(trained),
                    Block(
                        "Where this page was written",
                        "environment-here",
                        ["software", "version"],
                        [[Entry(name), Entry(version)] for name, version in here.items()],
                        numeric=False,
                    ),
                ],
            )
        ],
    )


def _packages(trained: Sequence[Trained]) -> Block:
    """Return the versions of packages, a column for each set that occurs."""
    sets: dict[tuple[tuple[str, str], ...], list[Trained]] = {}
    for job in trained:
        sets.setdefault(tuple(sorted(job.facts["packages"].items())), []).append(job)
    versions = [dict(packages) for packages in sets]
    names = sorted({name for packages in versions for name in packages})
    return Block(
        "Packages",
        "environment-packages",
        ["package", *(_which(jobs, trained) for jobs in sets.values())],
        [[Entry(name), *(Entry(packages.get(name, DASH)) for packages in versions)] for name in names],
        numeric=False,
    )


def _kinds(trained: Sequence[Trained], kind: Callable[[dict[str, Any]], tuple[str, ...]]) -> list[list[Entry]]:
    """Return a row for each kind of training that occurs: what it is, then which trainings are of it."""
    kinds: dict[tuple[str, ...], list[Trained]] = {}
    for job in trained:
        kinds.setdefault(kind(job.facts), []).append(job)
    return [[*map(Entry, texts), Entry(_which(jobs, trained))] for texts, jobs in kinds.items()]


def _which(jobs: Sequence[Trained], trained: Sequence[Trained]) -> str:
    """Return in words which trainings are meant: all, or by stage their number, or their names where they are few."""
    if len(jobs) == len(trained):
        return f"all {len(trained)}"
    if len(jobs) <= 3:
        return ", ".join(job.name for job in jobs)
    counts = {word: sum(job.stage == stage for job in jobs) for stage, word in STAGES.items()}
    return ", ".join(f"{count} × {word}" for word, count in counts.items() if count)


def _commit(code: dict[str, Any]) -> str:
    """Return the commit, and whether the checkout had changes beside it."""
    if code["commit"] is None:
        return f"unknown ({code.get('note', 'no git checkout')})"
    return code["commit"] + (" with changes that were not committed" if code["dirty"] else "")


def _hardware(hardware: dict[str, Any]) -> tuple[str, str, str]:
    """Return CPU, cores and GPUs in words."""
    names = hardware["gpus"]
    gpus = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names)) or "none"
    return hardware["processor"], str(hardware["cores"]), gpus
