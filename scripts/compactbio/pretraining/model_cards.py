"""The card of a pre-trained model: how it was made, and a program that uses it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from compactbio.card_texts import card, facts_table, program, tags
from compactbio.pretraining.training_record import TrainingRecord
from compactbio.provenance import Submission
from compactbio.settings.runs import PretrainingRun

MASKED_LM = "masked-language-modelling"
_PROGRAM = """\
from transformers import pipeline

folder = "."
fill = pipeline("fill-mask", model=folder)
for found in fill(f"A sentence with a {fill.tokenizer.mask_token} in it."):
    print(found["token_str"], round(found["score"], 3))
"""


def pretrained_card(
    run: PretrainingRun, training: TrainingRecord, submissions: Sequence[Submission], notice: str = ""
) -> str:
    """Return the README.md of an exported model, under the notice where the data call for one.

    It says what the run file and the training say, neither of which knows the corpus; the full card knows more.
    """
    front = {"library_name": "transformers", "pipeline_tag": "fill-mask", "tags": tags(notice, MASKED_LM)}
    rest = (
        "Language, corpus and licence are not known to this card; `reporting/model_cards/"
        f"{run['model']}.md` of the results that it is a part of says what is known of them."
    )
    return card(front, run["model"], notice, [*pretrained_parts(run, training, submissions), rest])


def pretrained_parts(run: PretrainingRun, training: TrainingRecord, submissions: Sequence[Submission]) -> list[str]:
    """Return what the card and the full card have in common; `submissions` are those of the training."""
    terms = "\n".join(f"| {entry['term']} | {entry['weight']} | {_rest(entry)} |" for entry in run["objective"])
    switches = "\n".join(f"| {name} | {value} |" for name, value in run.get("quirks", {}).items())
    teacher = run.get("teacher")
    names = " + ".join(entry["term"] for entry in run["objective"])
    how = f"distilled from {teacher}" if teacher else f"trained with the objective {names}"
    return [
        f"A masked language model, {how}, from {_student(run)}.",
        program(_PROGRAM),
        facts_table(_facts(run, training, submissions)),
        f"| term of the objective | weight | settings |\n|---|---|---|\n{terms}",
        "Switches of the workflow's configuration (its page on deviations says what each value means):\n\n"
        f"| switch | value |\n|---|---|\n{switches}",
    ]


def _facts(run: PretrainingRun, training: TrainingRecord, submissions: Sequence[Submission]) -> dict[str, Any]:
    """Return the facts of a training by their names."""
    optimisation = run["optimisation"]
    return {
        "architecture": run["architecture"],
        "teacher": run.get("teacher") or "none",
        "tokenizer": run.get("tokenizer", "-"),
        "steps": f"{training['total_steps']:,}",
        "sequences a step": f"{optimisation['global_batch_size']} of at most {run['max_length']} tokens",
        "peak learning rate, schedule": f"{optimisation['peak_learning_rate']}, {optimisation['schedule']}",
        "warm-up steps": f"{optimisation['warmup_steps']:,}",
        "optimizer": _optimizer(run),
        "weight decay": optimisation["weight_decay"],
        "precision": _precision(optimisation["precision"], submissions),
        "masked tokens": f"{run['masked_fraction']:.0%}",
        "seed": run["seed"],
        "loss, first and last logged": f"{_number(training['loss_first'])}, {_number(training['loss_last'])}",
        "fingerprint": training["fingerprint"],
    }


def _precision(asked: str, submissions: Sequence[Submission]) -> str:
    """Return the precision; where the devices chose it, also what they chose."""
    found = sorted({one["precision"] for one in submissions if "precision" in one})
    return asked if found in ([], [asked]) else f"{asked}: {', '.join(found)}"


def _student(run: PretrainingRun) -> str:
    """Return in words what a student was made from."""
    student = run.get("student") or {}
    if "teacher_layers" in student:
        return f"layers {', '.join(map(str, student['teacher_layers']))} of the teacher (counted from 0)"
    if "checkpoint" in student:
        return str(student["checkpoint"])
    return "random weights"


def _optimizer(run: PretrainingRun) -> str:
    """Return the optimizer, AdamW where the configuration chose none."""
    chosen, groups = run["optimisation"].get("optimizer", {}), run["optimisation"].get("parameter_groups", [])
    options = "".join(f", {key} {value}" for key, value in chosen.items() if key != "name")
    return f"{chosen.get('name', 'adamw')}{options}" + (f"; {len(groups)} parameter groups" if groups else "")


def _rest(entry: dict[str, Any]) -> str:
    """Return a term's settings other than name and weight."""
    return ", ".join(f"{key} {value}" for key, value in entry.items() if key not in ("term", "weight")) or "-"


def _number(value: float | None) -> str:
    """Return a number with four decimals, or a dash."""
    return "-" if value is None else f"{value:.4f}"
