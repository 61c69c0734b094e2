"""The part of the table of efficiency on deployment, from the file that measure_deployment writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.efficiency.names import FORMS, TORCH
from compactbio.reporting.render import DASH, Block, Entry, Section, number, signed
from compactbio.reporting.tables.model_costs import QUANTITIES, median_text
from compactbio.settings.results import Results

KEYS = {"models", "hardware", "settings", "dataset", "task"}

Deployment = dict[str, Any]  # content of measurements.json


def read_deployment(path: Path | None) -> Deployment | None:
    """Return the measurements of a file; None without one.

    Raises:
        UserError: it is not one of measure_deployment.
    """
    if path is None:
        return None
    content = read_json(path)
    if not isinstance(content, dict) or not content.keys() >= KEYS:
        raise UserError(f"{path} is not a file that measure_deployment wrote")
    return content


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
    missing = [model for model in models if model not in deployed["models"]]
    notes = [f"{DASH} = not measured: {', '.join(missing)}."] if missing else []
    block = Block(f"Torch, ONNX and int8 on {dataset}", "deployment", header, rows, notes)
    runs = sorted({facts["run"] for facts in deployed["models"].values()})
    text = [
        f"Each model as fine-tuned on {dataset} ({', '.join(runs)}), with its head: in torch, as an ONNX file, and as "
        "one whose weights and matrix products are int8 (ONNX Runtime's dynamic quantisation, per channel, 7 bits of "
        f"the weights, so that it answers alike on all processors). {METRIC_TITLES[metric]}: percent, on all test "
        "data, of torch as fine-tuning stored it, and the difference from it in this one run; no test says whether "
        f"that is more than chance. The int8 files are {Results(Path()).reporting.deployment.int8('<model>')}.",
        f"Measured on {_machine(deployed['hardware'])}; {settings['sequence_length']} tokens, batches of 1 and "
        f"{settings['batch_size']}, {settings['repetitions']} repetitions, models and forms in turn. Median (first to "
        "third quartile). Times do not compare with the table above: that is the encoder alone.",
    ]
    return [Section("Deployment on a CPU", text, [block])]


def deployment_records(models: Sequence[str], deployed: Deployment | None) -> list[dict[str, Any]]:
    """Return one tidy row per model, form and quantity; scores are percentages."""
    if deployed is None:
        return []
    task, settings, hardware = deployed["task"], deployed["settings"], _machine(deployed["hardware"])
    records = []
    for model in models:
        facts = deployed["models"].get(model, {"forms": {}})
        for form, of_form in facts["forms"].items():
            place = {"model": model, "form": form, "dataset": deployed["dataset"], "run": facts["run"]}
            records.append(place | {"quantity": "file size", "unit": "bytes", "median": of_form["bytes"]})
            for name, (title, unit) in QUANTITIES.items():
                values = of_form["cpu"][name]
                measured = {"quantity": title.format(**settings), "device": "CPU", "unit": unit, "hardware": hardware}
                measured |= {key: values[key] for key in ("median", "q1", "q3")}
                records.append(place | measured | {"repetitions": len(values["values"])})
            for protocol in KINDS[task].protocol_names:
                value = 100 * of_form["scores"][protocol][KINDS[task].headline]
                score = {"quantity": KINDS[task].headline, "protocol": protocol, "unit": "%", "median": value}
                records.append(place | score)
    return records


def _entries(forms: dict[str, Any], form: str, protocols: Sequence[str], metric: str) -> list[Entry]:
    """Return the cells of one form of a model."""
    facts = forms[form]
    texts = [number(facts["bytes"] / 1e6, 1), *(median_text(facts["cpu"][name]) for name in QUANTITIES)]
    for protocol in protocols:
        value, of_torch = (100 * forms[name]["scores"][protocol][metric] for name in (form, TORCH))
        texts.append(number(value) if form == TORCH else f"{number(value)} ({signed(value - of_torch)})")
    return [Entry(text) for text in texts]


def _machine(hardware: dict[str, Any]) -> str:
    """Return processor, threads and versions."""
    threads = hardware["cpu_threads"]
    integers = f" (8-bit products by {hardware['integer_instructions']})" if hardware["integer_instructions"] else ""
    return (
        f"{hardware['cpu']}{integers} with {threads} thread{'s' if threads > 1 else ''}, torch {hardware['torch']}, "
        f"ONNX Runtime {hardware['onnxruntime']}"
    )
