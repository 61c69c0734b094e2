"""A pre-training put together from its inputs and run."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from accelerate import Accelerator
from transformers import PreTrainedModel

from compactbio.architectures import longest_sequence
from compactbio.corpus.tokens import TokenStore
from compactbio.errors import UserError
from compactbio.pretraining.attention import attention_dropout, set_attention_dropout
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.inputs import RunInputs
from compactbio.pretraining.masking import Masking
from compactbio.pretraining.micro_batches import PretrainingBatches
from compactbio.pretraining.packed_attention import packed_layout
from compactbio.settings.results import TrainingResults
from compactbio.settings.runs import PretrainingRun
from compactbio.students.models import load_masked_lm
from compactbio.terms.objective import read_objective
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.interface import LoopResult, LoopSettings
from compactbio.training.loop import run_training
from compactbio.training.optimizer_settings import optimizer_settings
from compactbio.training.optimizers import build_optimizer
from compactbio.training.processes import precision_of, start_accelerator
from compactbio.training.progress import MetricsLog
from compactbio.training.schedules import learning_rate_schedule

ENOUGH_TOKENS = 8192  # positions that keep a GPU busy (an estimate): a padded micro-batch ends rather than pad
PACKED_TOKENS_ON_CPU = 2048  # larger micro-batches need more memory and are no faster


def pretrain(inputs: RunInputs, folder: Path, *, settings: LoopSettings, micro_batch_tokens: int) -> LoopResult:
    """Train a student from the newest checkpoint in `folder` on, in all processes that the environment names."""
    run = inputs.run
    optimisation = run["optimisation"]
    objective = read_objective(run["objective"], run["quirks"])
    needs_teacher = any(entry.term.needs_teacher for entry in objective)
    student = load_masked_lm(inputs.student)
    teacher = load_masked_lm(inputs.teacher) if inputs.teacher is not None and needs_teacher else None
    _check_positions(run, student, teacher)
    if optimisation["attention_dropout"] is not None:
        for model in filter(None, (student, teacher)):
            set_attention_dropout(model, optimisation["attention_dropout"])
    module = Distillation(student, teacher, objective, run["quirks"], max_length=run["max_length"], seed=run["seed"])
    accelerator = start_accelerator(optimisation["precision"], unused_parameters=module.has_unused_parameters)
    module.place_teacher(accelerator.device)
    store = TokenStore(inputs.tokens)
    masking = Masking(
        fraction=run["masked_fraction"],
        vocabulary_size=store.vocabulary_size,
        special_ids=store.special_ids,
        batch_size=optimisation["global_batch_size"],
        max_length=run["max_length"],
        seed=run["seed"],
    )
    batches = batches_of(store, masking, module, accelerator, micro_batch_tokens)
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
        "%s: %s sequences, %s parameters, %d process(es) on %s, torch %s",
        run["model"],
        f"{len(batches.store):,}",
        f"{sum(value.numel() for value in student.parameters()):,}",
        accelerator.num_processes,
        accelerator.device,
        torch.__version__,
    )
    return run_training(
        module=module,
        optimizer=optimizer,
        learning_rate_at=schedule,
        batches=batches,
        settings=settings,
        checkpoints=CheckpointFolder(folder),
        metrics=MetricsLog(TrainingResults(folder).metrics, writes=accelerator.is_main_process),
        seed=run["seed"],
        accelerator=accelerator,
    )


def batches_of(
    store: TokenStore, masking: Masking, module: Distillation, accelerator: Accelerator, micro_batch_tokens: int
) -> PretrainingBatches:
    """Return this process's batches, in the form that suits the module and the device."""
    over_padding = any(entry.term.over_padding for entry in module.objective)
    device = accelerator.device
    packed = packed_layout(
        device,
        precision=precision_of(accelerator),
        attention_dropout=max(map(attention_dropout, module.models)),
        reads_attention=module.reads_attention,
        over_padding=over_padding,
    )
    if device.type == "cpu" and packed:
        micro_batch_tokens = min(micro_batch_tokens, max(PACKED_TOKENS_ON_CPU, masking.max_length))
    logging.info("micro-batches of %d tokens, %s", micro_batch_tokens, f"packed ({packed})" if packed else "padded")
    return PretrainingBatches(
        store,
        masking,
        micro_batch_tokens=micro_batch_tokens,
        cost=module.cost(),
        packed=packed,
        to_max_length=over_padding,
        border=int(module.sees_neighbours),
        enough_tokens=ENOUGH_TOKENS,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )


def _check_positions(run: PretrainingRun, *models: PreTrainedModel | None) -> None:
    """Refuse sequences longer than a model has positions for."""
    for model in models:
        if model is not None and run["max_length"] > (longest := longest_sequence(model.config.to_dict())):
            raise UserError(
                f"corpus.max_length: {run['max_length']} is more than the {longest} positions of {model.name_or_path}"
            )
