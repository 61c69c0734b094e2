"""FLOPs by formula against those that torch counts in the models themselves."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import pretraining as tiny
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, DistilBertConfig, MobileBertConfig
from transformers.models.bert.modeling_bert import BertForMaskedLM
from transformers.models.distilbert.modeling_distilbert import DistilBertForMaskedLM
from transformers.models.mobilebert.modeling_mobilebert import MobileBertForMaskedLM

from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.flops import Cost, forward_cost, step_cost
from compactbio.pretraining.heads import vocabulary_logits
from compactbio.pretraining.terms import resolve_terms

FULL_SIZE = {
    "bert-base": (BertForMaskedLM, BertConfig(vocab_size=28996)),
    "4L/312": (
        BertForMaskedLM,
        BertConfig(vocab_size=28996, num_hidden_layers=4, hidden_size=312, intermediate_size=1200),
    ),
    "distilbert": (DistilBertForMaskedLM, DistilBertConfig(vocab_size=28996)),
    "mobilebert": (MobileBertForMaskedLM, MobileBertConfig(vocab_size=30522)),
}


def counted(function):
    """Return the FLOPs that torch counts while a function runs."""
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def forward(model, sequences, length, masked):
    """Run the encoder and, on the first `masked` positions, the head."""
    ids = torch.ones(sequences, length, dtype=torch.long, device=model.device)
    # eager: torch does not count the CPU kernel of scaled_dot_product_attention
    model.set_attn_implementation("eager")
    states = model.base_model(input_ids=ids).last_hidden_state
    return vocabulary_logits(model, states.flatten(0, 1)[:masked])


@pytest.mark.parametrize("build", [tiny.bert, tiny.distilbert, tiny.mobilebert])
def test_forward_and_backward_of_tiny_models(build):
    model = build().train()
    cost = forward_cost(model).flops(np.full(3, 20), 9)
    assert cost == counted(lambda: forward(model, 3, 20, 9))
    both = counted(lambda: forward(model, 3, 20, 9).sum().backward())
    assert step_cost(model).flops(np.full(3, 20), 9) == both


@pytest.mark.parametrize("name", FULL_SIZE)
def test_forward_of_full_size_models(name):
    kind, config = FULL_SIZE[name]
    with torch.device("meta"):
        model = kind(config).eval()
    for length, masked in ((512, 307), (64, 38)):
        expected = counted(lambda length=length, masked=masked: forward(model, 4, length, masked))
        assert forward_cost(model).flops(np.full(4, length), masked) == expected


def test_a_base_model_costs_what_its_numbers_say():
    with torch.device("meta"):
        model = BertForMaskedLM(FULL_SIZE["bert-base"][1])
    assert forward_cost(model) == Cost(
        token=2.0 * 12 * (4 * 768**2 + 2 * 768 * 3072),
        pair=4.0 * 768 * 12,
        masked_row=2.0 * (768**2 + 768 * 28996),
    )
    assert forward_cost(model, head=False).masked_row == 0.0


def test_lengths_count_without_padding():
    cost = Cost(token=10.0, pair=1.0, masked_row=100.0)
    assert cost.flops(np.array([2, 3], dtype=np.uint16), 1) == 50.0 + 13.0 + 100.0
    assert cost.flops(np.array([60000], dtype=np.uint16), 0) == 600000.0 + 3.6e9


@pytest.mark.parametrize(
    ("objective", "student_hidden"), [(tiny.DISTIL, 32), (tiny.COMPACT, 32), (tiny.TINY, 16), (tiny.MLM, 32)]
)
def test_a_step_of_each_objective(objective, student_hidden):
    """Maps of all layers are wanted, so that every attention is an explicit product, which torch counts.

    Not exact: the last layer's hidden state or map may be compared in the middle of what the formula counts whole.
    """
    explicit = {"term": "attention_kl", "weight": 1.0, "layers": [[1, 1], [2, 2], [1, 3], [1, 4]]}
    teacher = None if objective is tiny.MLM else tiny.bert(layers=4)
    student = tiny.bert(layers=2, hidden=student_hidden)
    terms = resolve_terms([*objective, *([explicit] if teacher else [])], tiny.SOUND)
    module = Distillation(student, teacher, terms, tiny.SOUND, max_length=tiny.MAX_LENGTH, seed=0)
    if teacher is None:
        student.set_attn_implementation("eager")
    tensors = {
        "input_ids": torch.ones(3, 20, dtype=torch.long),
        "masked_positions": torch.arange(9),
        "labels": torch.ones(9, dtype=torch.long),
    }
    denominators = dict.fromkeys(("masked", "tokens", "padded_tokens", "token_pairs", "padded_pairs", "key_rows"), 1.0)
    expected = counted(lambda: module(tensors, denominators).backward())
    assert module.cost().flops(np.full(3, 20), 9) == pytest.approx(expected, rel=0.02)
