"""Published checkpoints of architectures without a file here: read by transformers, written in one form."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.architectures.any_encoder import require_encoder
from compactbio.architectures.record import POOLER
from compactbio.downloads.hub import CONFIGURATIONS, configuration_among
from compactbio.errors import UserError
from compactbio.files import read_json
from compactbio.students.models import quiet_transformers

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig

log = logging.getLogger(__name__)


def read_published_configuration(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Return the configuration's file of a published folder, and its content.

    Raises:
        UserError: it is missing or is no configuration.
    """
    names = configuration_among(path.name for path in folder.iterdir()) or CONFIGURATIONS[:1]
    path = folder / names[0]
    stored = read_json(path)
    if not isinstance(stored, dict):
        raise UserError(f"{path} is not a model configuration")
    return path, stored


def read_any_configuration(folder: Path) -> PretrainedConfig:
    """Return the configuration of a published folder of any encoder; labels and outputs of former uses stay behind.

    Raises:
        UserError: it names no architecture that transformers has itself, or is refused by transformers.
    """
    from transformers import AutoConfig

    path, stored = read_published_configuration(folder)
    kind = stored.get("model_type")
    if not kind:
        raise UserError(f"{path} has no model_type: name the architecture in place of `auto`")
    try:
        require_encoder(kind)
    except UserError as error:
        code = "; its own code (auto_map) is not run" if "auto_map" in stored else ""
        raise UserError(f"{path}: {error}{code}") from None
    if str(stored.get("position_embedding_type", "")).startswith("relative_key"):
        raise UserError(f"{path}: position_embedding_type {stored['position_embedding_type']} is not supported")
    try:
        with quiet_transformers():
            configuration = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # transformers' checks have no exception of their own in common
        raise UserError(f"{path} is refused: {str(error).strip().splitlines()[-1].strip()}") from error
    configuration.num_labels = 2  # transformers' own number
    for key, value in {"problem_type": None, "output_attentions": False, "output_hidden_states": False}.items():
        setattr(configuration, key, value)
    for key in ("auto_map", "task_specific_params", "finetuning_task"):
        configuration.__dict__.pop(key, None)
    return configuration


def save_any_encoder(weights: dict[str, Tensor], configuration: PretrainedConfig, folder: Path, where: str) -> bool:
    """Write an encoder in fp32, with its MLM head if that is whole, and return whether it is.

    Names of former versions and prefixes are made today's by transformers.

    Raises:
        UserError: the encoder is incomplete, shapes differ from the configuration, or values are not finite.
    """
    import torch
    from transformers import MODEL_FOR_MASKED_LM_MAPPING, MODEL_MAPPING

    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    broken = next((name for name, value in weights.items() if not bool(torch.isfinite(value).all())), None)
    if broken is not None:
        raise UserError(f"{broken} in {where} holds values that are not finite: the file is damaged")
    encoder, missing, _ = _load(MODEL_MAPPING[type(configuration)], weights, configuration, where)
    lacking = [name for name in missing if not name.startswith(f"{POOLER}.")]
    if lacking:
        raise UserError(
            f"the weights in {where} are not a whole {configuration.model_type} encoder: {len(lacking)} missing, "
            f"for example {', '.join(lacking[:3])}"
        )
    stored = {name: value for name, value in encoder.state_dict().items() if name not in missing}
    model, absent, left = _load(MODEL_FOR_MASKED_LM_MAPPING[type(configuration)], weights, configuration, where)
    mlm_head = not absent
    if mlm_head:  # with the pooler, which its class has not: heads of some tasks read it
        poolers = {name: value for name, value in stored.items() if name.startswith(f"{POOLER}.")}
        stored = model.state_dict() | {f"{model.base_model_prefix}.{name}": value for name, value in poolers.items()}
        left = [name for name in left if f".{POOLER}." not in name]
    else:
        log.info("%s has no whole MLM head: the encoder alone is kept", where)
    if left:
        log.info("%s: %d tensors of other heads left out, for example %s", where, len(left), left[0])
    with quiet_transformers():
        (model if mlm_head else encoder).save_pretrained(str(folder), state_dict=stored, max_shard_size="1000GB")
    return mlm_head


def _load(
    model_class: Any, weights: dict[str, Tensor], configuration: PretrainedConfig, where: str
) -> tuple[Any, list[str], list[str]]:
    """Return a model with these weights, and the names of weights that are missing and of those left over."""
    import torch

    try:
        with quiet_transformers():
            loaded: Any = model_class.from_pretrained(
                None,
                config=configuration,
                state_dict=dict(weights),
                dtype=torch.float32,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # refused below, by name
            )
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise UserError(f"the weights in {where} cannot be loaded: {lines[-1].strip()}") from error
    model, report = loaded
    if report["mismatched_keys"]:
        name = min(str(item[0] if isinstance(item, tuple) else item) for item in report["mismatched_keys"])
        raise UserError(f"{name} in {where} has another shape than config.json asks for")
    return model, sorted(report["missing_keys"]), sorted(report["unexpected_keys"])
