"""One run: a model trained with one seed on one fold, its metrics by epoch, its predictions on the test split."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from accelerate import Accelerator

from compactbio.errors import UserError
from compactbio.finetuning.examples import Dataset
from compactbio.finetuning.kinds import task_kind
from compactbio.finetuning.kinds.task_kind import Examples
from compactbio.finetuning.model.predicted_logits import predict_logits
from compactbio.finetuning.model.seen_embeddings import SeenEmbeddings
from compactbio.finetuning.model.task_model import load_task_model
from compactbio.finetuning.model.task_step import TaskStep
from compactbio.finetuning.packed.batching import (
    batch_lengths,
    examples_of_shapes,
    steps_per_epoch,
    training_batches,
)
from compactbio.finetuning.packed.fixed_shapes import FixedShapes, kernel_for, plan_shapes
from compactbio.finetuning.runs.best_epoch import EARLY, BestEpoch
from compactbio.finetuning.runs.records import METRICS, PREDICTIONS, EpochLine, RunFacts, write_epochs
from compactbio.kernels.fused_blocks import fuse_blocks
from compactbio.settings.runs import FinetuningRun
from compactbio.students.models import quiet_transformers
from compactbio.training.checkpoints import CheckpointFolder
from compactbio.training.deadlines import StopSignal
from compactbio.training.dropout import replace_dropout
from compactbio.training.interface import LoopResult, LoopSettings
from compactbio.training.loop import run_training
from compactbio.training.optimizer_settings import optimizer_settings
from compactbio.training.optimizers import build_optimizer, treatments
from compactbio.training.processes import precision_of
from compactbio.training.progress import MetricsLine, MetricsLog, read_metrics
from compactbio.training.schedules import learning_rate_schedule

LOG_EVERY = 50  # steps
CHECKPOINT_MINUTES = 10.0


class OneRun:
    """A run in the making; `train` first, then `store`."""

    def __init__(
        self,
        settings: FinetuningRun,
        model_folder: Path,
        dataset: Dataset,
        seed: int,
        fold: int,
        accelerator: Accelerator,
    ) -> None:
        self.settings = settings
        self.options = settings["hyperparameters"]
        quirks = settings.get("quirks")
        self.kind, self.labels = task_kind(settings["task"], quirks), settings["labels"]
        # of order, dropout and validation rows; the head's is the run's own
        self.seed = settings.get("shared_seed", seed)
        self.accelerator = accelerator
        self.tokenizer = dataset.tokenizer
        self.pad = dataset.tokenizer.pad
        self.train_part, self.validation_part, self.test_part = dataset.parts(self.seed, fold)
        self.weights = self.kind.class_weights(
            self.options.get("class_weights"), self.train_part.features, len(self.labels)
        )
        # only added tokens make a vocabulary grow: a tokenizer that does not belong to the model is refused below
        vocabulary = dataset.tokenizer.vocabulary if self.options.get("added_tokens") else 0
        model = load_task_model(model_folder, settings["task"], self.labels, seed, vocabulary)
        self.step = TaskStep(model, settings["task"], self.weights, quirks)
        self._check_vocabulary(model_folder)
        replace_dropout(model)
        self.length = self.options["max_length"] if self.kind.over_padding else None
        known, on_gpu = self.step.architecture.packs, accelerator.device.type != "cpu"
        if not known:
            logging.info(
                "%s has no file in architectures/: sequences are padded, all word embeddings trained, which is slower",
                self.step.architecture.title,
            )
        fuse_blocks([model], accelerator.device, precision_of(accelerator))
        self.kernel = kernel_for(model, accelerator) if known and on_gpu and self.length is None else None
        self.fixed = known and on_gpu
        self.grouped = known and not on_gpu and self.length is None
        if self.grouped or self.kernel:
            self.step.take_packed(self.options["max_length"])
        self.epoch_steps = steps_per_epoch(len(self.train_part.features), self.options["batch_size"])
        self.total_steps = self.epoch_steps * self.options["epochs"]
        self.best: BestEpoch | None = None

    def train(
        self,
        folder: Path,
        *,
        deadline: float | None,
        stop: StopSignal | None,
        at_step: Callable[[int], None] | None = None,
    ) -> LoopResult:
        """Train to the last step, to an early end, or to the deadline or a signal."""
        options = self.options
        checkpoints = CheckpointFolder(folder, keep=1)
        if options.get("best_epoch_by"):
            if self.validation_part is None:
                raise UserError(
                    "finetuning best_epoch_by needs validation data: name files.validation or set validation_fraction "
                    "in the dataset's definition, or unset best_epoch_by"
                )
            self.best = BestEpoch(folder, options["best_epoch_by"], options.get("patience"), stop)
            self.best.resume(folder / METRICS, checkpoints.latest_step())
        learning_rate_at = learning_rate_schedule(
            options["schedule"],
            peak=options["learning_rate"],
            warmup_steps=round(options["warmup_fraction"] * self.total_steps),
            total_steps=self.total_steps,
        )
        chosen = optimizer_settings(
            options,
            learning_rate=options["learning_rate"],
            place=f"finetuning.{self.settings['task']}",
            quirks=self.settings.get("quirks"),
        )
        words = self.step.model.get_input_embeddings().weight
        name = next(name for name, value in self.step.named_parameters() if value is words)
        unseen_decay = treatments(self.step, chosen)[name].decay_without_gradient(learning_rate_at)
        # a cut table has ids of its own; an unknown architecture may read positions off them, as RoBERTa does
        cut = unseen_decay if self.step.architecture.packs else None
        self.seen = SeenEmbeddings(self.step.model, self.train_part.features, self.pad, cut)
        features = self.seen.translate(self.train_part.features)
        shapes = self._shapes() if self.fixed else None
        counting = (self.step.record.denominator, partial(self.kind.counted, class_weights=self.weights))
        trained = run_training(
            module=self.step,
            optimizer=build_optimizer(self.step, chosen),
            learning_rate_at=learning_rate_at,
            batches=training_batches(
                features,
                *counting,
                batch_size=options["batch_size"],
                seed=self.seed,
                pad=self.seen.pad,
                token_types=self.step.token_types,
                heads=self.step.model.config.num_attention_heads if self.grouped else None,
                length=self.length,
                shapes=shapes,
                device=self.accelerator.device.type,
            ),
            examples=[] if shapes is None else examples_of_shapes(features, *counting, shapes),
            settings=LoopSettings(
                total_steps=self.total_steps,
                max_gradient_norm=options["max_gradient_norm"],
                checkpoint_every_minutes=CHECKPOINT_MINUTES,
                log_every_steps=min(LOG_EVERY, self.epoch_steps),
                deadline=deadline,
                stop=self.best or stop,
                at_step=at_step,
            ),
            checkpoints=checkpoints,
            metrics=MetricsLog(folder / METRICS),
            evaluate=partial(self._validate, self.validation_part) if self.validation_part else None,
            evaluate_at=frozenset(range(self.epoch_steps, self.total_steps + 1, self.epoch_steps)),
            seed=self.seed,
            accelerator=self.accelerator,
        )
        self.seen.restore(trained.step)
        if self.best is not None and self.best.is_over:
            trained = replace(trained, step=self.best.last_step, finished=True, reason=EARLY)
        self.steps = trained.step
        return trained

    def store(self, folder: Path, metrics: Path) -> RunFacts:
        """Write the test predictions and the metrics by epoch to a folder; return the run's facts.

        The weights are the last ones, as in the reference code, or those of the best epoch where that is set.
        """
        chosen = self.steps if self.best is None else self.best.load(self.step)
        pq.write_table(self.predictions(), folder / PREDICTIONS, compression="zstd")
        lines = epoch_lines(read_metrics(metrics), self.epoch_steps, -(-self.steps // self.epoch_steps))
        write_epochs(folder / METRICS, lines)
        return {
            "steps": self.steps,
            "epoch": chosen // self.epoch_steps,
            "loss_last_epoch": lines[-1]["loss"],
            "train": self.train_part.notes,
            "validation": self.validation_part.notes if self.validation_part else None,
            "test": self.test_part.notes,
        }

    def save_model(self, folder: Path) -> None:
        """Write the present weights (after `store` those that predicted) and the tokenizer for `from_pretrained`."""
        with quiet_transformers():
            self.step.model.save_pretrained(folder)
        self.tokenizer.save(folder)

    def predictions(self) -> pa.Table:
        """Return the test predictions of the present weights, without the column `run`."""
        self.step.to(self.accelerator.device)
        return self.kind.prediction_table(self.test_part, self._logits(self.test_part), self.labels)

    def _shapes(self) -> FixedShapes:
        """Return the shapes of a GPU's micro-batches."""
        options = self.options
        batches = {"batch_size": options["batch_size"], "seed": self.seed, "epochs": options["epochs"]}
        shapes = plan_shapes(
            batch_lengths(self.train_part.features, **batches),
            kernel=self.kernel,
            batch_size=options["batch_size"],
            pad=self.seen.pad,
            token_types=self.step.token_types,
            length=self.length,
        )
        logging.info(
            "micro-batches of %s pieces, %s",
            ", ".join(f"{shape.size} (sequences of up to {shape.longest})" for shape in shapes.shapes),
            f"packed for {self.kernel}" if self.kernel else "padded",
        )
        return shapes

    def _logits(self, part: Examples, length: int | None = None) -> list[np.ndarray]:
        """Return the present weights' logits per feature of a part; with those of padding where a length is given."""
        return predict_logits(self.step, part.features, self.pad, self.accelerator, length)

    def _validate(self, part: Examples, step: int) -> dict[str, float]:
        """Return the metrics of the validation part after a step."""
        with self.seen.whole(step):
            metrics = self.kind.validation_metrics(self.settings, part, self._logits(part, self.length))
            if self.best is not None:
                self.best.add(step, metrics, self.step)
        return metrics

    def _check_vocabulary(self, model_folder: Path) -> None:
        """Refuse a tokenizer with ids beyond the model's embeddings, before the device fails on them."""
        size = self.step.model.config.vocab_size
        parts = (self.train_part, self.validation_part, self.test_part)
        highest = max((int(feature.ids.max()) for part in parts if part for feature in part.features), default=0)
        if highest >= size:
            raise UserError(
                f"{model_folder}: its tokenizer gives id {highest}, its model has {size} embeddings: "
                "tokenizer and weights do not belong together"
            )


def epoch_lines(lines: list[MetricsLine], epoch_steps: int, epochs: int) -> list[EpochLine]:
    """Return one line an epoch: epoch (from 1), step, loss (mean over its steps), validation (or None).

    Args:
        lines: of the loop's metrics file, where a training line's loss is the mean since the line before.
    """
    losses = [(line["step"], line["loss"]) for line in lines if "loss" in line]
    evaluations = {line["step"]: line["evaluation"] for line in lines if "evaluation" in line}
    made: list[EpochLine] = []
    for epoch in range(1, epochs + 1):
        first, last = (epoch - 1) * epoch_steps, epoch * epoch_steps
        weighted = steps = 0.0
        before = 0
        for step, loss in losses:
            # a line may reach back over the epoch's start: only its steps inside count
            inside = min(step, last) - max(before, first)
            before = step
            if inside > 0:
                weighted += inside * loss
                steps += inside
        mean = weighted / steps if steps else None
        made.append({"epoch": epoch, "step": last, "loss": mean, "validation": evaluations.get(last)})
    return made
