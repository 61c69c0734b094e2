"""WordPiece vocabularies of the artificial language, cased and uncased, laid out as BERT's files.

The construction is our own, since the trainer of `tokenizers` breaks ties in the order of a hash map: two
runs would not give the same bytes.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from compactbio.miniature.language import common_words
from compactbio.miniature.vocabulary import CHEMICAL_SUFFIXES, DISEASE_SUFFIXES, Lexicon

# the positions of the special tokens in BERT's published files: [PAD], 99 unused, then these
SPECIAL_TOKENS = [
    "[PAD]",
    *(f"[unused{index}]" for index in range(1, 100)),
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
]
MASKED_NAMES = ["@GENE$", "@DISEASE$", "@CHEMICAL$"]
# words and single punctuation marks, as BERT splits a text first
WORDS = re.compile(r"\w+|[^\w\s]")


def make_wordpieces(texts: Iterable[str], lexicon: Lexicon, *, lower_case: bool, words: int = 420) -> list[str]:
    """Return the vocabulary, a token an id: special tokens, characters, syllables, the commonest words.

    Words of names are left out, so that names are split into syllables; characters are there at the start and
    inside a word, so that nothing of the alphabet becomes [UNK].
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
    syllables = list(lexicon.syllables)
    capitals = [] if lower_case else [syllable.capitalize() for syllable in syllables]
    upper = [] if lower_case else [syllable.upper() for syllable in syllables]
    frequent = [
        word
        for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        if count > 1 and len(word) > 1 and word.lower() not in in_names
    ][:words]
    pieces = [
        *SPECIAL_TOKENS,
        *characters,
        *(f"##{letter}" for letter in letters),
        *always,
        *frequent,
        *syllables,
        *capitals,
        *upper,
        *(f"##{syllable}" for syllable in (*syllables, *upper)),
        *(f"##{suffix}" for suffix in (*DISEASE_SUFFIXES, *CHEMICAL_SUFFIXES)),
    ]
    return list(dict.fromkeys(pieces))


def normalise(text: str) -> str:
    """Return the text as BERT's uncased tokenizer sees it: lower case, without accents."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    return "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
