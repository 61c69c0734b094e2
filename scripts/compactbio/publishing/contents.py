"""Which files of a results folder belong to a run of a configuration: others may lie there from earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from compactbio.files import MANIFEST
from compactbio.finetuning.runs.run_files import PREDICTIONS
from compactbio.provenance import PROVENANCE

CONFIGURATION = Path("reporting/configuration.yaml")


@dataclass
class Contents:
    """Paths relative to the results folder.

    Attributes:
        inputs: the configuration, and the manifests of what was downloaded.
        outputs: scores, tables, figures, pages, cards.
        folders: models, each with a manifest.
        records: how the outputs were made: run files, provenance, training records, predictions.
    """

    models: list[str]
    datasets: list[str]
    inputs: list[Path] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    records: list[Path] = field(default_factory=list)


def find_contents(
    results: Path, *, models: Sequence[str], datasets: Sequence[str], trained: Sequence[str], fetched: Sequence[str]
) -> Contents:
    """Return what lies in a results folder of a run of these models and datasets."""
    contents = Contents(list(models), list(datasets))
    corpus = ["corpus/baseline/*.json", "corpus/text/*.counts.json"] if trained else []
    contents.inputs = _there(results, [CONFIGURATION.as_posix(), *corpus, "tasks/sources/*.json"])
    contents.outputs = _there(results, ["tables/*.*", "figures/**/*.*", "reporting/**/*.*", "corpus/summary.*"])
    contents.outputs = [path for path in contents.outputs if path != CONFIGURATION]
    contents.outputs += _there(results, [f"finetuning/{model}/scores.tsv" for model in models])
    contents.folders = [Path(f"pretraining/{model}/model") for model in trained]
    contents.folders += [Path(f"students/fetched/{name}") for name in fetched]
    contents.folders = [folder for folder in contents.folders if (results / folder / MANIFEST).is_file()]
    patterns = [f"{folder.as_posix()}/{name}" for folder in contents.folders for name in (MANIFEST, PROVENANCE)]
    patterns += [f"students/initialised/{model}/{name}" for model in trained for name in (MANIFEST, PROVENANCE)]
    made = ("run.yaml", "training.json", "metrics.jsonl", PROVENANCE)
    patterns += [f"pretraining/{model}/{name}" for model in trained for name in made]
    patterns += [f"finetuning/{model}/{PROVENANCE}" for model in models]
    pairs = [f"{model}/{dataset}" for model in models for dataset in datasets]
    patterns += [f"finetuning/{pair}/{name}" for pair in pairs for name in (*made, PREDICTIONS)]
    patterns += [f"tasks/{dataset}/{name}" for dataset in datasets for name in (MANIFEST, PROVENANCE)]
    if trained:
        patterns += [f"corpus/tokens/*/*/{name}" for name in (MANIFEST, PROVENANCE)]
    contents.records = _there(results, patterns)
    return contents


def _there(results: Path, patterns: Iterable[str]) -> list[Path]:
    """Return the files that patterns match, each once, hidden ones left out."""
    found = {
        path.relative_to(results): None
        for pattern in patterns
        for path in sorted(results.glob(pattern))
        if path.is_file() and not path.name.startswith(".")
    }
    return list(found)
