"""Kinds of task that read whole texts, from files of one's own to scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from compactbio.files import write_yaml
from compactbio.finetuning.runs.digests import dataset_digest, model_digest
from compactbio.finetuning.runs.execution import finetune
from compactbio.finetuning.runs.outputs import publish
from compactbio.finetuning.runs.planning import plan_runs
from compactbio.scoring.folder_scores import FolderScores, score_folder
from compactbio.students.tokenizers import save_tokenizer, tokenizer_of_vocabulary
from compactbio.tasks.prepare import prepare_dataset
from helpers.finetuning import VOCABULARY, run_settings, write_model


def write_word_piece_model(folder: Path) -> Path:
    """Write a tiny masked language model with a tokenizer that frames pairs, and return its folder."""
    write_model(folder, masked_lm=True)
    vocabulary = {token: number for number, token in enumerate(VOCABULARY)}
    save_tokenizer(tokenizer_of_vocabulary(vocabulary, lower_case=True, max_length=64), folder)
    return folder


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def finetuned(definition: dict, root: Path, model: Path, **changes: Any) -> tuple[Path, FolderScores]:
    """Prepare, fine-tune and score as the programs do; the folder of the results, whose first run keeps its weights."""
    prepare_dataset("toy", definition, root, root / "task")
    settings = run_settings(definition["task"], definition.get("labels", []), positive_labels=[], **changes)
    settings["keep_weights"] = True
    digests = {"model": model_digest(model), "dataset": dataset_digest(root / "task")}
    planned = plan_runs(settings, digests, root / "checkpoints")
    assert finetune(settings, model, root / "task", planned, deadline=None, stop=None)
    publish(planned, definition["task"], root / "toy")
    write_yaml(root / "toy" / "run.yaml", settings)
    return root / "toy", score_folder("tiny", root / "toy", root / "task")
