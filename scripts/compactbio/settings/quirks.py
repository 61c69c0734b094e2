"""Which switches under `quirks` concern a training: its run.yaml names these, and so the fingerprint of its results.

The run.yaml of a pre-training has the seven that were there first in any case, as finished results have it. A switch
that came later is in `LATER`; `sound` is what was done before it came. It is named where it is `reference` and changes
a number of the training: so results of before stay finished, and are not taken for those of the reference code.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compactbio.architectures import ARCHITECTURES, Architecture, planned_architecture
from compactbio.kinds import KINDS

FINETUNING_SEEDS = "finetuning_seeds"


@dataclass(frozen=True)
class Training:
    """A training as switches see it."""

    architecture: Architecture
    kind: str | None = None
    """The kind of task that is fine-tuned on; None: a pre-training."""


LATER: dict[str, Callable[[Training], bool]] = {
    "decayed_norms": lambda training: training.architecture.norms_of_its_own,
    "qa_loss_over_padding": lambda training: training.kind is not None and KINDS[training.kind].loss_over_padding,
    FINETUNING_SEEDS: lambda training: training.kind is not None,
}
"""Whether a switch can change a number of a training."""


def pretraining_quirks(config: dict[str, Any], model: str) -> dict[str, str]:
    """Return the switches of a model's pre-training and their values, in the configuration's order."""
    training = Training(ARCHITECTURES[config["models"][model]["architecture"]])
    first = {name: value for name, value in config["quirks"].items() if name not in LATER}
    return first | _named(config, training)


def finetuning_quirks(config: dict[str, Any], model: str, dataset: str) -> dict[str, str]:
    """Return the switches of a model's fine-tuning on a dataset and their values; most have none."""
    architecture = planned_architecture(config["models"][model]["architecture"])
    training = Training(architecture, config["datasets"][dataset]["task"])
    return _named(config, training)


def _named(config: dict[str, Any], training: Training) -> dict[str, str]:
    """Return the later switches that change a number of a training."""
    quirks = config["quirks"]
    return {name: "reference" for name, concerns in LATER.items() if quirks[name] == "reference" and concerns(training)}
