"""Models with a task's head, through the ordinary transformers classes, from an encoder, masked LM or such a model."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from transformers import PreTrainedModel  # 1.3 CPU s that the first model would take with the garbage collector on

from compactbio.architectures.record import POOLER
from compactbio.errors import UserError
from compactbio.finetuning.kinds import task_kind
from compactbio.kinds import kind_of
from compactbio.students.models import load_pretrained


def load_task_model(folder: Path, task: str, labels: list[str], seed: int, vocabulary: int = 0) -> PreTrainedModel:
    """Return the folder's encoder, in float32, under a new head whose weights are drawn from `seed`.

    A head of this very kind that the folder has, from an earlier fine-tuning, is taken instead. A pooler that the
    folder lacks is drawn from the same seed; the folder's own MLM head is left out, but for layers that transformers'
    class shares between heads (ModernBERT's `head`).

    Embeddings of a `vocabulary` that is larger than the folder's are drawn from the seed too.

    Raises:
        UserError: the folder holds no model of a known architecture, or lacks weights of its encoder (which
            would be random and the result nonsense).
    """
    numbered = dict(enumerate(labels))
    names = {"id2label": numbered, "label2id": {label: number for number, label in numbered.items()}}
    torch.manual_seed(seed)
    kind, options = task_kind(task), names if kind_of(task).labels else {}
    model, missing = load_pretrained(kind.model_class, folder, **options, **kind.configuration)
    prefix = model.base_model_prefix + "."
    # a pooler may be missing: masked language models are trained without one
    lacking = [name for name in missing if name.startswith(prefix) and POOLER not in name]
    if lacking:
        raise UserError(
            f"{folder}: {len(lacking)} weights of the encoder are missing, such as {lacking[0]}: config.json and "
            "model.safetensors do not belong together"
        )
    if vocabulary > model.config.vocab_size:
        model.resize_token_embeddings(vocabulary, mean_resizing=False)
    logging.info(
        "%s from %s: %.1f million parameters, new: %s",
        type(model).__name__,
        folder,
        sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        ", ".join(missing) or "nothing",
    )
    return model
