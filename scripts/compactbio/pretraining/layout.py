"""Which form the micro-batches of a pre-training have: what suits its objective, the device and its memory."""

from __future__ import annotations

import logging
import math
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator

from compactbio.architectures import architecture_of
from compactbio.corpus.tokens import TokenStore
from compactbio.kernels.fused_blocks import fuse_blocks
from compactbio.kernels.logit_choice import logit_refusal
from compactbio.kernels.map_choice import map_refusal
from compactbio.pretraining.attention import attention_dropout
from compactbio.pretraining.attention_choice import packed_layout
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.fixed_shape import full_texts, shape_for, smallest_positions
from compactbio.pretraining.flops import shape_of_model
from compactbio.pretraining.masking import Masking
from compactbio.pretraining.memory_probe import probe_positions
from compactbio.pretraining.micro_batches import PretrainingBatches, collate
from compactbio.pretraining.packed_attention import LOOP
from compactbio.pretraining.padded_classes import PaddedClasses, plan_classes
from compactbio.pretraining.sampling import share_of_process
from compactbio.pretraining.shape_sizes import PackedShapes, full_batch, plan_shapes, sequences_in
from compactbio.training.devices import tensor_type
from compactbio.training.half_copies import fill_rows, filled_rows
from compactbio.training.interface import MicroBatch
from compactbio.training.processes import precision_of

ENOUGH_TOKENS = 8192  # positions that keep a GPU busy (an estimate): a padded micro-batch ends rather than pad
TOKENS_ON_CPU = 16384  # of a padded micro-batch, where nothing else is said
PACKED_TOKENS_ON_CPU = 2048  # larger micro-batches need more memory and are no faster
SAMPLED_STEPS = 64  # whose sequences the one shape of micro-batches is planned for
SAMPLE_STREAM = 2  # keeps these random numbers apart from those of order and masking


def batches_of(
    store: TokenStore,
    masking: Masking,
    module: Distillation,
    accelerator: Accelerator,
    micro_batch_tokens: int | None,
) -> PretrainingBatches:
    """Return this process's batches, in the form that suits the module and the device.

    Args:
        micro_batch_tokens: positions of a micro-batch at most; None: as many as the device's memory takes.
    """
    over_padding = any(entry.term.over_padding for entry in module.objective)
    device, most = accelerator.device, micro_batch_tokens
    module.map_kernels = takes_map_kernels(module, device, precision_of(accelerator), masking.max_length)
    module.fused_blocks = fuse_blocks(module.models, device, precision_of(accelerator))
    vocabulary = fill_vocabulary(module, device, precision_of(accelerator))
    module.logit_kernels = takes_logit_kernels(module, device, precision_of(accelerator), vocabulary)
    packed = packed_layout(
        device,
        precision=precision_of(accelerator),
        attention_dropout=max(map(attention_dropout, module.models)),
        reads_attention=module.reads_attention,
        maps_packed=module.map_kernels and module.reads_only_maps,
        over_padding=over_padding,
        takes_fill=module.takes_fill,
        windowed=module.windowed,
        head_sizes=module.head_sizes,
    )
    steps = sampled_steps(store, masking, accelerator.num_processes)
    largest = _largest(steps, masking.max_length, padded=packed is None)
    fixed: PackedShapes | PaddedClasses | None = None
    border = int(module.sees_neighbours)
    if device.type == "cpu":
        most = TOKENS_ON_CPU if most is None else most
        most = min(most, max(PACKED_TOKENS_ON_CPU, masking.max_length)) if packed else most
    elif most is None:
        options: dict[str, Any] = {"kernel": packed, "store": store, "masking": masking}

        def make(positions: int) -> MicroBatch:
            return full_micro_batch(positions, sequences_in(steps, positions), **options)

        most = probe_positions(make, module, accelerator, max_length=masking.max_length, largest=largest)
    assert most is not None
    if packed is not None and packed != LOOP:
        fixed = plan_shapes(
            steps,
            most_positions=most,
            max_length=masking.max_length,
            fraction=masking.fraction,
            kernel=packed,
        )
    elif device.type != "cpu" and module.takes_fill:
        fixed = plan_classes(
            steps,
            most_positions=most,
            max_length=masking.max_length,
            to_max_length=over_padding,
            border=border,
            fraction=masking.fraction,
        )
    logging.info(
        "micro-batches of %d tokens, %s",
        most,
        ("packed" if packed else "padded") if fixed is None else fixed.record(),
    )
    return PretrainingBatches(
        store,
        masking,
        micro_batch_tokens=most,
        cost=module.cost(),
        packed=packed is not None,
        fixed=fixed,
        to_max_length=over_padding,
        border=border,
        enough_tokens=ENOUGH_TOKENS,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )


def takes_map_kernels(module: Distillation, device: torch.device, precision: str, max_length: int) -> bool:
    """Return whether kernels compare the attention maps of two models, which else are written; the log says why not."""
    if not module.reads_maps or device.type == "cpu":
        return False
    student, teacher = (architecture_of(model).head_sizes(model)[0] for model in module.models)
    entries = [one for one in module.objective if one.term.reads_attention and one.term.on_chip is not None]
    if module.windowed:
        reason: str | None = "layers see a window only"
    else:
        sizes: dict[str, Any] = {"longest": max_length, "head_sizes": (student, teacher)}
        reason = map_refusal(device, precision=precision, **sizes, entries=entries)
    logging.info("attention maps: %s", f"written, for {reason}" if reason else "compared on the chip, by Triton")
    return reason is None


def fill_vocabulary(module: Distillation, device: torch.device, precision: str) -> int:
    """Have rows of logits filled up in half precision on a GPU, where every term on them is one of a softmax.

    Returns:
        The values of a row.
    """
    vocabulary = shape_of_model(module.student).vocabulary
    terms = [entry.term for entry in module.objective if not entry.term.is_layered]
    paths = [(model, architecture_of(model).logits_layer) for model in module.logit_models]
    if device.type == "cpu" or tensor_type(precision) == torch.float32 or not paths:
        return vocabulary
    if any(term.on_chip is None for term in terms) or any(path is None for _, path in paths):
        return vocabulary
    for model, path in paths:
        layer: Any = model.get_submodule(str(path))
        fill_rows(layer)
    return filled_rows(vocabulary)


def takes_logit_kernels(module: Distillation, device: torch.device, precision: str, vocabulary: int) -> bool:
    """Return whether kernels compare logits, of which else copies in fp32 are made; the log says why not.

    Args:
        vocabulary: values of a row of logits.
    """
    entries = [one for one in module.objective if not one.term.is_layered and one.term.on_chip is not None]
    if not entries or device.type == "cpu":
        return False
    reason = logit_refusal(device, precision=precision, vocabulary=vocabulary, entries=entries)
    logging.info("terms on logits: %s", f"plain, for {reason}" if reason else "by kernels, in Triton")
    return reason is None


def sampled_steps(store: TokenStore, masking: Masking, processes: int) -> list[np.ndarray]:
    """Return the lengths of the first process's sequences, from long to short, in steps drawn from the corpus."""
    random = np.random.default_rng(np.random.SeedSequence([masking.seed, SAMPLE_STREAM]))
    drawn = random.integers(len(store), size=(SAMPLED_STEPS, masking.batch_size))
    lengths = [np.asarray(store.lengths[numbers]) for numbers in drawn]
    return [one[share_of_process(one, 0, processes)] for one in lengths]


def full_micro_batch(
    positions: int, sequences: int, *, kernel: str | None, store: TokenStore, masking: Masking
) -> MicroBatch:
    """Return a micro-batch of so many positions that is as expensive as any: packed for a kernel, None: padded.

    Args:
        sequences: that a packed one has room for, which memory may depend on.
    """
    length, pad_id = masking.max_length, store.special_ids["pad"]
    if kernel is None:
        lengths = np.full(max(positions // length, 1), length, dtype=np.int64)
        texts = full_texts(lengths, math.ceil(masking.fraction * positions), store.vocabulary_size)
        return collate(lengths, **texts, length=length, pad_id=pad_id, max_length=length)
    positions = max(positions, smallest_positions(length))
    shape = shape_for(positions, sequences, max_length=length, fraction=masking.fraction, kernel=kernel)
    return full_batch(shape, vocabulary_size=store.vocabulary_size, pad_id=pad_id)


def _largest(steps: list[np.ndarray], max_length: int, *, padded: bool) -> int:
    """Return the positions with which every step would be one micro-batch."""
    if padded:
        return len(steps[0]) * max_length
    fullest = max(int(lengths.sum()) for lengths in steps)
    return max(math.ceil(1.05 * fullest) + max_length, smallest_positions(max_length))
