"""Which switches under `quirks` concern a training: its run.yaml names these, and so the fingerprint of its results.

The run.yaml of a pre-training has the seven that were there first in any case, as finished results have it. A switch
that came later is in `LATER`, and out of the run.yaml of trainings in which it changes nothing, whatever its value: so
results that it cannot touch stay finished, and those that it can are not taken for those of its other value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from compactbio.architectures import ARCHITECTURES, Architecture


@dataclass(frozen=True)
class Training:
    """A training as switches see it."""

    architecture: Architecture
    kind: str | None = None
    """The kind of task that is fine-tuned on; None: a pre-training."""


LATER: dict[str, Callable[[Training], bool]] = {
    "decayed_norms": lambda training: training.architecture.norms_of_its_own,
}
"""Whether a switch can change a number of a training."""


def pretraining_quirks(config: dict[str, Any], model: str) -> dict[str, str]:
    """Return the switches of a model's pre-training and their values, in the configuration's order."""
    training = Training(ARCHITECTURES[config["models"][model]["architecture"]])
    return {name: value for name, value in config["quirks"].items() if name not in LATER or LATER[name](training)}


def finetuning_quirks(config: dict[str, Any], model: str, dataset: str) -> dict[str, str]:
    """Return the switches of a model's fine-tuning on a dataset and their values; most have none."""
    training = Training(ARCHITECTURES[config["models"][model]["architecture"]], config["datasets"][dataset]["task"])
    return {name: value for name, value in config["quirks"].items() if name in LATER and LATER[name](training)}
