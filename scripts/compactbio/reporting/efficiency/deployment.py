"""Fine-tuned models for deployment on a CPU: torch, ONNX and ONNX in int8, their sizes, speeds and scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import torch

from compactbio.finetuning.packed.batching import to_tensors
from compactbio.provenance import processor_name
from compactbio.reporting.efficiency.encoders import fitting, random_inputs
from compactbio.reporting.efficiency.forms import Forms, make_forms
from compactbio.reporting.efficiency.measurements import TORCH, DeployedModel, Deployment
from compactbio.reporting.efficiency.timing import MeasurementSettings, integer_instructions, measure_speeds


def measure_deployment(
    folders: Mapping[str, Path], task_folder: Path, output: Path, settings: MeasurementSettings, notice: str = ""
) -> tuple[Deployment, dict[str, str]]:
    """Return the measurements of all models, and the digest of each one's weights; the int8 files are kept.

    Args:
        folders: of the fine-tunings on one dataset, by model.
        output: gets a folder per model with its int8 file.
        notice: what stands over the cards of these, where the data call for it.

    Raises:
        UserError: as `forms.make_forms`.
    """
    torch.set_num_threads(settings.threads)
    models = {
        name: make_forms(name, folder, task_folder, output / name, settings.threads, notice)
        for name, folder in folders.items()
    }
    settings = fitting(settings, [made.step.model for made in models.values()])
    passes: dict[tuple[tuple[str, str], int], Callable[[], object]] = {}
    for name, made in models.items():
        for batch in (1, settings.batch_size):
            arrays = _inputs(made, batch, settings)
            passes[(name, TORCH), batch] = partial(made.step.logits, to_tensors(arrays))
            for form, file in made.files.items():
                passes[(name, form), batch] = partial(file.logits, arrays)
    with torch.inference_mode():
        speeds = measure_speeds(passes, settings)
    for (name, form), speed in speeds.items():
        models[name].facts[form]["cpu"] = speed
    facts: dict[str, DeployedModel] = {
        name: {"run": made.settings["runs"][0]["run"], "forms": made.facts} for name, made in models.items()
    }
    first = next(iter(models.values())).settings
    measured: Deployment = {
        "settings": asdict(settings),
        "hardware": {
            "cpu": processor_name(),
            "cpu_threads": settings.threads,
            "integer_instructions": integer_instructions(),
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
        "dataset": first["dataset"],
        "task": first["task"],
        "models": facts,
    }
    return measured, {name: made.digest for name, made in models.items()}


def _inputs(made: Forms, batch: int, settings: MeasurementSettings) -> dict[str, np.ndarray]:
    """Return the token ids and mask that the model's encoder is measured with, and token types where it has any."""
    tensors = random_inputs(made.step.model, batch, settings.sequence_length, settings.seed)
    arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
    if made.step.token_types:
        arrays["token_type_ids"] = np.zeros_like(arrays["input_ids"])
    return arrays
