"""What was trained in a run, by the provenance.json that each pre-training and fine-tuning leaves."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from compactbio.errors import UserError
from compactbio.provenance import Provenance, read_provenance
from compactbio.settings.results import FINETUNING, PRETRAINING

STAGES = {PRETRAINING: "pre-training", FINETUNING: "fine-tuning"}


@dataclass(frozen=True)
class Trained:
    """One training job; `dataset` is empty for a pre-training."""

    stage: str
    model: str
    dataset: str
    facts: Provenance

    @property
    def gpu_hours(self) -> float:
        """Hours for which GPUs were held."""
        return self.facts["gpu_hours"]

    @property
    def name(self) -> str:
        """What the pages call it."""
        return f"{STAGES[self.stage]} of {self.model}" + (f" on {self.dataset}" if self.dataset else "")


def read_trained(paths: Iterable[Path]) -> list[Trained]:
    """Return the trainings of files pretraining/<model>/ and finetuning/<model>/<dataset>/provenance.json.

    Raises:
        UserError: a file lies elsewhere, or no training wrote it.
    """
    found = []
    for path in paths:
        facts = read_provenance(path)
        folder, above = path.parent, path.parent.parent
        if above.name == PRETRAINING:
            found.append(Trained(PRETRAINING, folder.name, "", facts))
        elif above.parent.name == FINETUNING:
            found.append(Trained(FINETUNING, above.name, folder.name, facts))
        else:
            raise UserError(
                f"{path} lies neither under {PRETRAINING}/<model>/ nor under {FINETUNING}/<model>/<dataset>/"
            )
    return found
