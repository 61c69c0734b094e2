"""Tiny starting points with random weights and their vocabularies, in the forms in which real ones are published."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compactbio.miniature.language import common_words
from compactbio.miniature.vocabulary import CHEMICAL_SUFFIXES, DISEASE_SUFFIXES, Lexicon

# the positions of the special tokens in BERT's published files: [PAD], 99 unused, then these
SPECIAL_TOKENS = ["[PAD]", *(f"[unused{index}]" for index in range(1, 100)), "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
MASKED_NAMES = ["@GENE$", "@DISEASE$", "@CHEMICAL$"]
# words and single punctuation marks, as BERT splits a text first
WORDS = re.compile(r"\w+|[^\w\s]")
# BERT's own configuration keys; the files of 2019 hold these and no model_type
OLD_CONFIG_KEYS = (
    *("attention_probs_dropout_prob", "hidden_act", "hidden_dropout_prob", "hidden_size", "initializer_range"),
    *("intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers"),
    *("type_vocab_size", "vocab_size"),
)


@dataclass(frozen=True)
class StartingPoint:
    """A checkpoint of the miniature: architecture, tokenizer (cased or uncased), and transformers' keys of its shape.

    The old form is config.json without model_type, pickled weights and vocab.txt, nothing else (as BioBERT's); the
    other is safetensors with tokenizer files.
    """

    architecture: str
    tokenizer: str
    shape: dict[str, Any]
    old_form: bool = False


# BERT's 0.02 goes with 768 values; so narrow a network stays on its first plateau with it for the whole demo
_SPREAD = {"initializer_range": 0.06}
_BERT = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, **_SPREAD}
_DISTILBERT = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, **_SPREAD}
_MOBILEBERT = {
    **_BERT,
    **{"intermediate_size": 64, "embedding_size": 32, "intra_bottleneck_size": 32, "num_feedforward_networks": 2},
    # the published model scales without normalising, which takes thousands of steps to start learning
    "normalization_type": "layer_norm",
}
STARTING_POINTS = {
    "biobert": StartingPoint("bert", "cased", _BERT, old_form=True),
    "distilbert-cased": StartingPoint("distilbert", "cased", _DISTILBERT),
    "distilbert-uncased": StartingPoint("distilbert", "uncased", _DISTILBERT),
    "tinybert": StartingPoint("bert", "uncased", {**_BERT, "hidden_size": 48}, old_form=True),
    "mobilebert": StartingPoint("mobilebert", "uncased", _MOBILEBERT),
}


def write_checkpoint(folder: Path, point: StartingPoint, vocabulary: list[str], seed: int) -> int:
    """Write a starting point's folder and return the number of its parameters."""
    import torch

    from compactbio.students.models import quiet_transformers, random_masked_lm
    from compactbio.students.tokenizers import build_tokenizer, save_tokenizer

    folder.mkdir(parents=True)
    vocab_file = folder / "vocab.txt"
    vocab_file.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8")
    model = random_masked_lm(point.architecture, point.shape, len(vocabulary), seed=seed)
    if point.old_form:
        config = {key: getattr(model.config, key) for key in OLD_CONFIG_KEYS}
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        weights = {name: weight.clone() for name, weight in model.state_dict().items()}
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        with quiet_transformers():
            model.save_pretrained(folder)
        save_tokenizer(build_tokenizer(vocab_file, lower_case=point.tokenizer == "uncased"), folder)
    return sum(weight.numel() for weight in model.parameters())


def make_wordpieces(texts: Iterable[str], lexicon: Lexicon, *, lower_case: bool, words: int = 420) -> list[str]:
    """Return the vocabulary, a token an id: special tokens, characters, syllables, the commonest words.

    The construction is our own, since the trainer of `tokenizers` breaks ties in the order of a hash map: two runs
    would not give the same bytes. Words of names are left out, so that names are split into syllables; characters are
    there at the start and inside a word, so that nothing of the alphabet becomes [UNK].
    """
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(WORDS.findall(normalise(text) if lower_case else text))
    in_names = {
        part.lower()
        for names in (*lexicon.familiar.values(), *lexicon.held_out.values())
        for name in names
        for text in (name.text, *name.synonyms)
        for part in re.findall(r"\w+", text)
        if not part.isdigit() and any(part.lower().startswith(syllable) for syllable in lexicon.syllables)
    }
    # the words that stand for masked names in relation data
    common = [*MASKED_NAMES, *common_words()]
    always = [piece for word in common for piece in WORDS.findall(word.lower() if lower_case else word)]
    counts.update(always)
    characters = sorted({character for word in counts for character in word})
    letters = [character for character in characters if character.isalnum()]
    syllables = lexicon.syllables
    upper = [] if lower_case else [syllable.upper() for syllable in syllables]
    capitals = [] if lower_case else [syllable.capitalize() for syllable in syllables]
    frequent = [
        word
        for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if count > 1 and len(word) > 1 and word.lower() not in in_names
    ][:words]
    inside = [f"##{part}" for part in (*syllables, *upper, *DISEASE_SUFFIXES, *CHEMICAL_SUFFIXES)]
    pieces = [*SPECIAL_TOKENS, *characters, *(f"##{letter}" for letter in letters), *always, *frequent]
    return list(dict.fromkeys([*pieces, *syllables, *capitals, *upper, *inside]))


def normalise(text: str) -> str:
    """Return the text as BERT's uncased tokenizer sees it: lower case, without accents."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
