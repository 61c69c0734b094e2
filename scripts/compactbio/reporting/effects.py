"""Where a run deviates from the paper, by how much that is expected to change its scores.

What was measured is said with its number; what was not is an expectation, and its reason stands beside it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from compactbio.kinds import scored_by
from compactbio.kinds.kind import REFERENCE
from compactbio.reporting.pages.deviations import differences, shown
from compactbio.reporting.published import PAPER_DATASETS
from compactbio.settings.selection import is_trained

LARGE, SOME, SMALL = "large", "some", "small"
_ORDER = (LARGE, SOME, SMALL)
SCALE = (
    "Large: other data, other models or another length of training. Some: may move a score by as much as another seed "
    "does. Small: measured, or by its size bound to be, below that."
)


@dataclass(frozen=True, slots=True)
class Effect:
    """One deviation: its name, what is different here, how much that is expected to change, and why."""

    name: str
    here: str
    size: str  # LARGE, SOME or SMALL
    reason: str


# Of each switch under `quirks` that is `sound`: expected size and its reason.
SWITCHES: dict[str, tuple[str, str]] = {
    "text": (LARGE, "the reference reads a third fewer words: on a file of 2021, 35 % of abstracts are cut"),
    "attention_maps": (SOME, "scores before the softmax are another objective for TinyBioBERT; not measured"),
    "mlm_head_init": (SOME, "a head that starts trained is ahead in the first steps; not measured"),
    "attention_kl_denominator": (
        SOME,
        "gives CompactBioBERT's attention term more weight in short texts; not measured",
    ),
    "mse_over_padding": (SOME, "takes padding out of TinyBioBERT's squared errors; not measured"),
    "teacher_dropout": (SOME, "takes noise out of what students are taught; not measured"),
    "maps_after_dropout": (SOME, "takes noise out of the attention maps; not measured"),
    "qa_loss_over_padding": (
        SOME,
        "question answering alone; with a small BERT of 2 layers, MRR 13.02 ± 1.25 without padding and 12.55 ± 0.54 "
        "with it by the standard protocol, 15.72 ± 0.88 and 13.40 ± 0.89 by the reference's",
    ),
    "decayed_norms": (
        SOME,
        "MobileBERT alone, whose 34,304 scales decay by up to a tenth in the reference's pre-training; not measured",
    ),
    "finetuning_seeds": (SMALL, "changes the spread of the runs, not what they are expected to reach"),
}

# By the beginning of a key that differs from the paper's configuration, as a regular expression; the first that fits.
_KEYS: tuple[tuple[str, str, str], ...] = (
    (r"run\.(models|datasets)|reporting\.", "", ""),  # what was not run, and how it is looked at
    (r"run\.seeds", SMALL, "changes the spread of the runs, not what they are expected to reach"),
    (
        r"models\.[^.]+\.source|models\..*\.hub\.",
        SOME,
        "weights as they were given; which upload the paper scored is not known",
    ),
    (r"models\.|pretraining\.|tokenizers\.|checkpoints\.", LARGE, "another model, or trained otherwise"),
    (r"corpus\.", LARGE, "other texts, or fewer"),
    (r"finetuning\.", SOME, "another recipe of fine-tuning"),
    (r"datasets\.", SOME, "other data, or another recipe for them"),
)


def ranked_effects(config: dict[str, Any], paper: dict[str, Any], used: Collection[str]) -> list[Effect]:
    """Return the deviations of a run, those of the largest expected effect first.

    Args:
        config: the checked configuration of this run.
        paper: that of config/config.yaml alone.
        used: names of the models, checkpoints, datasets and tokenizers that take part in this run.
    """
    found = [*_of_keys(config, paper, used), *_of_switches(config), *_unavoidable(config)]
    return sorted(found, key=lambda effect: _ORDER.index(effect.size))


def _of_keys(config: dict[str, Any], paper: dict[str, Any], used: Collection[str]) -> Iterator[Effect]:
    """Yield the keys that differ from the paper's configuration."""
    for key, theirs, ours in differences(config, paper, set(used)):
        size, reason = next(((size, why) for start, size, why in _KEYS if re.match(start, key)), (SOME, "a setting"))
        if size:
            yield Effect(key, f"{shown(ours)}; the paper's configuration: {shown(theirs)}", size, reason)


def _of_switches(config: dict[str, Any]) -> Iterator[Effect]:
    """Yield the switches that do not follow the reference code."""
    for name, value in config["quirks"].items():
        if value != "reference":
            yield Effect(f"quirks.{name}", value, *SWITCHES[name])


def _unavoidable(config: dict[str, Any]) -> Iterator[Effect]:
    """Yield what no key can make the paper's, as far as it concerns this run."""
    trained = [name for name in config["run"]["models"] if is_trained(config, name)]
    kinds = {config["datasets"][name]["task"] for name in config["run"]["datasets"]}
    if trained and config["corpus"]["source"] == "baseline" and config["corpus"]["baseline"]["year"] != 2022:
        cut = config["corpus"]["baseline"]["as_of"]
        here = f"the baseline of {config['corpus']['baseline']['year']}" + (f", texts up to {cut}" if cut else "")
        yield Effect(
            "corpus",
            f"{here}; the paper read that of 2022",
            SOME,
            "texts revised since then stay revised, and those deleted since are gone",
        )
    yield Effect(
        "hyper-parameters of fine-tuning",
        "those of the reference code, or of its README's example",
        SOME,
        "which grid the paper searched, and over how many runs it averaged, is not published",
    )
    for kind in scored_by(REFERENCE, kinds & set(PAPER_DATASETS.values()))[1]:
        yield Effect(
            f"recipe and scores of {kind.title.lower()}",
            "of the authors' next paper",
            SOME,
            "no code of this paper was released for it, so its values are not compared",
        )
    if "BioDistilBERT-uncased" in trained:
        yield Effect("BioDistilBERT-uncased", "the cased model's numbers", SOME, "no script was released for it")
    if trained:
        yield Effect(
            "loss over GPUs",
            "mean over the global batch; the reference: mean of the means of eight GPUs",
            SMALL,
            "the same but where the GPUs' shares of a batch hold unlike numbers of masked pieces",
        )
        yield Effect(
            "AdamW",
            "torch's; the reference: transformers' own",
            SMALL,
            "after 500 steps of MLM the loss differs by a tenth of its standard deviation over three seeds",
        )
