"""Names of artificial diseases, genes and chemicals, made of syllables so that WordPiece splits them.

Three signals of unequal strength distinguish the kinds, so that a model has something to learn and something to get
wrong: most names end in a suffix of their kind, genes are written in capitals with a digit, and a part of each kind
("plain" names) can be recognised by its context only.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

KINDS = ("disease", "gene", "chemical")

ONSETS = ("b", "br", "d", "dr", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "tr", "v", "z")
VOWELS = ("a", "e", "i", "o", "u")
CODAS = ("", "l", "m", "n", "r", "s", "x")

DISEASE_SUFFIXES = ("itis", "oma", "osis", "emia", "pathy", "plegia")
CHEMICAL_SUFFIXES = ("ine", "ol", "azole", "amide", "statin", "ide")
DISEASE_HEADS = ("disease", "syndrome", "deficiency", "dystrophy")
DISEASE_ADJECTIVES = ("hereditary", "chronic", "juvenile", "sporadic")

PLAIN_SHARE = 0.2
HELD_OUT_SHARE = 0.25


@dataclass(frozen=True)
class Name:
    """A name: its text (words separated by one space), its kind and its synonyms."""

    text: str
    kind: str
    synonyms: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The name split at spaces."""
        return self.text.split(" ")


@dataclass
class Lexicon:
    """All names of the language, and the two relations between them that its sentences state.

    `familiar` names may be in training data; `held_out` ones are for test data, where they make up about half of the
    mentions, so that a model that memorised names does not get everything right.
    """

    syllables: list[str]
    familiar: dict[str, list[Name]] = field(default_factory=dict)
    held_out: dict[str, list[Name]] = field(default_factory=dict)
    causes: dict[str, Name] = field(default_factory=dict)
    treatments: dict[str, Name] = field(default_factory=dict)

    def names(self, kind: str) -> list[Name]:
        """Every name of a kind."""
        return self.familiar[kind] + self.held_out[kind]


def make_lexicon(seed: int, names_per_kind: int = 80) -> Lexicon:
    """Return the names of a seed; `causes` and `treatments` give each disease its gene and its chemical."""
    generator = random.Random(f"{seed}:names")
    drawn = {"".join(map(generator.choice, (ONSETS, VOWELS, CODAS))) for _ in range(150)}
    syllables = sorted(drawn)[:90]
    generator.shuffle(syllables)
    lexicon = Lexicon(syllables=sorted(syllables))
    taken: set[str] = set()
    makers = {"disease": _disease, "gene": _gene, "chemical": _chemical}
    for kind in KINDS:
        names: list[Name] = []
        while len(names) < names_per_kind:
            name = makers[kind](generator, syllables)
            # "chronic X" beside "X" would make a span of one the part of another
            stem = name.words[0] if kind != "disease" else max(name.words, key=lambda w: w not in DISEASE_HEADS)
            keys = {stem.lower(), *(word.lower() for word in name.synonyms)}
            if taken.isdisjoint(keys):
                taken |= keys
                names.append(name)
        cut = round(len(names) * HELD_OUT_SHARE)
        lexicon.held_out[kind], lexicon.familiar[kind] = names[:cut], names[cut:]
    for disease in lexicon.names("disease"):
        lexicon.causes[disease.text] = generator.choice(lexicon.names("gene"))
        lexicon.treatments[disease.text] = generator.choice(lexicon.names("chemical"))
    return lexicon


def _plain(generator: random.Random, syllables: list[str]) -> str:
    """Return a name whose form does not show its kind."""
    return "".join(generator.sample(syllables, 2)) + generator.choice(("al", "an", "ar"))


def _disease(generator: random.Random, syllables: list[str]) -> Name:
    """Return a disease: with a suffix, with an adjective, with a head word, or plain."""
    form = generator.random()
    stem = "".join(generator.sample(syllables, generator.choice((1, 2))))
    if form < PLAIN_SHARE:
        return Name(_plain(generator, syllables), "disease")
    word = stem + generator.choice(DISEASE_SUFFIXES)
    if form < 0.6:
        return Name(word, "disease")
    if form < 0.75:
        return Name(f"{generator.choice(DISEASE_ADJECTIVES)} {word}", "disease")
    eponym = "".join(generator.sample(syllables, 2)).capitalize()
    head = generator.choice(DISEASE_HEADS)
    abbreviation = (eponym[0] + eponym[len(eponym) // 2] + head[0] + head[-1]).upper()
    return Name(f"{eponym} {head}", "disease", (abbreviation,))


def _gene(generator: random.Random, syllables: list[str]) -> Name:
    """Return a gene: capitals and a digit, or plain."""
    if generator.random() < PLAIN_SHARE:
        return Name(_plain(generator, syllables), "gene")
    stem = "".join(generator.sample(syllables, generator.choice((1, 2))))[:5]
    digit = generator.randint(1, 9)
    return Name(f"{stem.upper()}{digit}", "gene", (f"{stem.capitalize()}-{digit}",))


def _chemical(generator: random.Random, syllables: list[str]) -> Name:
    """Return a chemical: with a suffix, or plain."""
    if generator.random() < PLAIN_SHARE:
        return Name(_plain(generator, syllables), "chemical")
    stem = "".join(generator.sample(syllables, 2))
    return Name(stem + generator.choice(CHEMICAL_SUFFIXES), "chemical")
