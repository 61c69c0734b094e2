"""The tables of what models cost: sizes; encoders; fine-tuned models in torch, as ONNX files and in int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.efficiency.measurements import (
    DEVICES,
    FORMS,
    QUANTITIES,
    TORCH,
    DeployedForm,
    Deployment,
    DeploymentHardware,
    EncoderHardware,
    MeasuredEncoder,
    Settings,
    Speed,
    Spread,
)
from compactbio.reporting.grouping import grouped
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.render import DASH, Block, Document, Entry, Section, gap_note, number, row, signed
from compactbio.reporting.score_cells import NOT_RUN
from compactbio.settings.results import Results

Measured = Mapping[str, MeasuredEncoder]
COUNTED = ("encoder", "encoder_with_pooler", "encoder_without_embeddings")  # what the table shows of the counts


def build_sizes(material: Material) -> Built:
    """Return the table of sizes."""
    models, measured = material.scored.models, material.measured
    return sizes_document(models, measured), sizes_records(models, measured)


def build_efficiency(material: Material) -> Built:
    """Return the table of efficiency: encoders, and below them the forms of fine-tuned models."""
    models, measured, deployed = material.scored.models, material.measured, material.deployed
    document = efficiency_document(models, measured)
    document.sections += deployment_sections(models, deployed)
    return document, efficiency_records(models, measured) + deployment_records(models, deployed)


def sizes_document(models: Sequence[str], measured: Measured) -> Document:
    """Return the table of exact parameter counts and file sizes."""
    rows = []
    for model in models:
        facts = measured.get(model)
        texts = [DASH if facts is None else f"{facts['parameters'][key]:,}" for key in COUNTED]
        rows.append(row(model, *texts, number(None if facts is None else facts["weights_bytes"] / 1e6, 1)))
    header = ["model", "encoder", "with pooler", "without embeddings", "weights, MB"]
    block = Block("Parameters and files", "sizes", header, rows, _missing(models, measured))
    text = [
        "Exact numbers of parameters of the encoder without MLM head: without and with the pooler of its architecture "
        "(DistilBERT has none), and of its layers alone. Weights: bytes of the stored file / 10^6, MLM head included "
        "where there is one."
    ]
    return Document("Model sizes", text, [Section("", [], [block])])


def sizes_records(models: Sequence[str], measured: Measured) -> list[Row]:
    """Return one row per model with its exact counts."""
    return [
        {"model": model, **measured[model]["parameters"], "weights_bytes": measured[model]["weights_bytes"]}
        if model in measured
        else {"model": model, "reason": NOT_RUN}
        for model in models
    ]


def efficiency_document(models: Sequence[str], measured: Measured) -> Document:
    """Return the table of operations, memory, latency and throughput of encoders."""
    present = {model: measured[model] for model in models if model in measured}
    if not present:
        return Document("Efficiency", ["Nothing has been measured yet."], [])
    lengths = sorted({length for facts in present.values() for length in facts["flops"]}, key=int)
    devices = [device for device in DEVICES if any(device in facts for facts in present.values())]
    batch_size = next(iter(present.values()))["settings"]["batch_size"]
    header = ["model", *(f"GFLOPs, {length} tokens" for length in lengths), "peak memory, MB"]
    for device in devices:
        header += [f"{DEVICES[device]} latency, ms", f"{DEVICES[device]} sequences/s"]
    rows = []
    for model in models:
        facts = present.get(model)
        if facts is None:
            rows.append(row(model, *[DASH] * (len(header) - 1)))
            continue
        texts = [f"{facts['flops'][n] / 1e9:.3g}" if n in facts["flops"] else DASH for n in lengths]
        texts.append(number(facts["peak_memory_bytes"] / 1e6, 1) if "peak_memory_bytes" in facts else DASH)
        for device in devices:
            texts += [_median_text(facts[device][name]) if device in facts else DASH for name in QUANTITIES]
        rows.append(row(model, *texts))
    block = Block("Cost of a forward pass", "efficiency", header, rows, _missing(models, measured))
    text = [
        "GFLOPs: 10^9 floating-point operations of one sequence (matrix products, 2 per multiply-add). Peak memory: "
        f"weights and activations of a forward pass of {batch_size} sequences, fp32. Latency: one sequence at a time; "
        f"sequences/s: batches of {batch_size}. Median (first to third quartile).",
        *_hardware_notes(present),
    ]
    return Document("Efficiency", text, [Section("", [], [block])])


def efficiency_records(models: Sequence[str], measured: Measured) -> list[Row]:
    """Return one tidy row per model, quantity and device, every digit kept."""
    records: list[Row] = []
    for model in models:
        if model not in measured:
            records.append({"model": model, "reason": NOT_RUN})
            continue
        facts, settings = measured[model], measured[model]["settings"]
        found: list[Row] = [
            {"quantity": f"operations, {length} tokens", "unit": "FLOP", "median": flops}
            for length, flops in facts["flops"].items()
        ]
        if "peak_memory_bytes" in facts:
            title = f"peak memory, batch {settings['batch_size']}"
            found.append({"quantity": title, "unit": "bytes", "median": facts["peak_memory_bytes"]})
        for device, title in DEVICES.items():
            if device in facts:
                found += _speed_records(facts[device], settings, title, _machine(facts["hardware"]))
        records += [{"model": model, **one} for one in found]
    return records


def deployment_sections(models: Sequence[str], deployed: Deployment | None) -> list[Section]:
    """Return the section with the table of the models' forms; none where nothing was measured."""
    if deployed is None:
        return []
    task, dataset, settings = deployed["task"], deployed["dataset"], deployed["settings"]
    protocols, metric = KINDS[task].protocol_names, KINDS[task].headline
    header = ["model", "form", "file, MB", "CPU latency, ms", "CPU sequences/s"]
    header += [f"{METRIC_TITLES[metric]}, {protocol}" for protocol in protocols]
    rows = [
        [Entry(model), Entry(form), *_entries(deployed["models"][model]["forms"], form, protocols, metric)]
        for model in models
        if model in deployed["models"]
        for form in FORMS
    ]
    missing = gap_note("not measured", [model for model in models if model not in deployed["models"]])
    block = Block(f"Torch, ONNX and int8 on {dataset}", "deployment", header, rows, missing)
    runs = sorted({facts["run"] for facts in deployed["models"].values()})
    text = [
        f"Each model as fine-tuned on {dataset} ({', '.join(runs)}), with its head: in torch, as an ONNX file, and as "
        "one whose weights and matrix products are int8 (ONNX Runtime's dynamic quantisation, per channel, 7 bits of "
        f"the weights, so that it answers alike on every CPU). {METRIC_TITLES[metric]}: percent, on all test "
        "data, of torch as fine-tuning stored it, and the difference from it in this one run; no test says whether "
        f"that is more than chance. The int8 files are {Results(Path()).reporting.deployment.int8('<model>')}.",
        f"Measured on {_cpu_machine(deployed['hardware'])}; {settings['sequence_length']} tokens, batches of 1 and "
        f"{settings['batch_size']}, {settings['repetitions']} repetitions, models and forms in turn. Median (first to "
        "third quartile). Times do not compare with the table above: that is the encoder alone.",
    ]
    return [Section("Deployment on a CPU", text, [block])]


def deployment_records(models: Sequence[str], deployed: Deployment | None) -> list[Row]:
    """Return one tidy row per model, form and quantity; scores are percentages."""
    if deployed is None:
        return []
    kind, hardware = KINDS[deployed["task"]], _cpu_machine(deployed["hardware"])
    records: list[Row] = []
    for model in models:
        if model not in deployed["models"]:
            continue
        facts = deployed["models"][model]
        for form, of_form in facts["forms"].items():
            of_this: list[Row] = [{"quantity": "file size", "unit": "bytes", "median": of_form["bytes"]}]
            of_this += _speed_records(of_form["cpu"], deployed["settings"], "CPU", hardware)
            for protocol in kind.protocol_names:
                value = 100 * of_form["scores"][protocol][kind.headline]
                of_this.append({"quantity": kind.headline, "protocol": protocol, "unit": "%", "median": value})
            place: Row = {"model": model, "form": form, "dataset": deployed["dataset"], "run": facts["run"]}
            records += [place | measured for measured in of_this]
    return records


def _entries(forms: dict[str, DeployedForm], form: str, protocols: Sequence[str], metric: str) -> list[Entry]:
    """Return the cells of one form of a model."""
    facts = forms[form]
    texts = [number(facts["bytes"] / 1e6, 1), *(_median_text(facts["cpu"][name]) for name in QUANTITIES)]
    for protocol in protocols:
        value, of_torch = (100 * forms[name]["scores"][protocol][metric] for name in (form, TORCH))
        texts.append(number(value) if form == TORCH else f"{number(value)} ({signed(value - of_torch)})")
    return row(*texts)


def _speed_records(speed: Speed, settings: Settings, device: str, hardware: str) -> list[Row]:
    """Return one tidy row per timed quantity on a device."""
    return [
        {
            "quantity": title.format(**settings),
            "device": device,
            "unit": unit,
            **{key: value for key, value in speed[name].items() if key != "values"},
            "repetitions": len(speed[name]["values"]),
            "hardware": hardware,
        }
        for name, (title, unit) in QUANTITIES.items()
    ]


def _missing(models: Sequence[str], measured: Measured) -> list[str]:
    """Return which models were not measured."""
    return gap_note("not measured", [model for model in models if model not in measured])


def _hardware_notes(present: Measured) -> list[str]:
    """Return what was measured on and how, with a warning where it differs between models."""
    machines = grouped(
        (
            f"{_machine(facts['hardware'])}; {facts['settings']['sequence_length']} tokens, "
            f"{facts['settings']['repetitions']} repetitions, models in turn",
            model,
        )
        for model, facts in present.items()
    )
    if len(machines) == 1:
        return [f"Measured on {next(iter(machines))}."]
    parts = [f"{', '.join(models)}: {text}" for text, models in machines.items()]
    return [f"Measured on different machines or settings, times do not compare between them. {'. '.join(parts)}."]


def _machine(hardware: EncoderHardware) -> str:
    """Return CPU and threads, GPU, version and precision."""
    parts = [_with_threads(hardware["cpu"], hardware["cpu_threads"]), hardware["gpu"]]
    parts += [f"torch {hardware['torch']}", hardware["precision"]]
    return ", ".join(part for part in parts if part)


def _cpu_machine(hardware: DeploymentHardware) -> str:
    """Return CPU, threads and versions."""
    integers = f" (8-bit products by {hardware['integer_instructions']})" if hardware["integer_instructions"] else ""
    cpu = _with_threads(f"{hardware['cpu']}{integers}", hardware["cpu_threads"])
    return f"{cpu}, torch {hardware['torch']}, ONNX Runtime {hardware['onnxruntime']}"


def _with_threads(cpu: str, threads: int) -> str:
    """Return a CPU's name with the number of threads that were used."""
    return f"{cpu} with {threads} thread{'s' if threads > 1 else ''}"


def _median_text(values: Spread) -> str:
    """Return the median of a measurement with its quartiles."""
    median, first, third = map(_three_digits, (values["median"], values["q1"], values["q3"]))
    return f"{median} ({first} to {third})"


def _three_digits(value: float) -> str:
    """Return a positive number with three significant digits, never as a power of ten."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
