"""What trainings ran on: code, versions of packages, hardware, each kind once with the trainings it concerns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from compactbio.provenance import Code, Hardware, Provenance
from compactbio.reporting.grouping import grouped
from compactbio.reporting.pages.training_records import STAGES, Trained
from compactbio.reporting.render import DASH, Block, Document, Entry, Section, row


def environment_document(trained: Sequence[Trained], here: dict[str, str]) -> Document:
    """Return the page; `here` are versions, by name, of what makes the reports on the machine that writes it."""
    text = (
        "As recorded in each training's provenance.json when it finished. Where more than one line or column stands, "
        "results of different environments are compared in the tables."
    )
    code = _kinds(trained, lambda facts: (_commit(facts["code"]),))
    hardware = _kinds(trained, lambda facts: _hardware(facts["hardware"]))
    versions = [row(name, version) for name, version in here.items()]
    blocks = [
        _words("Code", "code", ["commit", "trainings"], code),
        _words("Hardware", "hardware", ["processor", "cores", "GPUs", "trainings"], hardware),
        _packages(trained),
        _words("Where this page was written", "here", ["software", "version"], versions),
    ]
    return Document("Environment", [text], [Section("", [], blocks)])


def _words(title: str, name: str, header: list[str], rows: list[list[Entry]]) -> Block:
    """Return a table of words."""
    return Block(title, f"environment-{name}", header, rows)


def _packages(trained: Sequence[Trained]) -> Block:
    """Return the versions of packages, a column for each set that occurs."""
    sets = grouped((tuple(sorted(job.facts["packages"].items())), job) for job in trained)
    versions = [dict(packages) for packages in sets]
    names = sorted({name for packages in versions for name in packages})
    rows = [row(name, *(packages.get(name, DASH) for packages in versions)) for name in names]
    return _words("Packages", "packages", ["package", *(_which(jobs, trained) for jobs in sets.values())], rows)


def _kinds(trained: Sequence[Trained], kind: Callable[[Provenance], tuple[str, ...]]) -> list[list[Entry]]:
    """Return a row for each kind of training that occurs: what it is, then which trainings are of it."""
    kinds = grouped((kind(job.facts), job) for job in trained)
    return [row(*texts, _which(jobs, trained)) for texts, jobs in kinds.items()]


def _which(jobs: Sequence[Trained], trained: Sequence[Trained]) -> str:
    """Return in words which trainings are meant: all, or by stage their number, or their names where they are few."""
    if len(jobs) == len(trained):
        return f"all {len(trained)}"
    if len(jobs) <= 3:
        return ", ".join(job.name for job in jobs)
    counts = {word: sum(job.stage == stage for job in jobs) for stage, word in STAGES.items()}
    return ", ".join(f"{count} × {word}" for word, count in counts.items() if count)


def _commit(code: Code) -> str:
    """Return the commit, and whether the checkout had changes beside it."""
    if code["commit"] is None:
        return f"unknown ({code.get('note', 'no git checkout')})"
    return code["commit"] + (" with changes that were not committed" if code["dirty"] else "")


def _hardware(hardware: Hardware) -> tuple[str, str, str]:
    """Return CPU, cores and GPUs in words."""
    names = hardware["gpus"]
    gpus = ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names)) or "none"
    return hardware["processor"], str(hardware["cores"]), gpus
