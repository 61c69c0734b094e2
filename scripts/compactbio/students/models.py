"""Models of the supported architectures: loaded from a folder, or with random weights of a shape."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.architectures.record import POOLER
from compactbio.errors import UserError
from compactbio.files import require_recorded
from compactbio.students.weights import WEIGHTS

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel


def random_masked_lm(
    architecture: str,
    shape: dict[str, Any],
    vocabulary_size: int,
    seed: int = 0,
    key: str = "student.shape",
    special: Mapping[str, int] | None = None,
) -> PreTrainedModel:
    """Return a masked language model of a shape with random weights, a function of the seed alone.

    Args:
        shape: transformers configuration keys, as {"hidden_size": 312}; those left out keep the architecture's values.
        key: where the shape stands in the configuration, for messages.
        special: ids of the tokens `pad`, `cls` and `sep`; None: the architecture's own.

    Raises:
        UserError: transformers refuses a value; what settings/shapes.py checks is not checked again.
    """
    from transformers import AutoConfig

    ids = {} if special is None else special_token_ids(architecture, special)
    try:
        configuration = AutoConfig.for_model(architecture, **(shape | ids), vocab_size=vocabulary_size)
        return masked_lm_of_configuration(configuration, seed)
    # transformers checks values in several ways, by exceptions without a common base of their own
    except Exception as error:
        raise UserError(f"{key}: {architecture} refuses these values: {_last_line(error)}") from error


def special_token_ids(architecture: str, special: Mapping[str, int]) -> dict[str, int]:
    """Return the ids of `pad`, `cls` and `sep` under those keys that an architecture's configuration has an id for.

    Its own are those of its first vocabulary, and may be none of another one's.
    """
    from transformers import AutoConfig

    usual, meanings = AutoConfig.for_model(architecture), {"bos": "cls", "eos": "sep"}
    keys = {f"{name}_token_id": special[meanings.get(name, name)] for name in ("pad", "cls", "sep", "bos", "eos")}
    return {key: number for key, number in keys.items() if getattr(usual, key, None) is not None}


def masked_lm_of_configuration(configuration: PretrainedConfig, seed: int) -> PreTrainedModel:
    """Return a masked language model with its architecture's usual random weights; global state is kept."""
    import torch
    from transformers import AutoModelForMaskedLM

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoModelForMaskedLM.from_config(configuration, dtype=torch.float32)


def load_masked_lm(folder: Path, *, head: bool = True) -> PreTrainedModel:
    """Return the masked language model of a checkpoint folder, fp32, in evaluation mode.

    Args:
        head: whether its head is read; else one that the folder lacks stays random.

    Raises:
        UserError: the folder has no masked-language-model head, or its encoder is not whole.
    """
    model, missing = load_pretrained("AutoModelForMaskedLM", folder)
    if not head:
        missing = [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]
    if missing:
        raise UserError(
            f"{folder} has no masked-language-model head (missing: {_some(missing)}): it cannot be a teacher "
            "of logits, nor be pre-trained without a new head"
        )
    return model


def load_encoder(folder: Path) -> PreTrainedModel:
    """Return the encoder of a checkpoint folder, fp32; a pooler that the folder lacks stays random.

    Raises:
        UserError: the encoder is not whole.
    """
    model, missing = load_pretrained("AutoModel", folder)
    missing = [name for name in missing if not name.startswith(f"{POOLER}.")]
    if missing:
        raise UserError(f"{folder} does not hold a whole encoder (missing: {_some(missing)})")
    return model


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and reports, where our own checks and messages replace them."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()


def load_pretrained(auto_class: str, folder: Path, **options: Any) -> tuple[PreTrainedModel, list[str]]:
    """Return a model of a folder, fp32, in evaluation mode, and the names of the weights that the folder lacks.

    `options` are values of the configuration instead of the folder's.

    Raises:
        UserError: a file is missing or damaged, or weights have other shapes than the configuration says.
    """
    import torch
    import transformers

    for name in ("config.json", WEIGHTS):
        if not (folder / name).is_file():
            raise UserError(f"{folder} has no {name}: give a folder made by this workflow")
    require_recorded(folder, ("config.json", WEIGHTS))
    with quiet_transformers():
        try:
            model, report = getattr(transformers, auto_class).from_pretrained(
                str(folder),
                dtype=torch.float32,
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                **options,
            )
        except Exception as error:
            raise UserError(f"{folder} cannot be loaded: {_last_line(error)}") from error
    mismatched = [str(item[0] if isinstance(item, tuple) else item) for item in report["mismatched_keys"]]
    if mismatched:
        raise UserError(f"{folder}: weights of other shapes than its config.json says: {_some(mismatched)}")
    return model.eval(), sorted(report["missing_keys"])


def _some(names: list[str], most: int = 4) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _last_line(error: Exception) -> str:
    """Return the last line of an exception's text: the others repeat the call."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[-1] if lines else ""
    return f"unknown value {text}" if isinstance(error, KeyError) else text or type(error).__name__
