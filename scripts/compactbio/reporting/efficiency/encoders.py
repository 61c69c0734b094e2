"""What the encoders of models cost: parameters, file size, floating-point operations, memory, latency, throughput."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import nn
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from compactbio.architectures import architecture_of, longest_sequence
from compactbio.provenance import processor_name
from compactbio.reporting.efficiency.measurements import Device, Encoder, EncoderMeasurements
from compactbio.reporting.efficiency.timing import MeasurementSettings, measure_speeds
from compactbio.students.models import load_encoder
from compactbio.students.parameters import count_parameters
from compactbio.students.weights import weight_files
from compactbio.training.devices import leave_out_cudnn_attention

log = logging.getLogger(__name__)


def measure_encoders(
    folders: Mapping[str, Path], settings: MeasurementSettings, *, flop_lengths: Sequence[int], use_gpu: bool
) -> EncoderMeasurements:
    """Return the measurements of all models, taken in one process and in turn, on a GPU too if there is one to use.

    Args:
        folders: of the models by name.
        flop_lengths: tokens of the sequences whose operations are counted.

    Raises:
        UserError: a folder is not a usable model.
    """
    torch.set_num_threads(settings.threads)
    leave_out_cudnn_attention()  # as trainings and predictions run
    devices: list[Device] = ["cpu"]
    if use_gpu and torch.cuda.is_available():
        devices.append("cuda")
    facts: dict[str, Encoder] = {}
    passes: dict[tuple[tuple[str, Device], int], Callable[[], None]] = {}
    loaded = {name: load_encoder(folder) for name, folder in folders.items()}
    settings = fitting(settings, loaded.values())
    for name, folder in folders.items():
        model = loaded[name]
        positions = longest_sequence(model.config.to_dict())
        facts[name] = {
            "parameters": count_parameters(folder).as_dict(),
            "weights_bytes": sum(path.stat().st_size for path in weight_files(folder)),
            "flops": {str(n): count_flops(model, n) for n in flop_lengths if n <= positions},
            "peak_memory_bytes": peak_memory(model, settings.batch_size, settings.sequence_length),
        }
        log.info("%s: %s, flops %s", name, facts[name]["parameters"], facts[name]["flops"])
        for device in devices:
            measured = model if device == "cpu" else nn.Module.to(load_encoder(folder), device)
            for batch in (1, settings.batch_size):
                inputs = random_inputs(measured, batch, settings.sequence_length, settings.seed)
                passes[(name, device), batch] = _forward_pass(measured, inputs)
    with torch.inference_mode():
        speeds = measure_speeds(passes, settings)
    for (name, device), speed in speeds.items():
        facts[name][device] = speed
    return {
        "settings": asdict(settings),
        "hardware": {
            "cpu": processor_name(),
            "cpu_threads": settings.threads,
            "gpu": torch.cuda.get_device_name() if "cuda" in devices else None,
            "torch": torch.__version__,
            "precision": "fp32",
        },
        "models": facts,
    }


def fitting(settings: MeasurementSettings, models: Iterable[PreTrainedModel]) -> MeasurementSettings:
    """Return the settings with a sequence length that every model has positions for."""
    shortest = min(longest_sequence(model.config.to_dict()) for model in models)
    if shortest >= settings.sequence_length:
        return settings
    log.warning("sequences of %d tokens for all: a model has no more positions", shortest)
    return replace(settings, sequence_length=shortest)


def count_flops(model: PreTrainedModel, length: int) -> int:
    """Return the floating-point operations of one forward pass of one sequence (2 per multiply-add).

    Torch's counter sees matrix products only, and not those inside the CPU's fused attention: the pass is made
    with the plain attention.
    """
    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with _forward_alone(model), FlopCounterMode(display=False) as counter:
            model(**random_inputs(model, 1, length, seed=0))
    finally:
        model.set_attn_implementation(usual)
    return counter.get_total_flops()


def peak_memory(model: PreTrainedModel, batch: int, length: int) -> int:
    """Return the most bytes that tensors take at one time in a forward pass: weights, inputs and activations.

    Counted tensor by tensor, so that it is a property of the model and not of a device's allocator or of what the
    process held before; what a kernel takes for itself inside is not in it.
    """
    inputs, tracker = random_inputs(model, batch, length, seed=0), MemTracker()
    tracker.track_external(model, *inputs.values())
    with _forward_alone(model), tracker:
        model(**inputs)
    return sum(kinds["Total"] for kinds in tracker.get_tracker_snapshot("peak").values())


@contextmanager
def _forward_alone(model: PreTrainedModel) -> Iterator[None]:
    """Keep nothing for a backward pass.

    Torch's counters refuse a layer whose input is a weight, as DeBERTa's tables of positions are, unless gradients are
    recorded. Where a model may have one they are, and what they need is dropped at once: the counts are the same.
    """
    if architecture_of(model).packs:
        with torch.no_grad():
            yield
    else:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(lambda kept: None, lambda kept: kept):
            yield


def random_inputs(model: PreTrainedModel, batch: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Return random token ids (batch, length) and a mask without padding."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, model.config.vocab_size, (batch, length), generator=generator)
    return {"input_ids": ids.to(model.device), "attention_mask": torch.ones_like(ids).to(model.device)}


def _forward_pass(model: PreTrainedModel, inputs: Mapping[str, torch.Tensor]) -> Callable[[], None]:
    """Return the function that makes a forward pass and waits for the device."""

    def make() -> None:
        model(**inputs)
        if model.device.type == "cuda":
            torch.cuda.synchronize()

    return make
