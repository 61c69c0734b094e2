"""A finished run as a model folder that transformers reads, with a card that says how it was made."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from compactbio.architectures import architecture_of
from compactbio.errors import UserError
from compactbio.files import Manifest, read_manifest, replacing_folder, write_text
from compactbio.pretraining.training_record import TrainingRecord
from compactbio.settings.runs import Optimisation, PretrainingRun
from compactbio.students.checkpoints import write_facts
from compactbio.students.models import load_masked_lm, quiet_transformers
from compactbio.students.tokenizers import TOKENIZER_FILES
from compactbio.training.checkpoints import read_weights
from compactbio.training.progress import read_metrics

STUDENT_PREFIX = "student."  # of the student's weights among those of the training step


def export_model(run: PretrainingRun, training: TrainingRecord, student: Path, output: Path) -> Manifest:
    """Write the model folder of a finished run and return its manifest.

    It holds config.json, model.safetensors, tokenizer files and README.md; configuration and tokenizer are those of the
    student that the training started from.

    Raises:
        UserError: the run is unfinished, its checkpoint is gone or does not fit the student.
    """
    if training["step"] != training["total_steps"]:
        raise UserError(
            f"{run['model']} stands at step {training['step']} of {training['total_steps']}: train on first"
        )
    checkpoint = Path(training["checkpoint"])
    if not checkpoint.is_dir():
        raise UserError(
            f"the checkpoint {checkpoint} is gone: remove training.json of {run['model']} and run the workflow again"
        )
    read_manifest(checkpoint, verify=True)
    model = load_masked_lm(student)
    weights = {
        name.removeprefix(STUDENT_PREFIX): value
        for name, value in read_weights(checkpoint).items()
        if name.startswith(STUDENT_PREFIX)
    }
    missing, unexpected = model.load_state_dict(weights, strict=False)
    tied = set(missing) <= set(model.all_tied_weights_keys) | set(model.all_tied_weights_keys.values())
    if unexpected or not tied:
        raise UserError(f"the checkpoint {checkpoint} does not fit the student {student}: remove it and train again")
    model.tie_weights()
    with quiet_transformers(), replacing_folder(output) as folder:
        model.save_pretrained(folder)
        for name in TOKENIZER_FILES:
            if (student / name).is_file():
                shutil.copyfile(student / name, folder / name)
        (folder / "README.md").write_text(model_card(run, training), encoding="utf-8")
        origin = {"source": "train", "model": run["model"], "fingerprint": training["fingerprint"]}
        return write_facts(folder, architecture_of(model).name, mlm_head=True, origin=origin)


def export_metrics(training: TrainingRecord, output: Path) -> None:
    """Write the metrics of a finished run, whole lines only: the checkpoint that they lie beside may be removed."""
    lines = read_metrics(Path(training["metrics"]))
    write_text(output, "".join(f"{json.dumps(line)}\n" for line in lines))


def model_card(run: PretrainingRun, training: TrainingRecord) -> str:
    """Return the README.md of an exported model.

    It holds nothing that differs between two equal runs (times, hosts), since it enters the folder's digest.
    """
    optimisation = run["optimisation"]
    terms = "\n".join(f"| {entry['term']} | {entry['weight']} | {_rest(entry)} |" for entry in run["objective"])
    switches = "\n".join(f"| {name} | {value} |" for name, value in run.get("quirks", {}).items())
    teacher = run.get("teacher")
    how = f"distilled from {teacher}" if teacher else "trained on with the masked-language-model objective"
    return f"""---
library_name: transformers
tags: [biomedical, masked-language-modelling]
---

# {run["model"]}

A compact biomedical language model, {how}, by a replication of "On the Effectiveness of Compact Biomedical
Transformers" (Rohanian, Nouriborji, Kouchaki, Clifton, Bioinformatics 39(3), 2023). It is not the authors' model.

```python
from transformers import AutoModelForMaskedLM, AutoTokenizer

model = AutoModelForMaskedLM.from_pretrained("path/of/this/folder")
tokenizer = AutoTokenizer.from_pretrained("path/of/this/folder")
```

| fact | value |
|---|---|
| started from | {_student(run)} |
| teacher | {teacher or "none"} |
| tokenizer | {run.get("tokenizer", "-")} |
| steps | {training["total_steps"]:,} |
| sequences a step | {optimisation["global_batch_size"]} of at most {run["max_length"]} word pieces |
| peak learning rate, schedule | {optimisation["peak_learning_rate"]}, {optimisation["schedule"]} |
| warm-up steps | {optimisation["warmup_steps"]:,} |
{_optimizer_row(optimisation)}| weight decay | {optimisation["weight_decay"]} |
| precision | {optimisation["precision"]} |
| masked tokens | {run["masked_fraction"]:.0%} |
| seed | {run["seed"]} |
| loss, first and last logged | {_number(training["loss_first"])}, {_number(training["loss_last"])} |
| fingerprint | {training["fingerprint"]} |

| term of the objective | weight | settings |
|---|---|---|
{terms}

Switches where the paper's code and what was meant differ (docs/deviations.md of the workflow):

| switch | value |
|---|---|
{switches}
"""


def _student(run: PretrainingRun) -> str:
    """Return in words what a student was made from."""
    student = run.get("student") or {}
    if "teacher_layers" in student:
        return f"layers {', '.join(map(str, student['teacher_layers']))} of the teacher (counted from 0)"
    if "checkpoint" in student:
        return str(student["checkpoint"])
    return "random weights"


def _optimizer_row(optimisation: Optimisation) -> str:
    """Return the row on an optimizer that the configuration chose; none for plain AdamW.

    The card enters the folder's digest, and with it the fingerprints of a teacher's students.
    """
    chosen, groups = optimisation.get("optimizer", {"name": "adamw"}), optimisation.get("parameter_groups", [])
    if chosen == {"name": "adamw"} and not groups:
        return ""
    options = "".join(f", {key} {value}" for key, value in chosen.items() if key != "name")
    return f"| optimizer | {chosen['name']}{options}" + (f"; {len(groups)} parameter groups |\n" if groups else " |\n")


def _rest(entry: dict[str, Any]) -> str:
    """Return a term's settings other than name and weight."""
    return ", ".join(f"{key} {value}" for key, value in entry.items() if key not in ("term", "weight")) or "-"


def _number(value: float | None) -> str:
    """Return a number with four decimals, or a dash."""
    return "-" if value is None else f"{value:.4f}"
