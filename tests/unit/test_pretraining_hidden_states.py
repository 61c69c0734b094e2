"""Hidden states are those that transformers gives when it is asked for all of them."""

from __future__ import annotations

import pytest
import torch
from helpers import pretraining as tiny

from compactbio.pretraining.hidden_states import HiddenStates

BUILDS = [tiny.bert, tiny.distilbert, tiny.electra, tiny.mobilebert, tiny.roberta]


@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
@pytest.mark.parametrize("wanted", [{0, 2}, {1}, {0, 1, 2}, set()], ids=str)
def test_states_are_numbered_as_transformers_numbers_them(build, wanted):
    model = build(seed=4).eval()
    states = HiddenStates(model, wanted)
    for first in (5, 9):  # each pass has its own
        ids = torch.arange(first, first + 12).view(2, 6)
        output = model.base_model(input_ids=ids)
        found = states.take(output.last_hidden_state)
        assert not states.kept  # their memory is free for the next pass
        expected = build(seed=4).eval().base_model(input_ids=ids, output_hidden_states=True).hidden_states
        assert len(expected) == 3
        assert found.keys() == wanted
        assert all(torch.equal(found[index], expected[index]) for index in wanted)
