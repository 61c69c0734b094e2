"""The table of efficiency: encoders, and below them fine-tuned models in torch, as ONNX files and in int8."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from compactbio.kinds import KINDS, METRIC_TITLES
from compactbio.reporting.efficiency.measurements import (
    FORMS,
    QUANTITIES,
    TORCH,
    DeployedForm,
    Deployment,
    DeploymentHardware,
)
from compactbio.reporting.material import Built, Material, Row
from compactbio.reporting.render import Block, Entry, Section, gap_note, number, row, signed
from compactbio.reporting.tables.model_costs import (
    efficiency_document,
    efficiency_records,
    median_text,
    speed_records,
    with_threads,
)
from compactbio.settings.results import Results


def build(material: Material) -> Built:
    """Return the table of efficiency."""
    models, measured, deployed = material.scored.models, material.measured, material.deployed
    document = efficiency_document(models, measured)
    document.sections += deployment_sections(models, deployed)
    return document, efficiency_records(models, measured) + deployment_records(models, deployed)


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
        f"the weights, so that it answers alike on all processors). {METRIC_TITLES[metric]}: percent, on all test "
        "data, of torch as fine-tuning stored it, and the difference from it in this one run; no test says whether "
        f"that is more than chance. The int8 files are {Results(Path()).reporting.deployment.int8('<model>')}.",
        f"Measured on {_machine(deployed['hardware'])}; {settings['sequence_length']} tokens, batches of 1 and "
        f"{settings['batch_size']}, {settings['repetitions']} repetitions, models and forms in turn. Median (first to "
        "third quartile). Times do not compare with the table above: that is the encoder alone.",
    ]
    return [Section("Deployment on a CPU", text, [block])]


def deployment_records(models: Sequence[str], deployed: Deployment | None) -> list[Row]:
    """Return one tidy row per model, form and quantity; scores are percentages."""
    if deployed is None:
        return []
    kind, hardware = KINDS[deployed["task"]], _machine(deployed["hardware"])
    records: list[Row] = []
    for model in models:
        if model not in deployed["models"]:
            continue
        facts = deployed["models"][model]
        for form, of_form in facts["forms"].items():
            of_this: list[Row] = [{"quantity": "file size", "unit": "bytes", "median": of_form["bytes"]}]
            of_this += speed_records(of_form["cpu"], deployed["settings"], "CPU", hardware)
            for protocol in kind.protocol_names:
                value = 100 * of_form["scores"][protocol][kind.headline]
                of_this.append({"quantity": kind.headline, "protocol": protocol, "unit": "%", "median": value})
            place: Row = {"model": model, "form": form, "dataset": deployed["dataset"], "run": facts["run"]}
            records += [place | measured for measured in of_this]
    return records


def _entries(forms: dict[str, DeployedForm], form: str, protocols: Sequence[str], metric: str) -> list[Entry]:
    """Return the cells of one form of a model."""
    facts = forms[form]
    texts = [number(facts["bytes"] / 1e6, 1), *(median_text(facts["cpu"][name]) for name in QUANTITIES)]
    for protocol in protocols:
        value, of_torch = (100 * forms[name]["scores"][protocol][metric] for name in (form, TORCH))
        texts.append(number(value) if form == TORCH else f"{number(value)} ({signed(value - of_torch)})")
    return row(*texts)


def _machine(hardware: DeploymentHardware) -> str:
    """Return CPU, threads and versions."""
    integers = f" (8-bit products by {hardware['integer_instructions']})" if hardware["integer_instructions"] else ""
    cpu = with_threads(f"{hardware['cpu']}{integers}", hardware["cpu_threads"])
    return f"{cpu}, torch {hardware['torch']}, ONNX Runtime {hardware['onnxruntime']}"
