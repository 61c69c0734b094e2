"""Models with a task's head, through the ordinary transformers classes, from an encoder, masked LM or such a model."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
import transformers
import transformers.modeling_utils  # 1.3 CPU s that the first model would take while the garbage collector is on
from transformers import PreTrainedModel

from compactbio.architectures.record import POOLER
from compactbio.errors import UserError
from compactbio.finetuning.kinds import task_kind
from compactbio.kinds import kind_of


def load_task_model(folder: Path, task: str, labels: list[str], seed: int, vocabulary: int = 0) -> PreTrainedModel:
    """Return the folder's encoder, in float32, under a new head whose weights are drawn from `seed`.

    A head of this very kind that the folder has, from an earlier fine-tuning, is taken instead. A pooler that the
    folder lacks is drawn from the same seed; the folder's own MLM head is left out.

    Args:
        folder: of the model.
        task: its kind.
        labels: in the order of their ids; none for a kind without labels.
        seed: of the run.
        vocabulary: embeddings that are needed; those beyond the folder's are drawn from the seed too.

    Raises:
        UserError: the folder holds no model of a known architecture, or lacks weights of its encoder (which
            would be random and the result nonsense).
    """
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    kind = getattr(transformers, task_kind(task).model_class)
    torch.manual_seed(seed)
    try:
        config = transformers.AutoConfig.from_pretrained(folder)
        if kind_of(task).labels is not None:
            config.id2label = dict(enumerate(labels))
            config.label2id = {label: index for index, label in enumerate(labels)}
        model, report = kind.from_pretrained(folder, config=config, dtype=torch.float32, output_loading_info=True)
    except Exception as error:  # transformers and safetensors raise many kinds for a bad folder
        raise UserError(
            f"{folder} cannot be loaded as a model for {task} ({error}): fetch or export it again"
        ) from error
    prefix = model.base_model_prefix + "."
    # a pooler may be missing: masked language models are trained without one
    lacking = sorted(name for name in report["missing_keys"] if name.startswith(prefix) and POOLER not in name)
    wrong = sorted(str(name) for name in report.get("mismatched_keys", ()))
    if lacking or wrong:
        raise UserError(
            f"{folder}: {len(lacking) + len(wrong)} weights of the encoder are missing or of another shape, "
            f"such as {(lacking + wrong)[0]}: config.json and model.safetensors do not belong together"
        )
    if vocabulary > config.vocab_size:
        model.resize_token_embeddings(vocabulary, mean_resizing=False)
    logging.info(
        "%s from %s: %.1f million parameters, new: %s",
        type(model).__name__,
        folder,
        sum(parameter.numel() for parameter in model.parameters()) / 1e6,
        ", ".join(sorted(report["missing_keys"])) or "nothing",
    )
    return model
