"""The kernels of attention on the device itself: the formulas, and what their dropout draws."""

from __future__ import annotations

import pytest
import torch
from helpers.map_entries import map_entries
from helpers.map_terms import FORMULAS, attention_error, term_error

from compactbio.kernels.attention_maps import Maps, dropped_attention, packed_layout
from compactbio.kernels.draws import draw_seed
from compactbio.kernels.map_choice import map_refusal, trial
from compactbio.pretraining.attention_choice import candidates, first_usable
from compactbio.pretraining.packed_attention import UNPACKED, variable_length_attention
from compactbio.training.devices import leave_out_cudnn_attention

DROPOUT, SIGMAS = 0.1, 6.0
TYPES = {"tf32": torch.float32, "bf16": torch.bfloat16}
LIMITS = {"tf32": 5e-3, "bf16": 2e-2, "fp16": 5e-3}
SIZES = [(64, 64), (26, 64), (32, 32)]


def precisions(device, sizes):
    """What the kernels are for on a GPU, all of them at one size, as each is compiled; interpreted: fp16."""
    if device.type == "cpu":
        return {"fp16": torch.float16}
    return TYPES if sizes == SIZES[0] else {"bf16": torch.bfloat16}


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_terms_on_maps_are_the_plain_formulas(device, sizes):
    lengths = (256, 200, 37, 1) if device.type == "cuda" else (20, 7)
    torch.set_float32_matmul_precision("high")
    for precision, dtype in precisions(device, sizes).items():
        for case in FORMULAS:
            dropouts = (0.0, 0.0) if case[0] == "score_mse" else (DROPOUT, DROPOUT)
            error = term_error(lengths, sizes, case, dropouts, dtype=dtype, device=device)
            assert error < LIMITS[precision], (precision, case)
        assert attention_error(lengths, sizes[0], DROPOUT, dtype=dtype, device=device) < LIMITS[precision]


def test_the_trial_agrees_and_the_kernels_are_taken(device):
    torch.set_float32_matmul_precision("high")
    for sizes in SIZES if device.type == "cuda" else SIZES[2:]:
        for precision, dtype in precisions(device, sizes).items():
            assert trial(device, dtype, sizes, 256 if device.type == "cuda" else 16, map_entries()) is None
            refused = map_refusal(device, precision=precision, longest=256, head_sizes=sizes, entries=map_entries())
            assert refused == (None if device.type == "cuda" else "the kernels are for GPUs")


def test_packed_sequences_have_an_attention_in_every_precision(device):
    """Output and gradients are those of one draw of dropout, as the trial asks for; reasons show where one fails."""
    leave_out_cudnn_attention()
    precisions = ("fp32", "tf32", "bf16", "fp16") if device.type == "cuda" else ("fp32",)
    for precision in precisions:
        torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
        names = candidates(device, precision) if device.type == "cuda" else [UNPACKED]
        for sizes in ([64], [26, 64], [32]):
            found, reasons = first_usable(names, device, precision, DROPOUT, sizes)
            assert found is not None, (precision, sizes, reasons)
            assert first_usable([UNPACKED], device, precision, DROPOUT, sizes) == (UNPACKED, {})
            if precision == "bf16":
                assert found == names[0], reasons


def test_a_kernel_takes_layers_that_see_a_window(device):
    names = candidates(device, "bf16", windowed=True) if device.type == "cuda" else [UNPACKED]
    precision = "bf16" if device.type == "cuda" else "fp32"
    assert first_usable(names, device, precision, DROPOUT, [64], windowed=True) == (names[0], {})


def dropped_maps(attention, count: int, length: int, device, dtype) -> torch.Tensor:
    """Maps after dropout (rows, heads, keys) of packed sequences: values are unit vectors, so that output is maps."""
    generator = torch.Generator().manual_seed(2)
    query, key = torch.randn(2, 1, 2, count * length, length, generator=generator).to(device, dtype)
    value = torch.eye(length, device=device, dtype=dtype).repeat(count, 1).expand(1, 2, -1, -1)
    ends = torch.arange(0, (count + 1) * length, length, device=device, dtype=torch.int32)
    return attention(query, key, value, ends, length)[0].float()


def statistics(maps: torch.Tensor, plain: torch.Tensor) -> None:
    """The share that is dropped, its spread over rows, the factor of the rest, the mean, and pairs of neighbours."""
    kept = (maps != 0).double()
    count, keys = kept.numel(), kept.shape[-1]
    spread = (DROPOUT * (1 - DROPOUT) / count) ** 0.5
    assert abs(float(kept.mean()) - (1 - DROPOUT)) < SIGMAS * spread
    rows = kept.sum(-1).flatten()
    expected = keys * DROPOUT * (1 - DROPOUT)  # binomial
    assert abs(float(rows.var()) / expected - 1) < SIGMAS * (2 / len(rows)) ** 0.5
    factors = (maps / plain)[(maps != 0) & (plain > 1e-3)]
    assert float((factors - 1 / (1 - DROPOUT)).abs().max()) < 0.03
    assert float(maps.sum(-1).mean()) == pytest.approx(1.0, abs=0.02)
    centred = kept - kept.mean()
    for one, other in ((centred[..., 1:], centred[..., :-1]), (centred[1:], centred[:-1])):
        assert abs(float((one * other).mean() / centred.square().mean())) < SIGMAS / one.numel() ** 0.5


def test_dropout_has_its_mean_and_variance(device):
    """Of every kernel that a training may take, on this device."""
    leave_out_cudnn_attention()
    on_gpu = device.type == "cuda"
    dtype, precision = (torch.bfloat16, "bf16") if on_gpu else (torch.float32, "fp32")
    count, length = (64, 64) if on_gpu else (3, 16)
    names = candidates(device, precision) if on_gpu else [UNPACKED]
    usable = [name for name in names if first_usable([name], device, precision, DROPOUT, [length])[0]]
    assert UNPACKED in usable
    torch.manual_seed(3)

    def packed(name, dropout):
        def attention(query, key, value, ends, longest):
            return variable_length_attention(name, query, key, value, ends, ends, longest, dropout, length**-0.5)

        return dropped_maps(attention, count, length, device, dtype)

    def own(query, key, value, ends, longest):
        maps = Maps(query, key, length**-0.5, DROPOUT, draw_seed(device))
        return dropped_attention(maps, value, packed_layout(ends, longest))

    plain = packed(usable[0], 0.0)
    for name in usable:
        statistics(packed(name, DROPOUT), plain)
    first, second = (dropped_maps(own, count, length, device, dtype) for _ in range(2))
    statistics(first, plain)
    assert not torch.equal(first, second)  # another layer, another draw
