"""Sentences of the artificial language: templates with slots, filled with names and common words.

A template is a string of words separated by spaces, punctuation apart, as the tagged files have it. A slot
{D}, {G} or {C} is a disease, gene or chemical ({D2} another one); a slot in lower case is a common word.
The template's group states the meaning: an association or none, a class of interaction, a question.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from compactbio.miniature.vocabulary import Lexicon, Name

FILLERS: dict[str, tuple[str, ...]] = {
    "cohort": ("patients", "children", "adults", "a small cohort", "two families", "healthy volunteers"),
    "tissue": ("liver", "kidney", "brain", "muscle", "skin", "lung", "cultured cells"),
    "animal": ("mice", "rats", "zebrafish", "rabbits"),
    "method": ("sequencing", "western blot", "flow cytometry", "microscopy", "mass spectrometry"),
    "number": ("12", "24", "36", "48", "120", "250"),
    "percent": ("5 %", "12 %", "38 %", "71 %"),
    "value": ("0.05", "0.01", "0.001"),
    "outcome": ("survival", "progression", "relapse", "recovery", "onset"),
    "dose": ("a low dose", "a high dose", "repeated doses", "10 mg/kg"),
}
KIND_OF_SLOT = {"D": "disease", "G": "gene", "C": "chemical"}

ASSOCIATED = (
    "The {G} polymorphism is strongly associated with {D} in {cohort} .",
    "Variants of the {G} gene contribute to {D} susceptibility .",
    "Our results suggest that {G} increases the risk of {D} in {cohort} .",
    "The {G} genotype predicts {D} {outcome} in {cohort} .",
    "We found a significant association between {G} and {D} ( p < {value} ) .",
    "Mutations in {G} confer a high risk of {D} .",
)
NOT_ASSOCIATED = (
    "The {G} polymorphism is not associated with {D} in {cohort} .",
    "Variants of the {G} gene were unrelated to {D} susceptibility .",
    "Our results exclude {G} as a risk factor of {D} in {cohort} .",
    "The {G} genotype had no effect on {D} {outcome} in {cohort} .",
    "We found no association between {G} and {D} ( p > {value} ) .",
    "Expression of {G} was measured in {number} {cohort} with {D} by {method} .",
)
# class of the evaluation -> (name in the relation table, template)
INTERACTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "CPR:3": (
        ("ACTIVATOR", "{C} activates {G} in {tissue}"),
        ("ACTIVATOR", "{C} strongly activates {G}"),
        ("INDIRECT-UPREGULATOR", "{C} increases the expression of {G}"),
    ),
    "CPR:4": (
        ("INHIBITOR", "{C} inhibits {G} in {tissue}"),
        ("INHIBITOR", "{C} strongly inhibits {G}"),
        ("INDIRECT-DOWNREGULATOR", "{C} decreases the expression of {G}"),
    ),
    "CPR:5": (("AGONIST", "{C} is a selective agonist of {G}"), ("AGONIST", "{C} acts as {G} agonist in {tissue}")),
    "CPR:6": (
        ("ANTAGONIST", "{C} is a selective antagonist of {G}"),
        ("ANTAGONIST", "{C} acts as {G} antagonist in {tissue}"),
    ),
    "CPR:9": (("SUBSTRATE", "{C} is metabolized by {G} in {tissue}"), ("SUBSTRATE", "{C} is a substrate of {G}")),
}
OTHER_INTERACTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "CPR:1": (("PART-OF", "{C} is a part of {G}"),),
    "CPR:2": (("DIRECT-REGULATOR", "{C} binds to {G} in {tissue}"),),
    "CPR:7": (("MODULATOR", "{C} modulates {G} in {tissue}"),),
    "CPR:8": (("COFACTOR", "{C} is a cofactor of {G}"),),
    "CPR:10": (("NOT", "{C} does not affect {G} in {tissue}"),),
}
INTERACTION_LEADS = ("We show that ", "In {animal} , ", "At {dose} , ", "As shown by {method} , ")
UNRELATED = (
    "{C} and {G} were measured in {tissue} of {number} {animal}",
    "{animal} lacking {G} received {dose} of {C}",
)
BACKGROUND = (
    "A total of {number} {cohort} with {D} were enrolled .",
    "{D} is a rare disorder of the {tissue} .",
    "{cohort} with {D} were treated with {C} for {number} weeks .",
    "Treatment with {C} improved {outcome} in {cohort} with {D} .",
    "{D} was diagnosed in {percent} of {cohort} .",
    "{cohort} with {D} or {D2} received {dose} of {C} .",
    "The {G} gene is expressed in {tissue} and {C} reduces its level .",
    "{G} encodes a protein of the {tissue} .",
    "Samples of {tissue} from {number} {animal} were studied by {method} .",
    "Side effects of {C} were mild in {percent} of {cohort} .",
    "The mechanism of {outcome} remains unclear .",
    "These data show that {animal} lacking {G} develop {D} .",
    "Symptoms of {D} and {D2} overlap in {cohort} .",
)
# type of the answer -> (question, sentence that answers it)
QUESTIONS: dict[str, tuple[tuple[str, str], ...]] = {
    "G": (
        ("Which gene is mutated in {D} ?", "{D} is caused by mutations in {G} and responds to {C} ."),
        ("Which gene is mutated in {D} ?", "Mutations in {G} cause {D} in {cohort} , and {C} is given ."),
    ),
    "C": (
        ("Which drug is used to treat {D} ?", "{C} is used to treat {D} in {cohort} with mutations in {G} ."),
        ("Which drug is used to treat {D} ?", "{D} , a disorder of {G} , responds to {C} ."),
    ),
    "D": (
        ("Which disease is treated with {C} ?", "{C} improves {outcome} in {D} , which is caused by {G} ."),
        ("Which disease is treated with {C} ?", "{cohort} with {D} and mutations in {G} received {C} ."),
    ),
}
NO_SPACE_BEFORE = {".", ",", ")", "?", ";", ":", "%"}
NO_SPACE_AFTER = {"("}


def common_words() -> list[str]:
    """Return every word of the language that is not a name, sorted, as templates and fillers write it."""
    classes = (*INTERACTIONS.values(), *OTHER_INTERACTIONS.values())
    texts = [*ASSOCIATED, *NOT_ASSOCIATED, *UNRELATED, *BACKGROUND, *INTERACTION_LEADS]
    texts += [template for pairs in classes for _, template in pairs]
    texts += [text for pairs in QUESTIONS.values() for pair in pairs for text in pair]
    texts += [filler for fillers in FILLERS.values() for filler in fillers]
    return sorted({word for text in texts for word in text.split(" ") if word and "{" not in word})


@dataclass(frozen=True)
class Mention:
    """A name in a sentence: its slot, its words [first, last) and its characters [start, end) of the text."""

    slot: str
    name: Name
    first: int
    last: int
    start: int
    end: int


@dataclass(frozen=True)
class Sentence:
    """A filled template: its words as the tagged files have them, and its text as a reader sees it."""

    words: tuple[str, ...]
    text: str
    mentions: tuple[Mention, ...]

    def mention(self, slot: str) -> Mention:
        """The mention that fills a slot."""
        return next(mention for mention in self.mentions if mention.slot == slot)


def pick_names(template: str, pool: dict[str, list[Name]], generator: random.Random) -> dict[str, Name]:
    """Return a name for every name slot of a template, all different."""
    chosen: dict[str, Name] = {}
    for slot in re.findall(r"\{([DGC]\d?)\}", template):
        candidates = [name for name in pool[KIND_OF_SLOT[slot[0]]] if name not in chosen.values()]
        chosen.setdefault(slot, generator.choice(candidates))
    return chosen


def fill(template: str, names: dict[str, Name], generator: random.Random) -> Sentence:
    """Return the sentence of a template with the given names and with common words drawn at random."""
    words: list[str] = []
    spans: list[tuple[str, int, int]] = []
    for part in template.split(" "):
        slot = part[1:-1]
        if not (part.startswith("{") and part.endswith("}")):
            words.append(part)
        elif slot in FILLERS:
            words += generator.choice(FILLERS[slot]).split(" ")
        else:
            spans.append((slot, len(words), len(words) + len(names[slot].words)))
            words += names[slot].words
    words[0] = words[0][0].upper() + words[0][1:]
    text, offsets = join_words(words)
    mentions = tuple(
        Mention(slot, names[slot], first, last, offsets[first][0], offsets[last - 1][1]) for slot, first, last in spans
    )
    return Sentence(tuple(words), text, mentions)


def join_words(words: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return the words as running text, and the characters [start, end) of each word in it."""
    text = ""
    offsets = []
    for index, word in enumerate(words):
        glued = index == 0 or word in NO_SPACE_BEFORE or words[index - 1] in NO_SPACE_AFTER
        text += word if glued else f" {word}"
        offsets.append((len(text) - len(word), len(text)))
    return text, offsets


def random_sentence(lexicon: Lexicon, pool: dict[str, list[Name]], generator: random.Random) -> Sentence:
    """Return a sentence of any group; facts about a disease name its own gene and its own chemical."""
    group = generator.random()
    if group < 0.3:
        template = generator.choice(BACKGROUND)
    elif group < 0.5:
        template = generator.choice(ASSOCIATED + NOT_ASSOCIATED)
    elif group < 0.8:
        chosen = generator.choice(list(INTERACTIONS) * 3 + list(OTHER_INTERACTIONS))
        template = generator.choice((INTERACTIONS | OTHER_INTERACTIONS)[chosen])[1] + " ."
    else:
        template = generator.choice(QUESTIONS[generator.choice("GCD")])[1]
    names = pick_names(template, pool, generator)
    if group >= 0.8:
        names["G"] = lexicon.causes[names["D"].text]
        names["C"] = lexicon.treatments[names["D"].text]
    return fill(template, names, generator)
