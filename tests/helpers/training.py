"""A small module that trains, for tests of the loop and its parts."""

from __future__ import annotations

import torch

from compactbio.training.interface import StepModule


class Regression(StepModule):
    """Mean squared error of a small network with dropout."""

    def __init__(self, dropout=0.0, poison_at=None):
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Dropout(dropout), torch.nn.Linear(8, 1))
        self.poison_at = poison_at
        self.calls = 0

    def forward(self, tensors, denominators):
        self.calls += 1
        loss = (self.layers(tensors["x"]).squeeze(-1) - tensors["y"]).square().sum() / denominators["rows"]
        if self.calls == self.poison_at:
            loss = loss * float("nan")
        self.last_terms = {"squares": loss.detach()}
        return loss
