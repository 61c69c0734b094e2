"""Attention over packed sequences, in groups, equals attention of each sequence alone, forward and backward."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from compactbio.finetuning.packed.grouped_attention import grouped_attention
from compactbio.finetuning.packed.groups import pack

torch.set_num_threads(1)


@settings(max_examples=40)
@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=8).map(sorted),
    st.integers(1, 4),
    st.sampled_from([1, 4, 8]),
    st.integers(0, 2**31 - 1),
)
def test_each_sequence_has_its_own_attention(lengths, heads, size, seed):
    draw = torch.Generator().manual_seed(seed)
    shape = (1, heads, sum(lengths), size)
    query, key, value, weight = (torch.randn(shape, generator=draw) for _ in range(4))
    tensors = [tensor.requires_grad_() for tensor in (query, key, value)]
    output = grouped_attention(nn.Identity(), *tensors, None, packing=pack(lengths, heads))[0]
    gradients = torch.autograd.grad((output.transpose(1, 2) * weight).sum(), tensors)

    exact = [tensor.detach().double().requires_grad_() for tensor in tensors]
    parts = []
    for q, k, v in zip(*(tensor.split(lengths, dim=2) for tensor in exact), strict=True):
        parts.append(torch.softmax(size**-0.5 * q @ k.transpose(2, 3), dim=-1) @ v)
    expected = torch.cat(parts, dim=2)
    exact_gradients = torch.autograd.grad((expected * weight.double()).sum(), exact)
    torch.testing.assert_close(output.transpose(1, 2).double(), expected, atol=2e-5, rtol=1e-5)
    for mine, theirs in zip(gradients, exact_gradients, strict=True):
        torch.testing.assert_close(mine.double(), theirs, atol=1e-4, rtol=1e-4)
