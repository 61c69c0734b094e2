"""A pre-training put together from its inputs and run."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list
from transformers import PreTrainedModel

from compactbio.architectures import beyond_fp16, longest_sequence
from compactbio.corpus.tokens import TokenStore
from compactbio.errors import UserError
from compactbio.pretraining.attention import set_attention_dropout
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.inputs import RunInputs
from compactbio.pretraining.layout import batches_of
from compactbio.pretraining.masking import Masking
from compactbio.settings.results import TrainingResults
from compactbio.settings.runs import PretrainingRun
from compactbio.students.models import load_masked_lm
from compactbio.terms.objective import read_objective
from compactbio.terms.term import LOGITS
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.devices import device_name, set_determinism
from compactbio.training.interface import LoopResult, LoopSettings
from compactbio.training.loop import run_training
from compactbio.training.optimizer_settings import optimizer_settings
from compactbio.training.optimizers import build_optimizer
from compactbio.training.processes import precision_of, start_accelerator
from compactbio.training.progress import MetricsLog
from compactbio.training.schedules import learning_rate_schedule
from compactbio.training.submissions import Submissions


def pretrain(
    inputs: RunInputs,
    folder: Path,
    *,
    settings: LoopSettings,
    micro_batch_tokens: int | None,
    submissions: Submissions,
) -> LoopResult:
    """Train a student from the newest checkpoint in `folder` on, in all processes that the environment names.

    Args:
        micro_batch_tokens: positions of a micro-batch at most; None: as many as memory takes, or took at an earlier
            start on such devices.
        submissions: the main process notes there what was chosen.
    """
    run = inputs.run
    optimisation = run["optimisation"]
    objective = read_objective(run["objective"], run["quirks"])
    compared = [entry.term for entry in objective if entry.term.needs_teacher]
    student, teacher = load_masked_lm(inputs.student), None
    if inputs.teacher is not None and compared:
        teacher = load_masked_lm(inputs.teacher, head=any(LOGITS in term.reads for term in compared))
    _check_positions(run, student, teacher)
    models = [student] if teacher is None else [student, teacher]
    if optimisation["attention_dropout"] is not None:
        for model in models:
            set_attention_dropout(model, optimisation["attention_dropout"])
    module = Distillation(student, teacher, objective, run["quirks"], max_length=run["max_length"], seed=run["seed"])
    deterministic = run.get("deterministic", False)
    set_determinism(deterministic)
    accelerator = start_accelerator(
        optimisation["precision"], beyond_fp16(*(model.config.to_dict() for model in models))
    )
    module.place_teacher(accelerator.device)
    store = TokenStore(inputs.tokens)
    masking = Masking(
        fraction=run["masked_fraction"],
        vocabulary_size=store.vocabulary_size,
        unused_ids=store.unused_ids,
        special_ids=store.special_ids,
        batch_size=optimisation["global_batch_size"],
        max_length=run["max_length"],
        seed=run["seed"],
    )
    device = device_name(accelerator.device)
    remembered = [submissions.fitting_tokens(device=device, processes=accelerator.num_processes)]
    broadcast_object_list(remembered)  # one process decides: a shared disk may show the others less
    batches = batches_of(store, masking, module, accelerator, micro_batch_tokens or remembered[0])
    if accelerator.is_main_process:
        chosen_sizes = batches.record()
        submissions.note(
            device=device,
            precision=precision_of(accelerator),
            deterministic=deterministic,
            micro_batches=chosen_sizes | {"automatic": micro_batch_tokens is None},
        )
    chosen = optimizer_settings(
        optimisation,
        learning_rate=optimisation["peak_learning_rate"],
        place=f"models.{run['model']}.optimisation",
        quirks=run["quirks"],
    )
    optimizer = build_optimizer(module, chosen)
    schedule = learning_rate_schedule(
        optimisation["schedule"],
        peak=optimisation["peak_learning_rate"],
        warmup_steps=optimisation["warmup_steps"],
        total_steps=inputs.total_steps,
    )
    logging.info(
        "%s: %s sequences, %s parameters, %d process(es) on %s in %s, torch %s",
        run["model"],
        f"{len(batches.store):,}",
        f"{sum(value.numel() for value in student.parameters()):,}",
        accelerator.num_processes,
        device,
        precision_of(accelerator),
        torch.__version__,
    )
    if accelerator.device.type == "cuda" and not deterministic:
        logging.info(
            "deterministic: false: what is interrupted and goes on may differ from an uninterrupted run in bits"
        )
    return run_training(
        module=module,
        optimizer=optimizer,
        learning_rate_at=schedule,
        batches=batches,
        examples=batches.examples(),
        settings=settings,
        checkpoints=CheckpointFolder(folder),
        metrics=MetricsLog(TrainingResults(folder).metrics, writes=accelerator.is_main_process),
        seed=run["seed"],
        accelerator=accelerator,
    )


def _check_positions(run: PretrainingRun, *models: PreTrainedModel | None) -> None:
    """Refuse sequences longer than a model has positions for."""
    for model in models:
        if model is not None and run["max_length"] > (longest := longest_sequence(model.config.to_dict())):
            raise UserError(
                f"corpus.max_length: {run['max_length']} is more than the {longest} positions of {model.name_or_path}"
            )
