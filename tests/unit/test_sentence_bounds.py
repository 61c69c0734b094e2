"""Sentence boundaries by rule."""

import pytest

from compactbio.tasks.sentence_bounds import find_sentences


def split(text: str, keep_whole: tuple = ()) -> list[str]:
    spans, _ = find_sentences(text, keep_whole)
    return [text[start:end] for start, end in spans]


@pytest.mark.parametrize(
    "sentences",
    [
        ["It rose by 0.5 mM.", "The cells died."],
        ["A title without full stop", "RATIONALE: It begins here."],
        ["Binding of protein kinase C.", "These data agree."],
        ["It was seen (p < 0.05).", "5-HT fell."],
        ['He said "no."', "We said yes."],
        ["It was injected i.p.", "The rats slept."],
        ["It acts on mTOR.", "p53 was not changed.", "α-Tocopherol was."],
        ["Is it so?", "It is!", "[3H]-GABA bound."],
        ["A drug for CF.", "(-)-Nicotine too."],
    ],
)
def test_boundaries_are_found(sentences: list[str]) -> None:
    assert split(" ".join(sentences[:1]) + "\t" + " ".join(sentences[1:])) == sentences
    if "RATIONALE" not in sentences[1]:
        assert split(" ".join(sentences)) == sentences


@pytest.mark.parametrize(
    "sentence",
    [
        "Inhibitors (e.g. Aspirin) act.",
        "As shown by Smith et al. 2003 in Fig. 2 it is so.",
        "Infection by S. Typhimurium and of E. Coli.",
        "It is approved by the U.S. Food and Drug Administration.",
        "A dose of 2 mg i.v. LPS was given.",
        "It fell vs. Control (P < 0. 05) there.",
        "It is enzyme no. 5 of them.",
        "It is 5.6 versus 7.8 nM.",
        "at approx. 5 h",
    ],
)
def test_abbreviations_end_no_sentence(sentence: str) -> None:
    assert split(sentence) == [sentence]


def test_spans_cover_everything_but_white_space() -> None:
    text = "  One. Two is\there?\n\nAnd 3.  "
    spans, _ = find_sentences(text)
    assert [text[start:end] for start, end in spans] == ["One.", "Two is", "here?", "And 3."]
    outside = set(range(len(text))) - {place for start, end in spans for place in range(start, end)}
    assert all(text[place].isspace() for place in outside)


def test_a_boundary_inside_a_mention_is_given_up_and_counted() -> None:
    text = "It binds factor X. A domain only. End."
    start = text.index("factor")
    spans, joined = find_sentences(text, [(start, start + len("factor X. A domain"))])
    assert [text[a:b] for a, b in spans] == ["It binds factor X. A domain only.", "End."]
    assert joined == 1
