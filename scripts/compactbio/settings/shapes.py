"""Shapes of students with random weights: keys that the architecture knows, and sizes that go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from compactbio.students.architectures import ARCHITECTURES

POSITIONS = 512  # position embeddings of BERT, DistilBERT and MobileBERT, where a shape does not say another number

# The keys of attention's width and heads, and what transformers takes where a shape leaves them out.
ATTENTION = {
    "bert": {"hidden_size": 768, "num_attention_heads": 12},
    "distilbert": {"dim": 768, "n_heads": 12},
    "mobilebert": {"intra_bottleneck_size": 128, "num_attention_heads": 4},
}
WITHOUT_BOTTLENECK = {"hidden_size": 512, "num_attention_heads": 4}


def shape_faults(place: str, architecture: str, shape: dict[str, Any], max_length: int) -> Iterator[str]:
    """Yield the faults of a shape, each naming its key and the fix; types and ranges are the schema's.

    Args:
        place: the shape's key in the configuration.
        architecture: bert, distilbert or mobilebert.
        shape: transformers configuration keys.
        max_length: word pieces of the longest sequence.
    """
    accepted = ARCHITECTURES[architecture].shape_keys
    for key in shape:
        if key not in accepted:
            yield f"{place}: unknown key `{key}` for {architecture}; known: {', '.join(accepted)}"
    attention = ATTENTION[architecture]
    if architecture == "mobilebert" and not shape.get("use_bottleneck", True):
        attention = WITHOUT_BOTTLENECK
    (width_key, width), (heads_key, heads) = ((key, shape.get(key, usual)) for key, usual in attention.items())
    if width % heads:
        yield f"{place}.{width_key}: {width} cannot be split over {heads_key} = {heads}; use a multiple of {heads}"
    positions = shape.get("max_position_embeddings", POSITIONS)
    if positions < max_length:
        yield f"{place}.max_position_embeddings: {positions} is below corpus.max_length = {max_length}; raise it"
