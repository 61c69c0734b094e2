"""Tokenizers of the kinds that are published beside WordPiece: byte-level BPE and Unigram, learnt from given texts.

The learning is our own, as that of WordPiece is: the trainers of `tokenizers` break ties in the order of a hash map,
so two runs would not give the same bytes.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

from compactbio.miniature.checkpoints import WORDS
from compactbio.miniature.language import common_words
from compactbio.miniature.vocabulary import CHEMICAL_SUFFIXES, DISEASE_SUFFIXES, Lexicon

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# RoBERTa's special tokens, and BERT's, which ModernBERT and ALBERT have, by their keys in tokenizer_config.json
ROBERTA = {
    **{"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "mask_token": "<mask>"},
    **{"cls_token": "<s>", "sep_token": "</s>"},
}
BERT = {
    **{"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
    "mask_token": "[MASK]",
}
SPACE = "▁"  # SentencePiece's sign of a blank, with which a word begins


def byte_level_bpe(texts: Iterable[str], special: Mapping[str, str], merges: int = 800) -> Tokenizer:
    """Return a byte-level BPE of a number of merges (Sennrich et al. 2016; bytes as in GPT-2), framed.

    The commonest pair is merged first; of equally common ones the first by its code points.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    split = pre_tokenizers.ByteLevel(add_prefix_space=False)
    counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(text))
    words = {word: list(word) for word in counts}
    learnt: list[tuple[str, str]] = []
    for _ in range(merges):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in words.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        learnt.append(best)
        words = {word: _merged(parts, best) for word, parts in words.items()}
    tokens = [
        *dict.fromkeys(special.values()),
        *sorted(split.alphabet()),
        *(first + second for first, second in learnt),
    ]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocabulary, learnt))
    tokenizer.pre_tokenizer = split
    tokenizer.decoder = decoders.ByteLevel()
    _add_special_tokens(tokenizer, special)
    return tokenizer


def unigram(texts: Iterable[str], special: Mapping[str, str], lexicon: Lexicon) -> Tokenizer:
    """Return a Unigram of lower-cased text without accents, as ALBERT's is, framed.

    Its pieces are characters, the syllables of names and the words that are no names, as probable as they are common;
    it is not learnt by expectation maximisation.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

    normaliser = normalizers.Sequence([normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()])
    counts = Counter(word for text in texts for word in WORDS.findall(normaliser.normalize_str(text)))
    total = counts.total()
    # rarer than any word: what is no word falls into syllables, and what is none of these into characters
    known = {*string.digits, *string.ascii_lowercase, *string.punctuation}
    characters = dict.fromkeys((SPACE, *sorted(known.union(*counts))), 0.01)
    parts = [*(part for one in lexicon.syllables for part in (one, SPACE + one)), *DISEASE_SUFFIXES, *CHEMICAL_SUFFIXES]
    syllables = dict.fromkeys(parts, 0.1)
    whole = (word.lower() for word in common_words())
    common = {SPACE + word: float(counts[word]) for word in whole if counts[word] > 1}
    pieces = [(piece, math.log(count / total)) for piece, count in (characters | syllables | common).items()]
    unknown = list(special).index("unk_token")
    tokenizer = Tokenizer(models.Unigram([*((token, 0.0) for token in special.values()), *pieces], unk_id=unknown))
    tokenizer.normalizer = normaliser
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    _add_special_tokens(tokenizer, special, ":1")
    return tokenizer


def _merged(parts: list[str], pair: tuple[str, str]) -> list[str]:
    """Return the parts of a word with each occurrence of a pair, from the left, made one."""
    made: list[str] = []
    place = 0
    while place < len(parts):
        both = tuple(parts[place : place + 2]) == pair
        made.append("".join(pair) if both else parts[place])
        place += 1 + both
    return made


def _add_special_tokens(tokenizer: Tokenizer, special: Mapping[str, str], second: str = "") -> None:
    """Have a tokenizer know its special tokens and set them around a text and a pair.

    `second` is ":1" where the second text of a pair has token type 1.
    """
    from tokenizers import processors

    tokenizer.add_special_tokens(list(dict.fromkeys(special.values())))
    ids = tokenizer.get_vocab()
    first, last = ((special[key], ids[special[key]]) for key in ("cls_token", "sep_token"))
    if special is ROBERTA:
        tokenizer.post_processor = processors.RobertaProcessing(last, first, trim_offsets=True, add_prefix_space=False)
        return
    single = f"{first[0]} $A {last[0]}"
    pair = f"{single} $B{second} {last[0]}{second}"
    tokenizer.post_processor = processors.TemplateProcessing(single=single, pair=pair, special_tokens=[first, last])
