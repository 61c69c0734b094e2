"""The run as a research object: a Workflow Run Crate (RO-Crate 1.1) whose root is the results folder.

Nothing is copied into it but the workflow itself; the files are described where they lie. Profiles:
https://w3id.org/ro/wfrun/workflow/0.5 and those it builds on.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.model.person import Person
from rocrate.rocrate import ROCrate

from compactbio.digests import sha256_of_file
from compactbio.files import MANIFEST, read_json
from compactbio.provenance import PROVENANCE, Code, read_provenance
from compactbio.publishing.citations import PAPER, installed_packages, package_page
from compactbio.publishing.contents import Contents
from compactbio.publishing.sources import Used
from compactbio.settings.results import Results

PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": ("Workflow RO-Crate", "1.0"),
}
_PAPER_ADDRESS = "https://doi.org/10.1093/bioinformatics/btad103"
_MIT = "https://spdx.org/licenses/MIT"
_TERMS = {"sha256": "https://w3id.org/ro/terms/workflow-run#sha256"}
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"
_KINDS = {".jsonl": "application/jsonl", ".parquet": "application/vnd.apache.parquet", ".smk": "text/plain"}
_KINDS |= {".yaml": "application/yaml", ".tsv": "text/tab-separated-values", ".bib": "application/x-bibtex"}
_KINDS |= {".md": "text/markdown", ".tex": "application/x-tex"}


def run_crate(
    results: Results[Path], contents: Contents, used: Sequence[Used], code: Code, agent: str, notice: str = ""
) -> dict[str, Any]:
    """Return the content of ro-crate-metadata.json.

    The results folder holds the copy of the workflow already; `code` is the version of the checkout that it was copied
    from, `agent` the name of who ran it; `notice` begins its description, where the data call for one.
    """
    root = results.folder
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms.update(_TERMS)
    crate.name = f"Compact biomedical transformers: a replication, {root.name}"
    about = (
        f"Models, fine-tunings and scores by the workflow that replicates {PAPER} "
        f"Models: {', '.join(contents.models)}. Datasets: {', '.join(contents.datasets)}."
    )
    crate.description = f"{notice} {about}".strip()
    terms = (
        "Of the workflow and what it writes. Inputs keep their own licences, and models made of them may be bound by "
        "those."
    )
    crate.license = _about(crate, _MIT, "CreativeWork", name="MIT License", description=terms)
    crate.root_dataset["conformsTo"] = [
        _about(crate, address, "CreativeWork", name=name, version=version)
        for address, (name, version) in PROFILES.items()
    ]
    workflow = _workflow(crate, results, code)
    inputs = [_file(crate, root, path) for path in contents.inputs]
    inputs += _sources(crate, used)
    outputs = [_file(crate, root, path) for path in contents.outputs]
    outputs += [_folder(crate, root, folder) for folder in contents.folders]
    for path in contents.records:
        _file(crate, root, path)
    records = [root / path for path in contents.records if path.name == PROVENANCE]
    started, ended = span(records, [root / path for path in contents.outputs])
    action = crate.add_action(
        workflow,
        identifier="#run",
        object=inputs,
        result=outputs,
        properties={
            "name": f"Run of the workflow into {root.name}",
            "description": "All jobs; provenance.json beside each result says when, where and from what it was made.",
            "startTime": started.isoformat(),
            "endTime": ended.isoformat(),
            "actionStatus": "http://schema.org/CompletedActionStatus",
        },
    )
    action["agent"] = crate.add(Person(crate, "#agent", properties={"name": agent}))
    crate.root_dataset["mentions"] = action
    crate.root_dataset["author"] = action["agent"]
    return crate.metadata.generate()


def span(records: Iterable[Path], outputs: Iterable[Path]) -> tuple[datetime, datetime]:
    """Return when the first result was begun, by provenance.json, and the last output written, by its time of change.

    A result made in several tries was begun earlier than its seconds say, unless it lists its submissions.
    """
    begun: list[datetime] = []
    finished = [_changed(path) for path in outputs]
    for path in records:
        record = read_provenance(path)
        stamp = record.get("finished")
        end = datetime.fromisoformat(stamp) if stamp else _changed(path)
        starts = [datetime.fromisoformat(one["started"]) for one in record.get("submissions", [])]
        begun.append(min([*starts, end - timedelta(seconds=round(record["seconds"]))]))
        finished.append(end)
    ended = max(finished, default=datetime.now(UTC).replace(microsecond=0))
    return min(begun, default=ended), ended


def _changed(path: Path) -> datetime:
    """Return when a file was last changed, in UTC."""
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)


def _about(crate: ROCrate, identifier: str, kind: str, **facts: str) -> Entity:
    """Return an entity that the crate refers to and does not hold."""
    return crate.add(ContextEntity(crate, identifier, properties={"@type": kind, **facts}))


def _workflow(crate: ROCrate, results: Results[Path], code: Code) -> Entity:
    """Return the workflow, with the software it runs on."""
    packages, place = installed_packages(), results.workflow.relative_to(results.folder)
    versions = {name: version for name, version, _ in packages}
    commit = code.get("commit") or f"commit not known: {code.get('note')}"
    if code.get("dirty"):
        commit += ", with uncommitted changes"
    workflow = crate.add_workflow(
        dest_path=place.as_posix(),
        main=True,
        lang="snakemake",
        lang_version=versions.get("snakemake"),
        properties={
            "name": "Compact biomedical transformers: a replication, end to end",
            "version": commit,
            "license": {"@id": _MIT},
            "encodingFormat": "text/plain",
            "conformsTo": {"@id": _BIOSCHEMAS},
            "sha256": sha256_of_file(results.workflow),
        },
    )
    _about(crate, _BIOSCHEMAS, "CreativeWork", name="ComputationalWorkflow")
    folder = {"name": "Rules, programs, configuration and pins of the workflow"}
    crate.add_dataset(dest_path=f"{place.parent.as_posix()}/", properties=folder)
    workflow["citation"] = _about(crate, _PAPER_ADDRESS, "ScholarlyArticle", name=PAPER)
    software = []
    for name, version, licence in packages:
        facts = {"name": name, "softwareVersion": version, "license": licence, "url": package_page(name, version)}
        software.append(_about(crate, facts["url"], "SoftwareApplication", **facts))
    workflow["softwareRequirements"] = software
    return workflow


def _sources(crate: ROCrate, used: Sequence[Used]) -> list[Entity]:
    """Return what the run reads of others, as it stands in the web; what has no address there is described only."""
    entities = []
    for one in used:
        facts = {
            "name": one.name,
            "version": one.version,
            "license": one.licence,
            "creditText": one.citation,
            "description": ". ".join(text for text in (f"Used for {', '.join(one.used_for)}", one.note) if text),
        }
        facts = {name: value for name, value in facts.items() if value}
        if one.url.startswith(("https://", "http://")):
            is_archive = one.url.endswith((".gz", ".zip", ".bz2", ".xz", ".tgz", ".tar"))
            add = crate.add_file if is_archive else crate.add_dataset  # the latter's address gets a slash at its end
            entities.append(add(source=one.url, properties=facts))
        else:
            identifier = f"#source-{one.kind}-{one.name.replace('/', '-').replace(' ', '-')}"
            entities.append(_about(crate, identifier, "CreativeWork", **facts))
    return entities


def _file(crate: ROCrate, root: Path, path: Path) -> Entity:
    """Return a file of the results folder, described and not copied."""
    place = root / path
    facts = {
        "name": path.as_posix(),
        "encodingFormat": _KINDS.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream",
        "contentSize": str(place.stat().st_size),
        "sha256": sha256_of_file(place),
    }
    return crate.add_file(dest_path=path.as_posix(), properties=facts)


def _folder(crate: ROCrate, root: Path, path: Path) -> Entity:
    """Return a folder with a manifest, by the digest that this gives."""
    manifest = read_json(root / path / MANIFEST)
    size = sum(file["bytes"] for file in manifest["files"].values())
    facts = {
        "name": path.as_posix(),
        "description": f"{len(manifest['files'])} files of {size:,} bytes, listed with their sha256 in {MANIFEST}",
        "identifier": f"sha256 over names and contents: {manifest['digest']}",
    }
    return crate.add_dataset(dest_path=f"{path.as_posix()}/", properties=facts)
