"""Named entities in the artificial language, in other forms than BioBERT's: brat's spans and CoNLL's columns.

A function returns {path in the folder: content} and the counts of its data.
"""

from __future__ import annotations

import random

from compactbio.miniature.benchmark_files import Counts, Files, pool_of
from compactbio.miniature.language import Mention, Sentence, random_sentence
from compactbio.miniature.vocabulary import Lexicon

TYPES = {"D": "Disease", "G": "Gene", "C": "Chemical"}  # by the first letter of a slot
SPLITS = (("train", "train"), ("validation", "devel"), ("test", "test"))


def make_brat(
    lexicon: Lexicon, seed: int, documents: dict[str, int], types: tuple[str, ...] = ("Disease", "Chemical")
) -> tuple[Files, Counts]:
    """Return NAME.txt and NAME.ann of a folder a split; all entities are annotated, those of `types` are counted.

    A document is a title and some sentences. Some have an annotation in two parts, as people make them of names that
    share a word, and all have a relation and a note, which are no entities.
    """
    generator = random.Random(f"{seed}:brat")
    files: Files = {}
    counts: Counts = {}
    number = 22_000_001
    for split, folder in SPLITS:
        entities = 0
        for index in range(documents[split]):
            sentences = [random_sentence(lexicon, pool_of(lexicon, split), generator) for _ in range(4)]
            text, found = _joined(sentences)
            kept = [mention for mention in found if TYPES[mention[0].slot[0]] in types]
            lines = [
                f"T{place}\t{TYPES[mention.slot[0]]} {start} {end}\t{text[start:end]}"
                for place, (mention, start, end) in enumerate(found, start=1)
            ]
            lines += ["#1\tAnnotatorNotes T1\tgenerated"] if lines else []
            if index % 8 == 0 and len(kept) > 1:
                (_, start, end), (_, start2, end2) = kept[:2]
                lines.append(f"T99\tDisease {start} {end};{start2} {end2}\t{text[start:end]} {text[start2:end2]}")
            files[f"{folder}/{number}.txt"] = text.encode()
            files[f"{folder}/{number}.ann"] = "".join(f"{line}\n" for line in lines).encode()
            entities += len(kept)
            number += 1
        counts[split] = {"entities": entities}
    return files, counts


def _joined(sentences: list[Sentence]) -> tuple[str, list[tuple[Mention, int, int]]]:
    """Return a document, the first sentence its title on a line, and each mention with its characters there."""
    text, found = "", []
    for place, sentence in enumerate(sentences):
        text += ("", "\n", " ", " ")[min(place, 3)]
        found += [(mention, len(text) + mention.start, len(text) + mention.end) for mention in sentence.mentions]
        text += sentence.text
    return f"{text}\n", found


def make_columns(
    lexicon: Lexicon, seed: int, sentences: dict[str, int], types: tuple[str, ...] = ("Gene", "Chemical")
) -> tuple[Files, Counts]:
    """Return files of CoNLL's four columns, parted by blanks, with tags in BIOES of several types."""
    generator = random.Random(f"{seed}:columns")
    files: Files = {}
    counts: Counts = {}
    for split, file in SPLITS:
        drawn = [random_sentence(lexicon, pool_of(lexicon, split), generator) for _ in range(sentences[split])]
        blocks = ["-DOCSTART- -X- -X- O\n\n"]
        entities = 0
        for sentence in drawn:
            tags = ["O"] * len(sentence.words)
            for mention in sentence.mentions:
                if (kind := TYPES[mention.slot[0]]) in types:
                    inside = mention.last - mention.first - 2
                    letters = ["S"] if inside < 0 else ["B", *"I" * inside, "E"]
                    tags[mention.first : mention.last] = [f"{letter}-{kind}" for letter in letters]
                    entities += 1
            lines = (f"{word} NN O {tag}\n" for word, tag in zip(sentence.words, tags, strict=True))
            blocks.append("".join(lines) + "\n")
        files[f"{file}.txt"] = "".join(blocks).encode()
        counts[split] = {"sentences": len(drawn), "entities": entities}
    return files, counts
