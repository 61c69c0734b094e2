"""Published checkpoints of any age made into checkpoint folders of one form, and those folders written."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from compactbio.architectures import ARCHITECTURES, AUTO, Architecture, architecture_named, architecture_of
from compactbio.architectures.record import HEAD, POOLER
from compactbio.errors import UserError, reading
from compactbio.files import Manifest, read_manifest, replacing_folder, write_manifest
from compactbio.students.any_checkpoints import (
    read_any_configuration,
    read_published_configuration,
    save_any_encoder,
)
from compactbio.students.models import load_encoder, load_masked_lm, quiet_transformers
from compactbio.students.published_tokenizers import published_tokenizer, save_published, stated_casing
from compactbio.students.tokenizer_files import AS_PUBLISHED
from compactbio.students.tokenizers import (
    TokenizerDefinition,
    check_tokenizer,
    save_tokenizer,
    tokenizer_digest,
    tokenizer_from_files,
)
from compactbio.students.weights import WEIGHTS, read_weights

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

# General keys of a configuration that decide the model; the other general keys (labels, output flags,
# generation, the name of the class that saved it) are a former use's and stay behind.
GENERAL_KEYS = ("pad_token_id", "tie_word_embeddings", "vocab_size")

KIND = "checkpoint"

log = logging.getLogger(__name__)


def read_checkpoint(folder: Path) -> Manifest:
    """Return the manifest of a checkpoint folder; see `read_manifest`.

    Raises:
        UserError: the folder has none, holds something else, or has changed.
    """
    manifest = read_manifest(folder)
    if manifest.get("kind") != KIND:
        raise UserError(
            f"{folder} holds no checkpoint: give a folder made by fetch_checkpoint, initialise_student or export_model"
        )
    return manifest


def import_checkpoint(
    source: Path,
    definition: Mapping[str, Any],
    tokenizer_definition: TokenizerDefinition | None,
    origin: dict[str, Any],
    output: Path,
) -> Manifest:
    """Check a folder as published, write it as a checkpoint folder at `output`, and return its manifest.

    Args:
        source: folder with config.json, weights, and a tokenizer's files.
        definition: `checkpoints.<name>` or `models.<name>`, of which architecture, tokenizer and any shape are used.
        tokenizer_definition: `tokenizers.<name>`; None: the folder's own, of any kind, as published.
        origin: where the folder came from, for the manifest.

    Raises:
        UserError: a file is missing or is not what it should be, or the files do not go together.
    """
    from safetensors.torch import save_file
    from transformers.models.auto.modeling_auto import MODEL_FOR_MASKED_LM_MAPPING_NAMES, MODEL_MAPPING_NAMES

    known = known_architecture(source, definition["architecture"])
    configuration = read_configuration(source, known) if known else read_any_configuration(source)
    if tokenizer_definition is None:
        bare = (source / "vocab.txt").is_file() and not (source / "tokenizer.json").is_file()
        wordpiece = known is not None and bare
        tokenizer = tokenizer_from_files(source, stated_casing(source)) if wordpiece else published_tokenizer(source)
    else:
        tokenizer = tokenizer_from_files(source, tokenizer_definition["lower_case"])
        try:
            check_tokenizer(tokenizer, tokenizer_definition, definition["tokenizer"])
        except UserError as error:
            raise UserError(f"{source}: {error}") from None
    for name, expected in (definition.get("shape") or {}).items():
        found = getattr(configuration, name, None)
        if found != expected:
            raise UserError(
                f"{source / 'config.json'} has {name} {found} where the definition's `shape` says {expected}: "
                "correct the shape, or name the right repository or folder"
            )
    check_vocabulary(source, configuration, tokenizer, stated=tokenizer_definition is not None)
    with replacing_folder(output) as folder:
        if known:
            weights, mlm_head = conform_weights(read_weights(source), configuration, known, where=str(source))
            names = MODEL_FOR_MASKED_LM_MAPPING_NAMES if mlm_head else MODEL_MAPPING_NAMES
            configuration.architectures = [str(names[configuration.model_type])]
            configuration.save_pretrained(str(folder))
            save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})
        else:
            mlm_head = save_any_encoder(read_weights(source), configuration, folder, where=str(source))
        save_tokenizer(tokenizer, folder) if tokenizer_definition else save_published(tokenizer, folder)
        (load_masked_lm if mlm_head else load_encoder)(folder)  # what is written is known to load
        return write_facts(folder, configuration.model_type, mlm_head=mlm_head, origin=origin)


def known_architecture(source: Path, name: str) -> Architecture | None:
    """Return the architecture of a definition; with `auto` that of config.json, None where it has no file here."""
    if name != AUTO:
        return architecture_named(name)
    return ARCHITECTURES.get(str(read_published_configuration(source)[1].get("model_type")))


def check_vocabulary(
    source: Path, configuration: PretrainedConfig, tokenizer: PreTrainedTokenizerFast, *, stated: bool
) -> None:
    """Refuse a tokenizer whose ids or padding are not the model's; `stated`: the configuration names its vocabulary.

    Raises:
        UserError: the model has no embedding for a token, or other ids for padding.
    """
    size, tokens = configuration.vocab_size, max(tokenizer.get_vocab().values()) + 1  # some ids may have no token
    if size < tokens or (stated and size != tokens):
        spare = f", or some are spare, and {AS_PUBLISHED}" if size > tokens else ""
        raise UserError(
            f"{source / 'config.json'} says vocab_size {size:,}, its tokenizer has ids below {tokens:,}: "
            f"the key `tokenizer` names another vocabulary than the model's{spare}"
        )
    if size > tokens:
        log.info("%s: %d embeddings more than tokens, kept as published", source, size - tokens)
    pad, theirs = tokenizer.pad_token_id, configuration.pad_token_id
    if pad is None or (theirs is not None and pad != theirs):
        raise UserError(
            f"{source}: config.json pads with id {theirs}, its tokenizer with {pad}: correct pad_token_id in "
            "config.json or pad_token in tokenizer_config.json"
        )


def write_model_folder(
    folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, origin: dict[str, Any]
) -> Manifest:
    """Write a masked language model as a checkpoint folder in place and return its manifest.

    Give the folder that `replacing_folder` yields; further files written there first enter the manifest.
    """
    with quiet_transformers():
        model.save_pretrained(str(folder))
    save_tokenizer(tokenizer, folder)
    return write_facts(folder, architecture_of(model).name, mlm_head=True, origin=origin)


def write_facts(folder: Path, architecture: str, *, mlm_head: bool, origin: dict[str, Any]) -> Manifest:
    """Write and return the manifest of a checkpoint folder whose other files are there."""
    digest = tokenizer_digest(folder)
    return write_manifest(
        folder, kind=KIND, architecture=architecture, tokenizer_digest=digest, mlm_head=mlm_head, origin=origin
    )


def read_configuration(folder: Path, architecture: Architecture) -> PretrainedConfig:
    """Return the configuration of a published folder; its architecture is the stated one.

    Raises:
        UserError: config.json is missing, of another architecture, or refused by transformers.
    """
    from transformers import AutoConfig, PretrainedConfig

    path, stored = read_published_configuration(folder)
    kind = stored.get("model_type", architecture.name)
    if kind != architecture.name:
        raise UserError(f"{path} is of a {kind} model where the definition says `architecture: {architecture.name}`")
    if stored.get("position_embedding_type", "absolute") != "absolute":
        raise UserError(f"{path}: only absolute position embeddings are supported")
    example = AutoConfig.for_model(architecture.name)
    known = (set(example.to_dict()) - set(PretrainedConfig().to_dict())) | set(GENERAL_KEYS)
    known |= {*example.attribute_map, *architecture.former_keys}  # and the names that all architectures answer to
    try:
        return AutoConfig.for_model(architecture.name, **{key: value for key, value in stored.items() if key in known})
    except Exception as error:  # transformers' checks have no exception of their own in common
        raise UserError(f"{path} is refused: {str(error).strip().splitlines()[-1].strip()}") from error


def conform_weights(
    weights: dict[str, Tensor], configuration: PretrainedConfig, architecture: Architecture, where: str
) -> tuple[dict[str, Tensor], bool]:
    """Return the weights under today's names in fp32, and whether a whole MLM head is among them.

    Encoder, pooler (if there is one) and MLM head (if whole) are kept; tied copies and other heads are not.

    Raises:
        UserError: the encoder is incomplete, shapes differ from the configuration, or values are not finite.
    """
    import torch
    from transformers import AutoModel, AutoModelForMaskedLM

    prefix = f"{architecture.encoder}."
    with torch.device("meta"), reading(Path(where) / "config.json", "get the right files, or correct it"):
        masked_lm = AutoModelForMaskedLM.from_config(configuration)
        encoder = AutoModel.from_config(configuration)
    shapes = {f"{prefix}{name}": value.shape for name, value in encoder.named_parameters()}
    pooler = {name for name in shapes if architecture.part_of(name) == POOLER}
    tied = masked_lm._tied_weights_keys or {} if configuration.tie_word_embeddings else {}
    head = {
        name: value.shape
        for name, value in masked_lm.named_parameters(remove_duplicate=False)
        if not name.startswith(prefix) and name not in tied
    }

    weights = _today_names(weights, architecture)
    _merge_tied(weights, tied, where)
    missing = sorted(shapes.keys() - pooler - weights.keys())
    if missing:
        raise UserError(
            f"the weights in {where} are not a whole {architecture.name} encoder of {len(shapes)} "
            f"tensors: {len(missing)} missing, for example {', '.join(missing[:3])}"
        )
    if not pooler <= weights.keys():
        shapes = {name: shape for name, shape in shapes.items() if name not in pooler}
    absent = sorted(head.keys() - weights.keys())
    if not absent:
        shapes |= head
    elif len(absent) < len(head):
        log.warning("%s: part of an MLM head is left out, %s missing", where, ", ".join(absent))
    for name, shape in shapes.items():
        if weights[name].shape != shape:
            raise UserError(
                f"{name} in {where} has shape {list(weights[name].shape)}, config.json asks for {list(shape)}"
            )
        if not bool(torch.isfinite(weights[name]).all()):
            raise UserError(f"{name} in {where} holds values that are not finite: the file is damaged")
    left = sorted(weights.keys() - shapes.keys())
    if left:
        log.info("%s: %d tensors of other heads left out, for example %s", where, len(left), left[0])
    return {name: weights[name].to(torch.float32).clone().contiguous() for name in shapes}, not absent


def _today_names(weights: dict[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """Return weights under the names that transformers uses now."""
    prefix = f"{architecture.encoder}."
    bare = not any(name.removeprefix("module.").startswith(prefix) for name in weights)
    renamed = {}
    for name, value in weights.items():
        today = name.removeprefix("module.")  # saved from a data-parallel wrapper
        if today.endswith(".position_ids"):  # a buffer of older versions
            continue
        if "LayerNorm." in today:  # TensorFlow's names, in checkpoints of 2019
            today = today.replace("LayerNorm.gamma", "LayerNorm.weight")
            today = today.replace("LayerNorm.beta", "LayerNorm.bias")
        if bare and architecture.part_of(today) != HEAD:  # saved from the encoder alone
            today = prefix + today
        renamed[today] = value
    return renamed


def _merge_tied(weights: dict[str, Tensor], tied: dict[str, str], where: str) -> None:
    """Remove the copies of tied weights, keeping a copy under its source's name where that is absent."""
    for copy, source in tied.items():
        value = weights.pop(copy, None)
        if value is None:
            continue
        if source not in weights:
            weights[source] = value
        elif not value.equal(weights[source]):
            log.warning("%s: %s differs from %s, to which it is tied; the latter is used", where, copy, source)
