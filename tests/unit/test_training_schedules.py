"""Learning rates as functions of the step, against transformers' own schedulers."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_linear_schedule_with_warmup,
)

from compactbio.errors import UserError
from compactbio.training.schedules import SCHEDULES, learning_rate_schedule

THEIRS = {
    "linear": get_linear_schedule_with_warmup,
    "cosine": get_cosine_schedule_with_warmup,
    "constant": lambda optimizer, warmup, steps: get_constant_schedule_with_warmup(optimizer, warmup),
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("warmup", [0, 4])
def test_schedules_equal_those_of_transformers(name, warmup):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    scheduler = THEIRS[name](optimizer, warmup, 20)
    ours = learning_rate_schedule(name, peak=0.5, warmup_steps=warmup, total_steps=20)
    for step in range(1, 21):
        assert ours(step) == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-12)
        optimizer.step()
        scheduler.step()


def test_wrong_settings_are_refused():
    with pytest.raises(UserError, match="schedule: 'linaer' is unknown"):
        learning_rate_schedule("linaer", peak=0.1, warmup_steps=0, total_steps=5)
    with pytest.raises(UserError, match="warmup_steps"):
        learning_rate_schedule("linear", peak=0.1, warmup_steps=6, total_steps=5)
