"""The files of measure_efficiency and measure_deployment: their form, and reading them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.provenance import require_written

TORCH, ONNX, INT8 = FORMS = ("torch fp32", "ONNX fp32", "ONNX int8")  # of a deployed model
Device = Literal["cpu", "cuda"]
DEVICES: dict[Device, str] = {"cpu": "CPU", "cuda": "GPU"}
Quantity = Literal["latency_milliseconds", "throughput_sequences_per_second"]
QUANTITIES: dict[Quantity, tuple[str, str]] = {
    "latency_milliseconds": ("latency, batch 1", "ms"),
    "throughput_sequences_per_second": ("throughput, batch {batch_size}", "sequences/s"),
}  # and their titles and units

Settings = dict[str, int]  # the fields of `timing.MeasurementSettings`


class Spread(TypedDict):
    """A repeated measurement: median, quartiles and all values."""

    median: float
    q1: float
    q3: float
    values: list[float]


class Speed(TypedDict):
    """How fast a model is on a device."""

    latency_milliseconds: Spread
    throughput_sequences_per_second: Spread


class Encoder(TypedDict):
    """What one encoder costs; operations by length of the sequence."""

    parameters: dict[str, int]
    weights_bytes: int
    flops: dict[str, int]
    peak_memory_bytes: NotRequired[int]
    cpu: NotRequired[Speed]
    cuda: NotRequired[Speed]


class EncoderHardware(TypedDict):
    """What encoders were measured on."""

    cpu: str
    cpu_threads: int
    gpu: str | None
    torch: str
    precision: str


class EncoderMeasurements(TypedDict):
    """What measure_efficiency writes."""

    settings: Settings
    hardware: EncoderHardware
    models: dict[str, Encoder]


class MeasuredEncoder(Encoder):
    """One encoder, and how it was measured."""

    settings: Settings
    hardware: EncoderHardware


class DeployedForm(TypedDict):
    """A fine-tuned model in one of `FORMS`; scores are fractions by protocol and metric."""

    bytes: int
    scores: dict[str, dict[str, float]]
    cpu: NotRequired[Speed]


class DeployedModel(TypedDict):
    """The forms of one run of a fine-tuned model."""

    run: str
    forms: dict[str, DeployedForm]


class DeploymentHardware(TypedDict):
    """What deployed models were measured on."""

    cpu: str
    cpu_threads: int
    integer_instructions: str
    torch: str
    onnxruntime: str


class Deployment(TypedDict):
    """What measure_deployment writes: all models on one dataset."""

    settings: Settings
    hardware: DeploymentHardware
    dataset: str
    task: str
    models: dict[str, DeployedModel]


def read_efficiency(paths: Iterable[Path]) -> dict[str, MeasuredEncoder]:
    """Return the measurements of encoders by model.

    Raises:
        UserError: a file is not one of measure_efficiency, or a model occurs twice.
    """
    measured: dict[str, MeasuredEncoder] = {}
    for path in paths:
        content = _read(path, EncoderMeasurements, "measure_efficiency")
        for name, facts in content["models"].items():
            if name in measured:
                raise UserError(f"{path} measures {name} a second time: give one file per model")
            measured[name] = facts | {"hardware": content["hardware"], "settings": content["settings"]}
    return measured


def read_deployment(path: Path | None) -> Deployment | None:
    """Return the measurements of deployed models; None without a file.

    Raises:
        UserError: it is not one of measure_deployment.
    """
    return None if path is None else _read(path, Deployment, "measure_deployment")


def _read(path: Path, form: type, program: str) -> Any:
    """Return a file's content after comparing its keys with those of a form."""
    require_written(path)
    return read_json(path, form, f"{program} has to write it again")
