"""Loss and gradient of one step: ours in the form of the device, padded, and as the reference code formulates it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from compactbio.architectures import ARCHITECTURES
from compactbio.benchmarks import reference
from compactbio.benchmarks.cases import QUIRKS
from compactbio.benchmarks.random_tokens import SEED, SPECIAL_IDS, draw_lengths, write_store
from compactbio.benchmarks.steps import MASKED_FRACTION, masking_of, padded_step
from compactbio.kernels.fused_blocks import has_parts, install
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.layout import batches_of, sampled_steps
from compactbio.pretraining.micro_batches import PretrainingBatches
from compactbio.pretraining.padded_classes import plan_classes
from compactbio.pretraining.sampling import GlobalOrder
from compactbio.pretraining.shape_sizes import plan_shapes
from compactbio.students.models import random_masked_lm, special_token_ids
from compactbio.terms.objective import read_objective
from compactbio.training.capture import MicroSteps
from compactbio.training.gradients import Gradients
from compactbio.training.loop import seed_step
from compactbio.training.processes import start_accelerator

STEP = 1
WIDE = 0.28  # of initial weights by the root of a head's size: maps and logits far from uniform show mistakes


@dataclass(frozen=True)
class Size:
    """Of models and batch: heads of 64 values, as the paper's teacher has, and 256 tokens on a GPU."""

    head: int
    max_length: int
    batch: int
    vocabulary: int
    micro_batch: int  # positions


SIZES = {"cpu": Size(8, 32, 6, 150, 100), "cuda": Size(64, 256, 24, 3000, 2048)}
LAYERS = [[1, 2], [2, 4]]
MLM = [{"term": "mlm", "weight": 1.0}]
DISTIL = [
    {"term": "mlm", "weight": 2.0},
    {"term": "logit_kl", "weight": 5.0, "temperature": 2.0},
    {"term": "hidden_cosine", "weight": 1.0, "layers": [[2, 4]]},
]
COMPACT = [
    {"term": "mlm", "weight": 1.0},
    {"term": "attention_kl", "weight": 3.0, "layers": LAYERS},
    {"term": "hidden_cosine", "weight": 3.0, "layers": LAYERS},
    {"term": "logit_kl", "weight": 5.0, "temperature": 1.0},
]
TINY = [
    {"term": "attention_mse", "weight": 1.0, "layers": LAYERS},
    {"term": "hidden_mse", "weight": 1.0, "layers": [[0, 0], *LAYERS]},
    {"term": "soft_cross_entropy", "weight": 1.0},
]
# architecture, objective, the reference's formula (None: plain MLM), switches that are sound
CASES: dict[str, tuple[str, list[dict[str, Any]], str | None, tuple[str, ...]]] = {
    "bert": ("bert", MLM, None, ()),
    "distilbert": ("distilbert", MLM, None, ()),
    "electra": ("electra", MLM, None, ()),
    "mobilebert": ("mobilebert", MLM, None, ()),
    "modernbert": ("modernbert", MLM, None, ()),
    "roberta": ("roberta", MLM, None, ()),
    "distil": ("bert", DISTIL, "distil", ()),
    "compact": ("bert", COMPACT, "compact", ()),
    "tiny": ("bert", TINY, "tiny", ()),
    "tiny_sound": ("bert", TINY, "tiny_sound", ("mse_over_padding",)),
}


def shape_of(architecture: str, size: Size, *, narrow: bool = False) -> dict[str, Any]:
    """Four heads; `narrow`: of 26 values, as the paper's tiny student has."""
    width = 4 * ((26 if size.head == 64 else 6) if narrow else size.head)
    # wider layers sum up more: MobileBERT, which does not normalise, would lose all digits in them
    wide = {"initializer_range": WIDE / size.head**0.5}
    if architecture == "distilbert":
        return {"dim": width, "n_layers": 2, "n_heads": 4, "hidden_dim": 2 * width, **wide}
    shape = {"hidden_size": width, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 2 * width}
    if architecture == "mobilebert":
        shape |= {"embedding_size": 32, "intra_bottleneck_size": width // 2}
    if architecture == "electra":
        shape |= {"embedding_size": 32}
    if architecture == "modernbert":  # its second layer sees an eighth of the longest sequence on each side
        shape |= {"local_attention": size.max_length // 4, **special_token_ids(architecture, SPECIAL_IDS)}
    if architecture == "roberta":
        shape |= {"type_vocab_size": 1, "pad_token_id": 0}  # as the random tokens have it
    return shape | wide


class Step:
    """One case on one device, its models, tokens and masks; every call of `ours` and `plain` starts from them."""

    def __init__(self, case: str, device: torch.device, folder: Path, *, dropout: float = 0.0) -> None:
        self.architecture, self.objective, self.formula, sound = CASES[case]
        self.quirks = QUIRKS | dict.fromkeys(sound, "sound")
        self.device, self.dropout, self.size = device, dropout, SIZES[device.type]
        lengths = np.minimum(draw_lengths(4 * self.size.batch, SEED), self.size.max_length)
        self.store = write_store(folder, lengths, self.size.vocabulary, max_length=self.size.max_length)

    def models(self) -> tuple[Any, Any]:
        dropouts = {name: self.dropout for name in ARCHITECTURES[self.architecture].dropouts}
        shape = shape_of(self.architecture, self.size, narrow=self.objective is TINY)
        student = random_masked_lm(self.architecture, shape | dropouts, self.size.vocabulary, 1)
        if self.formula is None:
            return student, None
        shape = shape_of("bert", self.size) | {"num_hidden_layers": 4}
        dropouts = {name: self.dropout for name in ARCHITECTURES["bert"].dropouts}
        return student, random_masked_lm("bert", shape | dropouts, self.size.vocabulary, 2)

    def module(self) -> Distillation:
        entries = read_objective(self.objective, self.quirks)
        return Distillation(*self.models(), entries, self.quirks, max_length=self.size.max_length, seed=SEED)

    @cached_property
    def masking(self) -> Any:
        masking = masking_of(self.store, self.size.batch)
        masking.max_length = self.size.max_length
        return masking

    def ours(
        self, precision: str, *, padded: bool = False, captured: bool = True, interpreted: bool = False
    ) -> tuple[float, dict[str, torch.Tensor], MicroSteps]:
        """Loss, gradients by name, and what ran the passes.

        Args:
            padded: in padded micro-batches of any shape, with written maps.
            captured: passes of fixed shape are captured.
            interpreted: on a CPU, every kernel of Triton that the objective has a use for takes its place.
        """
        module = self.module()
        accelerator = start_accelerator(precision)
        if accelerator.scaler is not None:  # it begins at 65,536, and a training leaves out steps until it is right
            accelerator.scaler = torch.amp.GradScaler("cuda", init_scale=64.0)
        module.place_teacher(accelerator.device)
        module.to(accelerator.device).train()
        if interpreted:
            module.logit_kernels, module.map_kernels = True, module.reads_maps
            for model in filter(has_parts, module.models):
                install(model)
        batches = self._batches(module, accelerator, padded=padded)
        made = batches(STEP)
        gradients = Gradients([value for value in module.parameters() if value.requires_grad])
        steps = MicroSteps(module, gradients, accelerator)
        denominators = {name: sum(batch.counts[name] for batch in made) for name in made[0].counts}
        seed_step(SEED, STEP, 0)
        steps.begin(denominators)
        total = 0.0
        for batch in made:
            batch.fixed = batch.fixed and captured
            total += float(steps(batch)[0])
        scale = float(steps.factor)
        found = {name: value.grad / scale for name, value in module.named_parameters() if value.grad is not None}
        return total, found, steps

    def _batches(self, module: Distillation, accelerator: Any, *, padded: bool) -> PretrainingBatches:
        tokens, longest = self.size.micro_batch, self.size.max_length
        over_padding = any(entry.term.over_padding for entry in module.objective)
        common: dict[str, Any] = {"cost": module.cost(), "border": int(module.sees_neighbours)}
        if padded:
            module.map_kernels = module.logit_kernels = False
            common |= {"micro_batch_tokens": tokens, "to_max_length": over_padding}
            return PretrainingBatches(self.store, self.masking, **common)
        if self.device.type == "cuda":
            return batches_of(self.store, self.masking, module, accelerator, tokens)
        # on a CPU, the shapes of a GPU with the kernel that is none
        steps = sampled_steps(self.store, self.masking, 1)
        sizes: dict[str, Any] = {"most_positions": tokens, "max_length": longest, "fraction": MASKED_FRACTION}
        if over_padding or (module.reads_attention and not (module.map_kernels and module.reads_only_maps)):
            border = int(module.sees_neighbours)
            fixed: Any = plan_classes(steps, to_max_length=over_padding, border=border, **sizes)
        else:
            fixed = plan_shapes(steps, kernel="unpacked", **sizes)
        return PretrainingBatches(self.store, self.masking, micro_batch_tokens=tokens, fixed=fixed, **common)

    def plain(self, dtype: torch.dtype | None = None) -> tuple[float, dict[str, torch.Tensor]]:
        """Loss and gradients by name of the reference formulation, one padded batch, in fp32 or by autocast."""
        torch.set_float32_matmul_precision("highest")
        module = self.module()  # for the projection, whose weights are a function of the seed
        student, teacher = module.student, self.models()[1]
        if module.projection is not None:
            module.projection.to(self.device)
        for model in filter(None, (student, teacher)):
            nn.Module.to(model, self.device)
        sequences = GlobalOrder(len(self.store), self.size.batch, SEED).batch(STEP)
        ids, mask, labels = (
            tensor.to(self.device) for tensor in padded_step(self.store, self.masking, sequences, STEP, self.size.batch)
        )
        # modules of ours are replaced in the student: a plain one has the same weights
        plain, _ = self.models()
        nn.Module.to(plain, self.device).train()
        with torch.autocast(self.device.type, dtype, enabled=dtype is not None):
            output = reference.run(plain, ids, mask, everything=teacher is not None)
            if teacher is None:
                loss = reference.mlm(output, labels)
            else:
                with torch.no_grad():
                    target = reference.run(teacher.train(), ids, mask)
                more = [module.projection] if module.projection is not None else []
                loss = getattr(reference, str(self.formula))(output, target, labels, mask, *more)
        loss.backward()
        found = {f"student.{name}": value.grad for name, value in plain.named_parameters()}
        if module.projection is not None:
            found |= {f"projection.{name}": value.grad for name, value in module.projection.named_parameters()}
        return float(loss.detach()), {name: value for name, value in found.items() if value is not None}


def distance(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """The norm of the difference of gradients, of that of the second; names have to be equal."""
    assert found.keys() == expected.keys()
    apart = sum(float((found[name].double() - expected[name].double()).square().sum()) for name in expected)
    return (apart / sum(float(value.double().square().sum()) for value in expected.values())) ** 0.5
