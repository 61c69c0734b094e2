"""The terms on attention maps as objectives name them, under each quirk that changes what a kernel does."""

from __future__ import annotations

from compactbio.terms.objective import Entry, read_objective
from helpers.pretraining import REFERENCE

QUIRKED = {"attention_kl": ("attention_kl_denominator",), "attention_mse": ("mse_over_padding", "attention_maps")}


def map_entries() -> list[Entry]:
    """Each term as the reference code has it, and with one quirk after the other set right."""
    return [
        entry
        for term, quirks in QUIRKED.items()
        for quirk in (None, *quirks)
        for entry in read_objective(
            [{"term": term, "weight": 1.0, "layers": [[1, 1]]}], REFERENCE | ({quirk: "sound"} if quirk else {})
        )
    ]
