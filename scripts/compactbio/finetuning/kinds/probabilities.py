"""Softmax and cross-entropy of logits that a model left as arrays."""

from __future__ import annotations

import numpy as np
import torch


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities over the last axis, float32."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return (shifted / shifted.sum(axis=-1, keepdims=True)).astype(np.float32)


def cross_entropies(logits: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the cross-entropy of each row, float32 [rows]."""
    return torch.nn.functional.cross_entropy(
        torch.from_numpy(np.ascontiguousarray(logits)), torch.from_numpy(targets), reduction="none"
    ).numpy()
