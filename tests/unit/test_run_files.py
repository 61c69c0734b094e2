"""What the shipped configurations write into run files: another word there would make finished results stale."""

from __future__ import annotations

import hashlib
import json

import pytest
from helpers.configurations import CONFIG

from compactbio.settings.load import settings_of_files
from compactbio.settings.runs import finetuning_run, pretraining_run
from compactbio.settings.selection import finetuned_datasets, trained_models

# sha256 of all run files, as they have been since November 2026. A change of a shipped number changes one, on purpose:
# the message of its commit and CHANGELOG.md say what is trained anew. Nothing else may.
DIGESTS = {
    "config": "f3e4054665e8130d",
    "demo": "aa0888697e87da46",
    "released": "889e41da036bf8bf",
    "sound": "eb65e53b2627b6e3",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_run_files_of_shipped_configurations_stay(name: str) -> None:
    config = settings_of_files([] if name == "config" else [CONFIG / f"{name}.yaml"])
    runs = [
        [pretraining_run(config, model) for model in trained_models(config)],
        [
            finetuning_run(config, model, dataset)
            for model in config["run"]["models"]
            for dataset in finetuned_datasets(config)
        ],
    ]
    assert hashlib.sha256(json.dumps(runs).encode()).hexdigest()[:16] == DIGESTS[name]
