"""What a model costs to use: parameters, file size, floating-point operations, memory, latency and throughput."""

from __future__ import annotations

import logging
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.reporting.parameters import count_parameters, weight_files

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MeasurementSettings:
    """How models are measured; every model sees the same token ids."""

    sequence_length: int = 128  # tokens
    batch_size: int = 32  # sequences of the throughput measurement; latency has a batch of 1
    repetitions: int = 10  # timed passes of each model, device and batch size
    warmup: int = 2  # passes before them that are not counted
    threads: int = 1  # CPU threads of torch
    flop_lengths: tuple[int, ...] = (128, 256)
    seed: int = 0


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return median, first and third quartile of a measurement, and its values."""
    if len(values) > 1:
        first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    else:
        first = third = values[0]
    return {"median": statistics.median(values), "q1": first, "q3": third, "values": list(values)}


def measure_models(folders: Mapping[str, Path], settings: MeasurementSettings, *, use_gpu: bool) -> dict[str, Any]:
    """Return the measurements of all models, taken in one process and interleaved.

    One repetition runs every model, device and batch size once, so that what disturbs the machine for a while
    disturbs all of them; the order is turned by one place each time.

    Raises:
        UserError: a folder is not a usable model.
    """
    import torch

    torch.set_num_threads(settings.threads)
    devices = ["cpu", *(["cuda"] if use_gpu and torch.cuda.is_available() else [])]
    facts: dict[str, dict[str, Any]] = {}
    tasks: list[tuple[str, str, int]] = []
    loaded: dict[tuple[str, str], torch.nn.Module] = {(name, "cpu"): _load(folder) for name, folder in folders.items()}
    settings = _fitting(settings, loaded)
    for name, folder in folders.items():
        model = loaded[name, "cpu"]
        positions = model.config.max_position_embeddings
        facts[name] = {
            "parameters": count_parameters(folder).as_dict(),
            "weights_bytes": sum(path.stat().st_size for path in weight_files(folder)),
            "flops": {str(n): count_flops(model, n) for n in settings.flop_lengths if n <= positions},
            "peak_memory_bytes": peak_memory(model, settings.batch_size, settings.sequence_length),
        }
        log.info("%s: %s, flops %s", name, facts[name]["parameters"], facts[name]["flops"])
        for device in devices:
            if device != "cpu":
                loaded[name, device] = _load(folder).to(device)
            tasks.extend((name, device, batch) for batch in (1, settings.batch_size))
    seconds = _time_interleaved(tasks, loaded, settings)
    for name in folders:
        for device in devices:
            facts[name][device] = {
                "latency_milliseconds": spread([1000 * s for s in seconds[name, device, 1]]),
                "throughput_sequences_per_second": spread(
                    [settings.batch_size / s for s in seconds[name, device, settings.batch_size]]
                ),
            }
    return {"settings": asdict(settings), "hardware": _hardware(devices, settings.threads), "models": facts}


def _fitting(settings: MeasurementSettings, loaded: Mapping[tuple[str, str], torch.nn.Module]) -> MeasurementSettings:
    """Return the settings with a sequence length that every model has positions for."""
    shortest = min(model.config.max_position_embeddings for model in loaded.values())
    if shortest >= settings.sequence_length:
        return settings
    log.warning("sequences of %d tokens for all: a model has no more positions", shortest)
    return replace(settings, sequence_length=shortest)


def count_flops(model: torch.nn.Module, length: int) -> int:
    """Return the floating-point operations of one forward pass of one sequence (2 per multiply-add).

    Torch's counter sees matrix products only, and not those inside the CPU's fused attention: the pass is made
    with the plain attention.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    usual = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(**_inputs(model, 1, length, seed=0))
    finally:
        model.set_attn_implementation(usual)
    return counter.get_total_flops()


def peak_memory(model: torch.nn.Module, batch: int, length: int) -> int:
    """Return the most bytes that tensors take at one time in a forward pass: weights, inputs and activations.

    Counted tensor by tensor, so that it is a property of the model and not of a device's allocator or of what the
    process held before; what a kernel takes for itself inside is not in it.
    """
    import torch
    from torch.distributed._tools.mem_tracker import MemTracker

    inputs, tracker = _inputs(model, batch, length, seed=0), MemTracker()
    tracker.track_external(model, *inputs.values())
    with torch.no_grad(), tracker:
        model(**inputs)
    return sum(kinds["Total"] for kinds in tracker.get_tracker_snapshot("peak").values())


def _load(folder: Path) -> torch.nn.Module:
    """Return a folder's encoder in evaluation mode, fp32, on the CPU."""
    import torch
    from transformers import AutoModel
    from transformers import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    weight_files(folder)  # refuses a folder that is none
    return AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()


def _inputs(model: torch.nn.Module, batch: int, length: int, seed: int) -> dict[str, torch.Tensor]:
    """Return random token ids (batch, length) and a mask without padding."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, model.config.vocab_size, (batch, length), generator=generator)
    return {"input_ids": ids.to(model.device), "attention_mask": torch.ones_like(ids).to(model.device)}


def _time_interleaved(
    tasks: Sequence[tuple[str, str, int]],
    loaded: Mapping[tuple[str, str], torch.nn.Module],
    settings: MeasurementSettings,
) -> dict[tuple[str, str, int], list[float]]:
    """Return the seconds of every timed pass by model, device and batch size."""
    import torch

    seconds: dict[tuple[str, str, int], list[float]] = {task: [] for task in tasks}
    inputs = {
        (name, device, batch): _inputs(loaded[name, device], batch, settings.sequence_length, settings.seed)
        for name, device, batch in tasks
    }
    with torch.inference_mode():
        for repetition in range(-settings.warmup, settings.repetitions):
            turn = repetition % len(tasks)
            for task in [*tasks[turn:], *tasks[:turn]]:
                elapsed = _time_pass(loaded[task[0], task[1]], inputs[task])
                if repetition >= 0:
                    seconds[task].append(elapsed)
    return seconds


def _time_pass(model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> float:
    """Return the seconds of a forward pass that follows another of its kind, waiting for the device.

    Without the first one, what the model before it in the turn left in caches and memory would be measured too: twice
    the latency of a small model after a batch of a large one.
    """
    import torch

    wait = torch.cuda.synchronize if model.device.type == "cuda" else (lambda: None)
    model(**inputs)
    wait()
    start = time.perf_counter()
    model(**inputs)
    wait()
    return time.perf_counter() - start


def _hardware(devices: Sequence[str], threads: int) -> dict[str, Any]:
    """Return what was measured on."""
    import torch

    return {
        "cpu": _cpu_name(),
        "cpu_threads": threads,
        "gpu": torch.cuda.get_device_name() if "cuda" in devices else None,
        "torch": torch.__version__,
        "precision": "fp32",
    }


def _cpu_name() -> str:
    """Return the processor's name as the system gives it."""
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
