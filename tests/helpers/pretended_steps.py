"""Takes a step of every case of the benchmark, and fine-tunes, on a pretended GPU; prints a line of JSON for each.

For a program of its own, which has called `pretended_gpu.install` before this is imported.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from accelerate.state import AcceleratorState
from torch._subclasses.fake_tensor import unset_fake_temporarily

import compactbio.kernels.programs
from compactbio.benchmarks import cases, steps
from compactbio.benchmarks.cases import CASES
from compactbio.benchmarks.random_tokens import SPECIAL_IDS, write_store
from compactbio.finetuning import examples
from compactbio.finetuning.features import PieceTokenizer
from compactbio.finetuning.runs import one_run
from compactbio.kernels import fused_blocks, logit_choice, map_choice
from compactbio.pretraining import attention_choice
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.packed_attention import EFFICIENT
from compactbio.students.models import special_token_ids
from compactbio.tasks.rows import Rows
from compactbio.training import capture
from compactbio.training.processes import start_accelerator
from compactbio.training.trainer import Trainer
from helpers import finetuning
from helpers.pretended_gpu import STATE, placed, pretended_gpu, programs

BUILD = cases.build_models
BATCH, VOCABULARY = 8, 300
SMALL = {"hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4, "intermediate_size": 32}
SHAPES = {
    "mlm_6l_768": {"dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 32},
    "mlm_mobilebert": {**SMALL, "num_hidden_layers": 2, "embedding_size": 16, "intra_bottleneck_size": 16},
}
SHAPES["modernbert"] = {**SMALL, "local_attention": 16, **special_token_ids("modernbert", SPECIAL_IDS)}
SHAPES |= {name: {**SMALL, "num_hidden_layers": 4, "hidden_size": 24} for name in ("tiny", "tiny_sound", "mlm_4l_312")}
MODERN = cases.Case("modernbert", {}, VOCABULARY, cases.MLM)  # no case of the benchmark, but its layers see windows
TEACHER = {**SMALL, "num_hidden_layers": 12}
WIDER = ("tiny", "tiny_sound")  # whose hidden states are projected: here to a teacher with heads of 10 values


def forget() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    STATE.capturing, STATE.captures = False, 0
    STATE.waits.clear()
    STATE.launched.clear()
    STATE.heads.clear()


def take_step(folder: Path, case: str, precision: str, tokens: int | None) -> dict:
    """What a step of a case waits for, and how many passes are captured."""
    forget()
    store = write_store(folder / "tokens", np.full(8 * BATCH, 90), VOCABULARY)  # one shape is enough
    small = replace(CASES.get(case, MODERN), shape=SHAPES.get(case, SMALL), vocabulary=VOCABULARY)
    with pretended_gpu() as captured:
        one = steps.OurStep(small, store, BATCH, 0.1, precision, tokens)
        made = one.batches(1)
        STATE.waits.clear()
        one.trainer.take_step(1, made, one.trainer.agree(made)[0], 1e-4)
    return {
        "form": one.in_words(),
        "captures": STATE.captures,
        "waits": STATE.waits,
        "operations": len(captured),
        "heads": sorted(STATE.heads),
    }


def fine_tune(folder: Path, task: str, architecture: str, precision: str) -> dict:
    """The same of a fine-tuning."""
    forget()
    rows, labels = {
        "ner": (finetuning.ner_rows, finetuning.NER_LABELS),
        "re": (finetuning.re_rows, ["no", "yes"]),
        "qa": (finetuning.qa_rows, []),
    }[task]
    model = finetuning.write_model(folder / architecture, architecture=architecture)
    settings = finetuning.run_settings(task, labels, epochs=1, precision=precision)
    parts = {name: Rows(rows(48, seed), labels or None) for name, seed in (("train", 1), ("test", 2))}
    examples.read_rows = lambda _, split, kind: parts.get(split)
    dataset = examples.Dataset(folder, settings, PieceTokenizer(model))
    run = one_run.OneRun(settings, model, dataset, 1, 0, start_accelerator(precision))
    run.validation_part = None
    with pretended_gpu() as captured:
        run.train(folder / f"{task}-{architecture}-{precision}", deadline=None, stop=None)
    form = f"packed {run.kernel}" if run.kernel else "padded"
    return {
        "form": form,
        "captures": STATE.captures,
        "waits": STATE.waits,
        "operations": len(captured),
        "heads": sorted(STATE.heads),
    }


def broken(forward):
    """A forward pass that reads a value of the device."""

    def read(self, tensors, denominators):
        loss = forward(self, tensors, denominators)
        return loss * float(loss.detach() > 0)

    return read


def small_models(case: cases.Case, dropout: float, seed: int):
    """As `cases.build_models`, of the smallest size: the student as the case says, the teacher always a BERT."""
    with unset_fake_temporarily():  # ModernBERT reads values while it is built
        student, _ = BUILD(replace(case, teacher=False), dropout, seed)
        shape = TEACHER if case.formula not in WIDER else TEACHER | {"hidden_size": 40}
        teacher, _ = BUILD(replace(case, architecture="bert", shape=shape, teacher=False), dropout, seed)
    return student, teacher if case.teacher else None


def usable_by_torch(names, device, precision, dropout, head_sizes, *, windowed=False):
    """What the trials find with torch up to 2.13: memory-efficient attention of packed sequences without dropout."""
    return next(name for name in names if dropout == 0.0 or name != EFFICIENT), {}


def prepare(build) -> None:
    """Have steps run on the pretended GPU, with the models that `build` returns as `cases.build_models` does."""
    for module in programs():
        sys.modules[module.__name__] = module
        setattr(compactbio.kernels.programs, module.__name__.rpartition(".")[2], module)
    map_choice.trial = logit_choice.trial = fused_blocks.trial = lambda *_: None
    attention_choice.first_usable = usable_by_torch
    capture.WARM_UPS = 1
    seen = one_run.SeenEmbeddings

    def build_placed(*arguments):
        return [None if model is None else placed(model) for model in build(*arguments)]

    class Placed(Distillation):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            if self.projection is not None:
                placed(self.projection)

    class PlacedEmbeddings(seen):
        def __init__(self, model, *arguments):
            super().__init__(model, *arguments)
            placed(model)

        def restore(self, step):
            """There are no values to go on with."""

    steps.build_models, steps.Distillation, one_run.SeenEmbeddings = build_placed, Placed, PlacedEmbeddings
    Trainer.save = lambda self, step: setattr(self, "saved_step", step)
    Trainer.log = lambda self, *_: self.sums.clear()


def main(folder: Path) -> None:
    """Take all steps."""
    prepare(small_models)
    lines = [(take_step, case, "bf16", None) for case in (*CASES, "modernbert")]
    lines += [(take_step, case, "fp32", 2048) for case in ("compact", "tiny")]
    lines += [(take_step, "distil", "fp16", 2048)]
    lines += [
        (fine_tune, *one)
        for one in (
            ("ner", "bert", "bf16"),
            ("re", "distilbert", "fp16"),
            ("qa", "bert", "fp32"),
            ("re", "modernbert", "bf16"),
        )
    ]
    for function, *arguments in lines:
        print(json.dumps({"arguments": arguments, **function(folder, *arguments)}), flush=True)
    Distillation.forward = broken(Distillation.forward)
    print(json.dumps({"arguments": ["broken"], **take_step(folder, "distil", "bf16", 2048)}), flush=True)
