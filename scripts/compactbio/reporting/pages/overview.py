"""What was run and what not: models, pre-training steps, runs of each model on each dataset, checks; the corpus."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compactbio.reporting.grouping import grouped
from compactbio.reporting.render import DASH, Block, Document, Section, row
from compactbio.scoring.score_rows import POOLED, Score
from compactbio.settings.runs import finetuning_run
from compactbio.settings.selection import student_kind


def run_document(
    config: dict[str, Any],
    paper: dict[str, Any],
    scores: Iterable[Score],
    steps: Mapping[str, int],
    checks: Sequence[str],
) -> Document:
    """Return the page.

    Args:
        config: the checked configuration of this run.
        paper: that of config/config.yaml alone.
        scores: rows of the collected scores.
        steps: steps of each finished pre-training by model.
        checks: lines that check_results wrote.
    """
    models, datasets = config["run"]["models"], config["run"]["datasets"]
    runs = grouped(((score.model, score.dataset), score.run) for score in scores if score.run != POOLED)
    scored = {place: set(names) for place, names in runs.items()}
    planned = {
        (model, dataset): [run["run"] for run in finetuning_run(config, model, dataset)["runs"]]
        for model in models
        for dataset in datasets
    }
    text = left_out(config, paper, steps) if config["reporting"]["compare_with_paper"] else []
    return Document(
        "What was run",
        [runs_result(planned, scored), *text],
        [
            Section("", [], [_models_block(config, paper, steps), runs_block(models, datasets, planned, scored)]),
            Section("Checks of the results", [" ".join(line for line in checks[:1])], [_checks_block(checks[1:])]),
        ],
    )


def corpus_document(rows: Sequence[Mapping[str, str]]) -> Document:
    """Return the page of the corpus from the rows of summary.csv; no row where no model is pre-trained."""
    if not rows:
        return Document("Corpus", ["No model is pre-trained in this run, so no corpus was read."], [])
    entries = []
    for line in rows:
        share = f"{100 * float(line['share']):.1f} % of {line['of']}" if line["share"] else ""
        value = line["value"]
        value = f"{int(value):,}" if value.isdigit() else value or DASH
        entries.append(row(line["subject"], line["measure"], value, share))
    text = "Counts of the texts that pre-training reads, and the lengths of their sequences for each tokenizer."
    block = Block("Texts and sequences", "corpus", ["of", "measure", "number", "share"], entries)
    return Document("Corpus", [text], [Section("", [], [block])])


def made_how(model: dict[str, Any]) -> str:
    """Return in words how a model comes to be."""
    if model["source"] != "train":
        where = model["hub"]["repository"] if model["source"] == "hub" else "a folder"
        return f"taken as it is from {where}"
    kind, value = student_kind(model)
    start = {"teacher_layers": "some of its layers", "checkpoint": str(value)}.get(kind, "random weights")
    if model.get("teacher") is not None:
        return f"distilled from {model['teacher']}, from {start}"
    word = "trained" if kind == "shape" else "trained on"
    return f"{word} with {' + '.join(term['term'] for term in model['objective'])}, from {start}"


def runs_result(planned: Mapping[tuple[str, str], list[str]], scored: Mapping[tuple[str, str], set[str]]) -> str:
    """Return how many of the runs that the configuration asks for have scores."""
    asked = sum(map(len, planned.values()))
    there = sum(len(scored.get(cell, set()) & set(runs)) for cell, runs in planned.items())
    lacking = [f"{model} on {dataset}" for model, dataset in planned if not scored.get((model, dataset))]
    text = f"{there} of the {asked} runs of fine-tuning that the configuration asks for were made and scored."
    return text + (f" Without any: {', '.join(lacking)}." if lacking else "")


def left_out(config: Mapping[str, Any], paper: Mapping[str, Any], steps: Mapping[str, int]) -> list[str]:
    """Return what config/config.yaml, the paper's configuration, has and this run has not."""
    left = []
    for kind in ("models", "datasets"):
        names = [name for name in paper["run"][kind] if name not in config["run"][kind]]
        if names:
            left.append(f"{kind} {', '.join(names)}")
    seeds = len(config["run"]["seeds"]), len(paper["run"]["seeds"])
    if seeds[0] < seeds[1]:
        left.append(f"{seeds[1] - seeds[0]} of {seeds[1]} seeds")
    shorter = [name for name, done in steps.items() if done < (_steps(paper["models"].get(name)) or 0)]
    if shorter:
        left.append(f"the full length of the pre-trainings of {', '.join(shorter)}")
    if not left:
        return ["Everything that config/config.yaml, the paper's configuration, asks for is part of this run."]
    return [f"Not part of this run, though of config/config.yaml, the paper's configuration: {'; '.join(left)}."]


def _models_block(config: Mapping[str, Any], paper: Mapping[str, Any], steps: Mapping[str, int]) -> Block:
    """Return how each model was made, the teachers that were trained for it included."""
    names = [*config["run"]["models"], *(name for name in steps if name not in config["run"]["models"])]
    compared = config["reporting"]["compare_with_paper"]
    rows = []
    for name in names:
        definition = config["models"][name]
        counts = [steps.get(name), _steps(definition), *([_steps(paper["models"].get(name))] if compared else [])]
        rows.append(row(name, made_how(definition), *(DASH if count is None else f"{count:,}" for count in counts)))
    header = ["model", "made by", "steps done", "of", *(["steps in the paper's configuration"] if compared else [])]
    return Block("Models", "run-models", header, rows, [f"{DASH} = not pre-trained here{', or there' * compared}."])


def runs_block(
    models: Sequence[str],
    datasets: Sequence[str],
    planned: Mapping[tuple[str, str], list[str]],
    scored: Mapping[tuple[str, str], set[str]],
) -> Block:
    """Return the runs with scores of those asked for, a row per model and a column per dataset."""
    texts = {place: f"{len(scored.get(place, ()))} of {len(runs)}" for place, runs in planned.items()}
    rows = [row(model, *(texts[model, dataset] for dataset in datasets)) for model in models]
    return Block("Runs that were scored", "run-runs", ["model", *datasets], rows)


def _checks_block(lines: Sequence[str]) -> Block:
    """Return what was checked, line by line."""
    parts = [line.partition(": ") for line in lines if line]
    rows = [row(name, text) for name, _, text in parts]
    return Block("What was checked", "run-checks", ["check", "what was found"], rows)


def _steps(model: Mapping[str, Any] | None) -> int | None:
    """Return the steps that a model's definition asks for, None where it is not trained."""
    return None if model is None or model["source"] != "train" else model.get("optimisation", {}).get("steps")
