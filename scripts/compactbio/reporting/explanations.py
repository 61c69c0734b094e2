"""What readers are told of the quirk switches and of the spread of the runs."""

from __future__ import annotations

from collections.abc import Mapping

from compactbio.reporting.render import Block, row

# What each value of a quirk switch means.
QUIRKS: dict[str, dict[str, str]] = {
    "text": {
        "reference": "first section of an abstract only, markup and entity references left in the text",
        "sound": "all sections of an abstract, text without markup",
    },
    "teacher_dropout": {
        "reference": "the frozen teacher runs with its dropout on",
        "sound": "the teacher runs without dropout",
    },
    "mlm_head_init": {
        "reference": "a student's MLM head starts random, its decoder tied to the embeddings",
        "sound": "a student's MLM head is copied from the teacher where shapes allow",
    },
    "attention_maps": {
        "reference": "attention probabilities are matched",
        "sound": "attention scores before the softmax are matched",
    },
    "maps_after_dropout": {
        "reference": "attention maps are taken after dropout",
        "sound": "attention maps are taken before dropout",
    },
    "mse_over_padding": {
        "reference": "TinyBioBERT's squared errors are averaged over padding too",
        "sound": "TinyBioBERT's squared errors are averaged over real tokens",
    },
    "attention_kl_denominator": {
        "reference": "CompactBioBERT's attention divergence is divided by the padded length",
        "sound": "CompactBioBERT's attention divergence is divided by each row's own length",
    },
    "decayed_norms": {
        "reference": "the scales of MobileBERT's NoNorm layers decay, in pre-training and in fine-tuning",
        "sound": "no scale of a normalisation decays",
    },
    "qa_loss_over_padding": {
        "reference": "question answering: windows are padded to max_length, the loss chooses among padding too",
        "sound": "question answering: the loss chooses among the pieces of a window",
    },
    "finetuning_seeds": {
        "reference": "a run's seed draws its head; order and dropout of all runs are those of the first seed",
        "sound": "a run's seed draws its head, the order of its examples and its dropout",
    },
}


def spread_of_runs(quirks: Mapping[str, str]) -> str:
    """Return what the standard deviation beside a score is the spread of."""
    if quirks.get("finetuning_seeds") == "reference":
        drawn = "their heads differ; order and dropout are the same in all of them, as in the authors' scripts"
    else:
        drawn = (
            "head, order and dropout differ between them, while in the authors' scripts, which draw the head before "
            "they seed, order and dropout are the same in all runs"
        )
    return (
        f"The standard deviation beside a score is that of the runs made here, not of the authors': {drawn}. How many "
        "runs theirs are is not known."
    )


def quirks_block(quirks: Mapping[str, str], label: str) -> Block:
    """Return the quirk switches with the meaning of their values."""
    rows = [row(name, value, QUIRKS[name][value]) for name, value in quirks.items()]
    return Block("Quirk switches", label, ["switch", "value", "meaning"], rows)
