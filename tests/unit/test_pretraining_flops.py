"""FLOPs by formula against those that torch counts in the models themselves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import pretraining as tiny
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, DistilBertConfig, ElectraConfig, MobileBertConfig, ModernBertConfig, RobertaConfig
from transformers.models.bert.modeling_bert import BertForMaskedLM
from transformers.models.distilbert.modeling_distilbert import DistilBertForMaskedLM
from transformers.models.electra.modeling_electra import ElectraForMaskedLM
from transformers.models.mobilebert.modeling_mobilebert import MobileBertForMaskedLM
from transformers.models.modernbert.modeling_modernbert import ModernBertForMaskedLM
from transformers.models.roberta.modeling_roberta import RobertaForMaskedLM

from compactbio.architectures import architecture_of
from compactbio.pretraining.distillation import Distillation
from compactbio.pretraining.flops import BACKWARD, forward_cost
from compactbio.terms.cost import Cost, near_pairs
from compactbio.terms.objective import read_objective

FULL_SIZE = {
    "bert-base": (BertForMaskedLM, BertConfig(vocab_size=28996)),
    "4L/312": (
        BertForMaskedLM,
        BertConfig(vocab_size=28996, num_hidden_layers=4, hidden_size=312, intermediate_size=1200),
    ),
    "distilbert": (DistilBertForMaskedLM, DistilBertConfig(vocab_size=28996)),
    "mobilebert": (MobileBertForMaskedLM, MobileBertConfig(vocab_size=30522)),
    "electra-small": (ElectraForMaskedLM, ElectraConfig()),
    "roberta-base": (RobertaForMaskedLM, RobertaConfig(max_position_embeddings=514, type_vocab_size=1)),
}
MASKED = {
    "masked_positions": torch.tensor([1, 2, 25, 26, 27, 28, 29, 30, 31]),
    "masked_lengths": (2, 7, 0),
    "labels": torch.ones(9, dtype=torch.long),
}
DENOMINATORS = dict.fromkeys(("masked", "tokens", "padded_tokens", "token_pairs", "padded_pairs", "key_rows"), 1.0)


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
    return architecture_of(model).mlm_logits(model, states.flatten(0, 1)[:masked])


@pytest.mark.parametrize("build", tiny.BUILDS.values(), ids=tiny.BUILDS)
def test_forward_and_backward_of_tiny_models(build):
    model = build().train()
    cost = forward_cost(model)
    # eager attention multiplies all pairs, also those that a window hides
    cost = replace(cost, pair=cost.pair + sum(cost.near_pair.values()), near_pair={})
    assert cost.flops(np.full(3, 20), np.full(3, 3)) == counted(lambda: forward(model, 3, 20, 9))
    both = counted(lambda: forward(model, 3, 20, 9).sum().backward())
    assert cost.times(1.0 + BACKWARD).flops(np.full(3, 20), np.full(3, 3)) == both


@pytest.mark.parametrize("name", FULL_SIZE)
def test_forward_of_full_size_models(name):
    kind, config = FULL_SIZE[name]
    with torch.device("meta"):
        model = kind(config).eval()
    for length, masked in ((512, 307), (64, 38)):
        expected = counted(lambda length=length, masked=masked: forward(model, 4, length, masked))
        assert forward_cost(model).flops(np.full(4, length), np.array([masked, 0, 0, 0])) == expected


def test_a_base_model_costs_what_its_numbers_say():
    with torch.device("meta"):
        model = BertForMaskedLM(FULL_SIZE["bert-base"][1])
    assert forward_cost(model) == Cost(
        token=2.0 * 12 * (4 * 768**2 + 2 * 768 * 3072),
        pair=4.0 * 768 * 12,
        masked_row=2.0 * (768**2 + 768 * 28996),
    )
    assert forward_cost(model, head=False).masked_row == 0.0
    assert forward_cost(model, last_at_masked=True) == Cost(
        token=2.0 * 11 * (4 * 768**2 + 2 * 768 * 3072) + 2.0 * 2 * 768**2,  # of the last layer keys and values
        pair=4.0 * 768 * 11,
        masked_row=2.0 * (3 * 768**2 + 2 * 768 * 3072 + 768 * 28996),
        masked_pair=4.0 * 768,
    )


@pytest.mark.parametrize("reach", [0, 1, 4, 64])
def test_pairs_inside_a_window_are_counted_one_by_one(reach):
    lengths = np.array([1, 2, 5, 9, 40])
    places = [np.arange(length) for length in lengths]
    expected = [int((abs(place[:, None] - place) <= reach).sum()) for place in places]
    assert near_pairs(lengths, reach).tolist() == expected
    cost = Cost(pair=1.0, near_pair={reach: 2.0}) + Cost(near_pair={reach: 1.0, 7: 0.0})
    assert cost.times(2.0).flops(lengths, 0 * lengths) == 2.0 * (lengths**2).sum() + 6.0 * sum(expected)


def test_layers_with_a_window_cost_their_window():
    with torch.device("meta"):
        model = ModernBertForMaskedLM(ModernBertConfig())
    layer = 4 * 768**2 + 3 * 768 * 1152  # attention, and a feed-forward part with a gate
    assert forward_cost(model) == Cost(
        token=2.0 * 22 * layer,
        pair=4.0 * 768 * 8,  # layers 0, 3, ..., 21
        masked_row=2.0 * (768**2 + 768 * 50368),
        near_pair={64: 4.0 * 768 * 14},
    )


def test_lengths_count_without_padding():
    cost = Cost(token=10.0, pair=1.0, masked_row=100.0, masked_pair=1000.0)
    assert cost.flops(np.array([2, 3], dtype=np.uint16), np.array([0, 1])) == 50.0 + 13.0 + 100.0 + 3000.0
    assert cost.flops(np.array([60000], dtype=np.uint16), np.array([0])) == 600000.0 + 3.6e9


@pytest.mark.parametrize(("objective", "student_hidden"), [(tiny.DISTIL, 32), (tiny.COMPACT, 32), (tiny.TINY, 16)])
def test_a_step_of_each_objective(objective, student_hidden):
    """Maps of all layers are wanted, so that every attention is an explicit product, which torch counts.

    Not exact: the last layer's hidden state or map may be compared in the middle of what the formula counts whole.
    """
    explicit = {"term": "attention_kl", "weight": 1.0, "layers": [[1, 1], [2, 2], [1, 3], [1, 4]]}
    terms = read_objective([*objective, explicit], tiny.SOUND)
    student, teacher = tiny.bert(layers=2, hidden=student_hidden), tiny.bert(layers=4)
    module = Distillation(student, teacher, terms, tiny.SOUND, max_length=tiny.MAX_LENGTH, seed=0)
    tensors = {"input_ids": torch.ones(3, 20, dtype=torch.long)} | MASKED
    expected = counted(lambda: module(tensors, DENOMINATORS).backward())
    assert module.cost().flops(np.full(3, 20), np.array(MASKED["masked_lengths"])) == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("objective", [tiny.MLM, [*tiny.MLM, {"term": "soft_cross_entropy", "weight": 1.0}]])
@pytest.mark.parametrize("build", [tiny.bert, tiny.distilbert, tiny.electra], ids=lambda build: build.__name__)
def test_a_step_whose_last_layers_run_at_masked_positions(build, objective):
    student, teacher = build(), tiny.bert(layers=4) if len(objective) > 1 else None
    terms = read_objective(objective, tiny.SOUND)
    module = Distillation(student, teacher, terms, tiny.SOUND, max_length=tiny.MAX_LENGTH, seed=0)
    tensors = {
        "input_ids": torch.ones(1, 60, dtype=torch.long),
        "position_ids": torch.arange(20).repeat(3)[None],
        "lengths": (20, 20, 20),
    } | MASKED
    with sdpa_kernel(SDPBackend.MATH):  # plain products, which torch counts on a processor too
        expected = counted(lambda: module(tensors, DENOMINATORS).backward())
    cost = module.cost()
    assert cost.masked_pair > 0.0
    assert cost.flops(np.full(3, 20), np.array(MASKED["masked_lengths"])) == expected
