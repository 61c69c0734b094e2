"""The configuration: validated, its placeholders filled, and cut into one settings block per run."""

from compactbio.settings.checks import check_relations
from compactbio.settings.load import load_settings, merge, read_configuration
from compactbio.settings.runs import finetuning_run, pretraining_run
from compactbio.settings.schema import check_schema

__all__ = [
    "check_relations",
    "check_schema",
    "finetuning_run",
    "load_settings",
    "merge",
    "pretraining_run",
    "read_configuration",
]
