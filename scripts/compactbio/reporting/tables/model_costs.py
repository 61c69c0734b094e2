"""The tables of model sizes and of efficiency, from the files that measure_efficiency writes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.reporting.render import DASH, Block, Document, Entry, Section, number
from compactbio.reporting.score_cells import NOT_RUN

SIZE_COLUMNS = (
    "model",
    "encoder",
    "encoder_with_pooler",
    "encoder_without_embeddings",
    "embeddings",
    "pooler",
    "head",
    "weights_bytes",
    "reason",
)
EFFICIENCY_COLUMNS = (
    *("model", "form", "dataset", "run", "protocol", "quantity", "device", "unit", "median", "q1", "q3"),
    *("repetitions", "hardware", "reason"),
)
QUANTITIES = {
    "latency_milliseconds": ("latency, batch 1", "ms"),
    "throughput_sequences_per_second": ("throughput, batch {batch_size}", "sequences/s"),
}


def read_efficiency(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Return the measurements by model: each with its `hardware` and `settings`.

    Raises:
        UserError: a file is not one of measure_efficiency, or a model occurs twice.
    """
    measured: dict[str, dict[str, Any]] = {}
    for path in paths:
        content = read_json(path)
        if not isinstance(content, dict) or not {"models", "hardware", "settings"} <= content.keys():
            raise UserError(f"{path} is not a file that measure_efficiency wrote")
        for name, facts in content["models"].items():
            if name in measured:
                raise UserError(f"{path} measures {name} a second time: give one file per model")
            measured[name] = facts | {"hardware": content["hardware"], "settings": content["settings"]}
    return measured


def sizes_document(models: Sequence[str], measured: dict[str, dict[str, Any]]) -> Document:
    """Return the table of exact parameter counts and file sizes."""
    keys = ("encoder", "encoder_with_pooler", "encoder_without_embeddings")
    rows = []
    for model in models:
        facts = measured.get(model)
        if facts is None:
            rows.append([Entry(model)] + [Entry(DASH)] * (len(keys) + 1))
            continue
        counts = [Entry(f"{facts['parameters'][key]:,}") for key in keys]
        rows.append([Entry(model), *counts, Entry(number(facts["weights_bytes"] / 1e6, 1))])
    block = Block(
        title="Parameters and files",
        label="sizes",
        header=["model", "encoder", "with pooler", "without embeddings", "weights, MB"],
        rows=rows,
        notes=_missing_notes(models, measured),
    )
    text = [
        "Exact numbers of parameters of the encoder without MLM head: without and with the pooler of its architecture "
        "(DistilBERT has none), and of its layers alone. Weights: bytes of the stored file / 10^6, MLM head included "
        "where there is one."
    ]
    return Document("Model sizes", text, [Section("", [], [block])])


def sizes_records(models: Sequence[str], measured: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one row per model with its exact counts."""
    return [
        {"model": model, **measured[model]["parameters"], "weights_bytes": measured[model]["weights_bytes"]}
        if model in measured
        else {"model": model, "reason": NOT_RUN}
        for model in models
    ]


def efficiency_document(models: Sequence[str], measured: dict[str, dict[str, Any]]) -> Document:
    """Return the table of operations, memory, latency and throughput."""
    present = {model: measured[model] for model in models if model in measured}
    if not present:
        return Document("Efficiency", ["Nothing has been measured yet."], [])
    lengths = sorted({length for facts in present.values() for length in facts["flops"]}, key=int)
    devices = [device for device in ("cpu", "cuda") if any(device in facts for facts in present.values())]
    batch_size = next(iter(present.values()))["settings"]["batch_size"]
    header = ["model", *(f"GFLOPs, {length} tokens" for length in lengths), "peak memory, MB"]
    for device in devices:
        header += [f"{_device(device)} latency, ms", f"{_device(device)} sequences/s"]
    rows = []
    for model in models:
        facts = present.get(model, {"flops": {}})
        row = [model]
        row += [_gflops(facts["flops"].get(length)) for length in lengths]
        row.append(_megabytes(facts.get("peak_memory_bytes")))
        for device in devices:
            row += [median_text(facts[device][name]) if device in facts else DASH for name in QUANTITIES]
        rows.append([Entry(text) for text in row])
    block = Block("Cost of a forward pass", "efficiency", header, rows, _missing_notes(models, measured))
    text = [
        "GFLOPs: 10^9 floating-point operations of one sequence (matrix products, 2 per multiply-add). Peak memory: "
        f"weights and activations of a forward pass of {batch_size} sequences, fp32. Latency: one sequence at a time; "
        f"sequences/s: batches of {batch_size}. Median (first to third quartile).",
        *_hardware_notes(present),
    ]
    return Document("Efficiency", text, [Section("", [], [block])])


def efficiency_records(models: Sequence[str], measured: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return one tidy row per model, quantity and device, every digit kept."""
    records = []
    for model in models:
        if model not in measured:
            records.append({"model": model, "reason": NOT_RUN})
            continue
        facts = measured[model]
        for length, flops in facts["flops"].items():
            records.append(
                {"model": model, "quantity": f"operations, {length} tokens", "unit": "FLOP", "median": flops}
            )
        if "peak_memory_bytes" in facts:
            quantity = "peak memory, batch {batch_size}".format(**facts["settings"])
            records.append(
                {"model": model, "quantity": quantity, "unit": "bytes", "median": facts["peak_memory_bytes"]}
            )
        for device in ("cpu", "cuda"):
            for name, (title, unit) in QUANTITIES.items():
                if device not in facts:
                    continue
                values = facts[device][name]
                records.append(
                    {
                        "model": model,
                        "quantity": title.format(**facts["settings"]),
                        "device": _device(device),
                        "unit": unit,
                        **{key: values[key] for key in ("median", "q1", "q3")},
                        "repetitions": len(values["values"]),
                        "hardware": _machine(facts["hardware"]),
                    }
                )
    return records


def _missing_notes(models: Sequence[str], measured: dict[str, dict[str, Any]]) -> list[str]:
    missing = [model for model in models if model not in measured]
    return [f"{DASH} = not measured: {', '.join(missing)}."] if missing else []


def _hardware_notes(present: dict[str, dict[str, Any]]) -> list[str]:
    """Return what was measured on and how, with a warning where it differs between models."""
    machines: dict[str, list[str]] = {}
    for model, facts in present.items():
        settings = facts["settings"]
        text = (
            f"{_machine(facts['hardware'])}; {settings['sequence_length']} tokens, "
            f"{settings['repetitions']} repetitions, models in turn"
        )
        machines.setdefault(text, []).append(model)
    if len(machines) == 1:
        return [f"Measured on {next(iter(machines))}."]
    parts = [f"{', '.join(models)}: {text}" for text, models in machines.items()]
    return [f"Measured on different machines or settings, times do not compare between them. {'. '.join(parts)}."]


def _machine(hardware: dict[str, Any]) -> str:
    threads = hardware["cpu_threads"]
    parts = [f"{hardware['cpu']} with {threads} thread{'s' if threads > 1 else ''}", hardware["gpu"]]
    parts += [f"torch {hardware['torch']}", hardware["precision"]]
    return ", ".join(part for part in parts if part)


def _device(device: str) -> str:
    return {"cpu": "CPU", "cuda": "GPU"}[device]


def _gflops(flops: int | None) -> str:
    return DASH if flops is None else f"{flops / 1e9:.3g}"


def _megabytes(count: int | None) -> str:
    return DASH if count is None else number(count / 1e6, 1)


def median_text(values: dict[str, Any]) -> str:
    """Return the median of a measurement with its quartiles."""
    median, first, third = (_three_digits(values[key]) for key in ("median", "q1", "q3"))
    return f"{median} ({first} to {third})"


def _three_digits(value: float) -> str:
    """Return a positive number with three significant digits, never as a power of ten."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
