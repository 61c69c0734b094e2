"""ModernBERT in pre-training: windows, rotated positions and norms are transformers' own, packed and padded."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import pretraining as tiny
from helpers.objectives import COUNT, assert_equal, distillation, masked_example, micro_batches, ours, plainly
from transformers.models.modernbert import modeling_modernbert

from compactbio.benchmarks import reference as plain
from compactbio.errors import UserError
from compactbio.pretraining.attention import install_attention

TEACHER = "aawaw"  # layers 2 and 5 are those that students follow
LAYERS = [[1, 2], [2, 5]]
CUTS = [[], [2, 5], [1, 2, 3, 8]]
LAYOUTS = pytest.mark.parametrize("packed", [False, True], ids=["padded", "packed"])
NAMES = ("query", "key", "value", "probabilities", "scores")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def followed(objective):
    """An objective's layers as those of the two models here."""
    moved = {2: 2, 4: 5, 0: 0}
    return [
        entry | ({"layers": [[s, moved[t]] for s, t in entry["layers"]]} if "layers" in entry else {})
        for entry in objective
    ]


def of_every_second(formula):
    """A plain formula with the teacher's states where those of a teacher of four layers would stand."""

    def changed(student, teacher, *others):
        twin = copy.copy(teacher)
        twin.hidden_states = [teacher.hidden_states[layer] for layer in (0, 0, 2, 0, 5)]
        twin.attentions = [teacher.attentions[layer - 1] for layer in (1, 2, 1, 5)]
        return formula(student, twin, *others)

    return changed


CASES = {
    "distil": (tiny.DISTIL, tiny.REFERENCE, 32, plain.distil),
    "compact": (tiny.COMPACT, tiny.REFERENCE, 32, plain.compact),
    "tiny": (tiny.TINY, tiny.REFERENCE | {"mse_over_padding": "sound"}, 16, plain.tiny_sound),
}


@LAYOUTS
@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("case", CASES)
def test_distillation_equals_plain_formulas(case, cuts, packed):
    objective, quirks, hidden, formula = CASES[case]
    teacher, student = tiny.modernbert(TEACHER, seed=1), tiny.modernbert(hidden=hidden, seed=2)
    twin, teacher_twin = copy.deepcopy(student), copy.deepcopy(teacher).eval()
    loss, gradients, module = ours(student, teacher, followed(objective), quirks, cuts, packed=packed)
    projection = copy.deepcopy(module.projection)
    if projection is not None:
        projection.zero_grad()
    expected, plain_gradients = plainly(twin.train(), teacher_twin, of_every_second(formula), projection)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert_equal(gradients, plain_gradients)


@LAYOUTS
@pytest.mark.parametrize("cuts", CUTS, ids=str)
@pytest.mark.parametrize("types", ["aw", "www", "aaw"])
def test_masked_language_model_equals_plain_formula(types, cuts, packed):
    student = tiny.modernbert(types, seed=4)
    twin = copy.deepcopy(student).train()
    loss, gradients, _ = ours(student, None, tiny.MLM, tiny.REFERENCE, cuts, packed=packed)
    expected, plain_gradients = plainly(twin, None, plain.mlm)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert_equal(gradients, plain_gradients)


@pytest.fixture
def plain_states(monkeypatch):
    """Transformers' own pass of one sequence: output, and queries, keys and values as attention multiplies them."""
    states, attend = [], modeling_modernbert.eager_attention_forward

    def watched(module, query, key, value, *arguments, **options):
        states.append({"query": query, "key": key, "value": value})
        return attend(module, query, key, value, *arguments, **options)

    def run(model, ids):
        states.clear()
        model.set_attn_implementation("eager")
        return model(input_ids=ids, output_hidden_states=True, output_attentions=True), states

    monkeypatch.setattr(modeling_modernbert, "eager_attention_forward", watched)
    return run


@LAYOUTS
@torch.no_grad()
def test_every_state_is_that_of_each_sequence_alone(packed, plain_states):
    model = tiny.modernbert("aww", seed=3).eval()
    twin = copy.deepcopy(model)
    [batch] = micro_batches([], packed=packed)
    lengths, _, inputs, _ = masked_example()
    assert max(lengths) == 24 and min(lengths) > 4  # of windows of 4 on each side
    capture = install_attention(model, {layer: set(NAMES) for layer in (1, 2)}, after_dropout=False)
    names = ("position_ids", "lengths") if packed else ()
    real = batch.tensors.get("real_tokens")
    output = model.base_model(
        input_ids=batch.tensors["input_ids"],
        attention_mask=None if real is None else real[:, None, None, :],
        output_hidden_states=True,
        **{name: batch.tensors[name] for name in names},
    )
    begin = 0
    for number, length in enumerate(lengths.tolist()):
        expected, states = plain_states(twin, torch.from_numpy(inputs[begin : begin + length])[None])
        place = (0, slice(begin, begin + length)) if packed else (number, slice(length))
        assert len(output.hidden_states) == 4
        for mine, theirs in zip(output.hidden_states, expected.hidden_states, strict=True):
            torch.testing.assert_close(mine[place], theirs[0], atol=1e-5, rtol=1e-5)
        logits = twin.decoder(twin.head(output.last_hidden_state[place]))
        torch.testing.assert_close(logits, expected.logits[0], atol=1e-5, rtol=1e-5)
        for layer in (1, 2):
            seen = expected.attentions[layer - 1]
            products = states[layer - 1]["query"] @ states[layer - 1]["key"].transpose(2, 3) / 8**0.5
            theirs = states[layer - 1] | {"probabilities": seen, "scores": products.masked_fill(seen == 0, 0.0)}
            for name in NAMES:
                kept = capture.states[layer, name][number if packed else 0][0 if packed else number]
                kept = kept[:, :length, :length] if name in NAMES[3:] else kept[:, :length]
                torch.testing.assert_close(kept, theirs[name][0], atol=1e-5, rtol=1e-5)
        begin += length
    assert begin == len(inputs) and len(lengths) == COUNT


def relations(rows, keys):
    """Log of the relations (heads, length, length) of vectors (1, heads, length, size)."""
    return (rows @ keys.transpose(2, 3) / rows.shape[-1] ** 0.5).log_softmax(-1)[0]


@LAYOUTS
def test_relations_are_those_of_rotated_queries_and_keys(packed, plain_states):
    reads = {
        "query_key_relation_kl": ("query", "key"),
        "query_relation_kl": ("query", "query"),
        "value_relation_kl": ("value", "value"),
    }
    objective = [{"term": name, "weight": 1.0, "layers": LAYERS} for name in reads]
    teacher, student = tiny.modernbert(TEACHER, seed=1), tiny.modernbert(hidden=16, seed=2)
    twin, teacher_twin = copy.deepcopy(student), copy.deepcopy(teacher)
    module, batches = distillation(student, teacher, objective, tiny.SOUND), micro_batches([2, 5], packed=packed)
    tokens = sum(batch.counts["tokens"] for batch in batches)
    loss = sum(module(batch.tensors, {"tokens": tokens}) for batch in batches)
    loss.backward()
    lengths, _, inputs, _ = masked_example()
    expected = 0.0
    for part in torch.from_numpy(inputs).split(lengths.tolist()):
        mine, theirs = (list(plain_states(model, part[None])[1]) for model in (twin, teacher_twin))
        for ours_layer, their_layer in LAYERS:
            for rows, keys in reads.values():
                p = relations(theirs[their_layer - 1][rows], theirs[their_layer - 1][keys]).detach()
                q = relations(mine[ours_layer - 1][rows], mine[ours_layer - 1][keys])
                expected = expected + (p.exp() * (p - q)).sum() / 4
    expected = expected / tokens
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    gradients, plain_gradients = (
        {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
        for model in (student, twin)
    )
    assert_equal(gradients, plain_gradients)


def test_a_window_that_is_left_out_would_be_seen():
    """The control: the same weights without windows give another loss."""
    models = tiny.modernbert("aw", seed=4), tiny.modernbert("aa", seed=4)
    assert all(map(torch.equal, *(model.parameters() for model in models)))
    losses = [ours(model, None, tiny.MLM, tiny.REFERENCE, [], packed=True)[0] for model in models]
    assert abs(losses[0] - losses[1]) > 1e-3


def test_last_hidden_states_are_behind_the_final_norm():
    model = tiny.modernbert("aww", seed=3).eval()
    output = model.base_model(input_ids=torch.arange(5, 20)[None], output_hidden_states=True)
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    with torch.no_grad():
        model.base_model.final_norm.weight.mul_(2.0)
        doubled = model.base_model(input_ids=torch.arange(5, 20)[None], output_hidden_states=True).hidden_states
    torch.testing.assert_close(doubled[-1], 2 * output.hidden_states[-1])
    torch.testing.assert_close(doubled[-2], output.hidden_states[-2])


@pytest.mark.parametrize("term", ["attention_kl", "attention_mse"])
def test_maps_of_layers_that_see_other_parts_are_refused(term):
    objective = [{"term": term, "weight": 1.0, "layers": [[1, 2], [2, 2]]}]
    message = r"layer 2 of \[2, 2\] sees 4 tokens on each side, teacher layer 2 all tokens: .* layers \[3, 5\]"
    with pytest.raises(UserError, match=message):
        distillation(tiny.modernbert(), tiny.modernbert(TEACHER), objective, tiny.SOUND)
    relations = [{"term": "value_relation_kl", "weight": 1.0, "layers": [[2, 2]]}]
    distillation(tiny.modernbert(), tiny.modernbert(TEACHER), relations, tiny.SOUND)
