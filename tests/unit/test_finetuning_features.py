"""Features of the three kinds of task against cases worked out by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
from helpers.finetuning import VOCABULARY, write_tokenizer

from compactbio.errors import UserError
from compactbio.finetuning.features import IGNORED, Feature, PieceTokenizer, collate
from compactbio.finetuning.kinds import re
from compactbio.finetuning.kinds.context_windows import context_windows, window_ranges
from compactbio.finetuning.kinds.word_windows import join_words, split_words, window_of_words, word_windows
from compactbio.tasks.rows import Rows


@pytest.fixture
def tokenizer(tmp_path):
    write_tokenizer(tmp_path)
    return PieceTokenizer(tmp_path)


def ids(text: str) -> list[int]:
    return [VOCABULARY.index(token) for token in text.split()]


def test_words_become_pieces_and_every_piece_has_its_words_label(tokenizer):
    made = word_windows([["The", "fluxy", "cell"]], [[0, 1, 0]], tokenizer, 32, "all")
    (feature,) = made.features
    assert feature.ids.tolist() == ids("[CLS] the flu ##x ##y cell [SEP]")
    assert feature.targets["labels"].tolist() == [IGNORED, 0, 1, 1, 1, 0, IGNORED]
    assert made.origin.piece_words[0].tolist() == [-1, 0, 1, 1, 1, 2, -1]


def test_first_piece_only(tokenizer):
    made = word_windows([["The", "fluxy", "cell"]], [[0, 1, 0]], tokenizer, 32, "first")
    assert made.features[0].targets["labels"].tolist() == [IGNORED, 0, 1, IGNORED, IGNORED, 0, IGNORED]


def test_words_without_pieces_shift_nothing_and_are_outside(tokenizer):
    # a zero-width space and a control character vanish in BERT's normaliser
    sentences = [["\u200b", "flux", "\x00", "cell"], ["\u200b"], [], ["gene"]]
    made = word_windows(sentences, [[0, 1, 0, 0], [1], [], [2]], tokenizer, 32, "all")
    assert made.notes == {"split_sentences": 0, "cut_words": 0, "empty_words": 3, "empty_sentences": 2}
    assert [feature.targets["labels"].tolist() for feature in made.features] == [
        [IGNORED, 1, 1, 0, IGNORED],
        [IGNORED, 2, IGNORED],
    ]
    assert made.origin.sentence_offsets.tolist() == [0, 4, 5, 5, 6]
    labels = [np.array([0, 1, 2, 0, 0]), np.array([0, 2, 0])]
    scores = [np.array([0.1, 0.2, 0.3, 0.4, 0.5]), np.array([0.1, 0.6, 0.1])]
    words = join_words(made.origin, labels, scores, outside=0)
    assert words.labels.tolist() == [0, 1, 0, 0, 0, 2]
    assert words.scores.tolist() == pytest.approx([0, 0.2, 0, 0.4, 0, 0.6])
    assert words.piece_words.tolist() == [1, 1, 3, 5]
    assert words.piece_labels.tolist() == [1, 2, 0, 2]


@pytest.mark.parametrize("seed", range(30))
def test_windows_give_every_word_exactly_one_prediction(tokenizer, seed):
    draw = random.Random(seed)
    words = [draw.choice(["the", "fluxy", "abcde", "\u200b", "cell"]) for _ in range(draw.randint(1, 60))]
    length = draw.randint(8, 20)
    made = word_windows([words], [[i % 3 for i in range(len(words))]], tokenizer, length, "all")
    assert all(len(feature.ids) <= length for feature in made.features)
    owned = np.concatenate([origin[origin >= 0] for origin in made.origin.piece_words] or [np.empty(0)])
    sizes = {"the": 1, "fluxy": 3, "abcde": 4, "\u200b": 0, "cell": 1}
    assert np.bincount(owned.astype(int), minlength=len(words)).tolist() == [sizes[word] for word in words]
    for feature, origin in zip(made.features, made.origin.piece_words, strict=True):
        expected = [IGNORED if word < 0 else word % 3 for word in origin]
        assert feature.targets["labels"].tolist() == expected
    # each piece predicts its word's number: joined, the words come back in order
    predicted = join_words(
        made.origin, made.origin.piece_words, [np.ones(len(o)) for o in made.origin.piece_words], outside=-5
    )
    assert predicted.labels.tolist() == [n if sizes[word] else -5 for n, word in enumerate(words)]


def test_split_words_by_hand():
    lengths = np.array([3, 3, 3, 3, 3])
    assert split_words(lengths, 12) == [(0, 4), (3, 5)]
    # word 3 is shown whole in both; its pieces have 9 before them in the first window, none after; in the
    # second none before, so the shorter sides are equal (0) and the earlier window keeps it
    assert window_of_words(lengths, [(0, 4), (3, 5)]).tolist() == [0, 0, 0, 0, 1]


def test_a_word_longer_than_the_room_is_cut_and_still_predicted(tokenizer):
    made = word_windows([["cell", "abcde", "cell"]], [[0, 1, 0]], tokenizer, 5, "all")
    owned = np.concatenate([origin[origin >= 0] for origin in made.origin.piece_words])
    assert sorted(set(owned.tolist())) == [0, 1, 2]
    assert all(len(feature.ids) <= 5 for feature in made.features)
    assert made.notes["cut_words"] == 1


def sentence_features(sentence, tokenizer, max_length):
    rows = Rows({"sentence": [sentence]}, None)
    return re.KIND.make_features(rows, [1], tokenizer, {"max_length": max_length}, has_answers=True)


def test_sentences_keep_markers_as_plain_text_and_are_cut_at_the_limit(tokenizer):
    made = sentence_features("@GENE$ binds the cell", tokenizer, 32)
    assert made.features[0].ids.tolist() == ids("[CLS] @ gene $ binds the cell [SEP]")
    cut = sentence_features("@GENE$ binds the cell", tokenizer, 6)
    assert cut.features[0].ids.tolist() == ids("[CLS] @ gene $ binds [SEP]")
    assert (made.notes, cut.notes) == ({"truncated": 0}, {"truncated": 1})
    assert cut.features[0].targets["labels"].item() == 1


def test_added_tokens_are_one_piece_each_and_found_as_they_are_written(tmp_path):
    write_tokenizer(tmp_path)
    added = PieceTokenizer(tmp_path, ["@GENE$", "@DISEASE$", "cell"])
    made = sentence_features("@GENE$ binds the@DISEASE$ Cell @gene$", added, 32)
    gene, disease = len(VOCABULARY), len(VOCABULARY) + 1
    plain = ids("[CLS] binds the cell @ gene $ [SEP]")
    assert made.features[0].ids.tolist() == [plain[0], gene, *plain[1:3], disease, *plain[3:]]
    assert added.vocabulary == len(VOCABULARY) + 2  # `cell` is in the vocabulary already
    assert PieceTokenizer(tmp_path).vocabulary == len(VOCABULARY)


def test_window_ranges_by_hand():
    assert window_ranges(10, 6, 2) == [(0, 6), (4, 10)]
    assert window_ranges(11, 6, 2) == [(0, 6), (4, 10), (8, 11)]
    assert window_ranges(6, 6, 2) == [(0, 6)]
    assert window_ranges(0, 6, 2) == []


def test_question_windows_and_answer_positions(tokenizer):
    context = "the cell is in the gene of abcde cell"
    answer = {"text": ["abcde"], "answer_start": [context.index("abcde")]}
    made = context_windows(["who binds ?"], [context], [answer], tokenizer, 13, 2)
    # room beside [CLS] who binds ? [SEP] and [SEP]: 7 pieces; 12 context pieces, neighbours share 2
    assert [feature.ids.tolist() for feature in made.features] == [
        ids("[CLS] who binds ? [SEP] the cell is in the gene of [SEP]"),
        ids("[CLS] who binds ? [SEP] gene of ab ##c ##d ##e cell [SEP]"),
    ]
    targets = [(feature.targets["start"].item(), feature.targets["end"].item()) for feature in made.features]
    assert targets == [(0, 0), (7, 10)]
    assert {feature.first_segment for feature in made.features} == {5}


def test_offsets_are_whole_words_of_the_context(tokenizer):
    context = "Thé  fluxy-cell (abcde)"
    made = context_windows(["who ?"], [context], None, tokenizer, 32, 4)
    (pieces,) = made.origin
    texts = [context[a:b] for a, b in zip(pieces.starts, pieces.ends, strict=True)]
    assert texts == ["Thé", *["fluxy"] * 3, "-", "cell", "(", *["abcde"] * 4, ")"]
    assert pieces.begin == made.features[0].first_segment


def test_misplaced_and_missing_answers_train_as_unanswerable(tokenizer):
    answers = [
        {"text": ["gene"], "answer_start": [1]},
        {"text": [], "answer_start": []},
        {"text": ["gene"], "answer_start": [4]},
    ]
    made = context_windows(["who ?"] * 3, ["the gene"] * 3, answers, tokenizer, 16, 2)
    assert made.notes["misplaced_answers"] == 1
    assert [feature.targets["start"].item() for feature in made.features] == [0, 0, 5]


def test_long_questions_leave_room_for_context(tokenizer):
    made = context_windows(["who " * 50], ["the cell " * 20], None, tokenizer, 20, 4)
    assert made.notes["cut_questions"] == 1
    assert all(len(feature.ids) <= 20 for feature in made.features)
    covered = {(a, b) for pieces in made.origin for a, b in zip(pieces.starts, pieces.ends, strict=True)}
    assert len(covered) == 40
    with pytest.raises(UserError, match="stride"):
        context_windows(["who"], ["cell"], None, tokenizer, 10, 4)


def test_empty_context_has_no_window(tokenizer):
    assert context_windows(["who"], [" "], None, tokenizer, 16, 2).features == []


def test_collate_pads_to_the_longest():
    features = [
        Feature(np.array([2, 9, 3]), 3, {"labels": np.array([-100, 1, -100])}),
        Feature(np.array([2, 9, 3, 8, 3]), 3, {"labels": np.array([-100, 1, 1, 0, -100])}),
    ]
    batch = collate(features, 0, token_types=True)
    assert batch["input_ids"].tolist() == [[2, 9, 3, 0, 0], [2, 9, 3, 8, 3]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    assert batch["token_type_ids"].tolist() == [[0] * 5, [0, 0, 0, 1, 1]]
    assert batch["labels"][0].tolist() == [-100, 1, -100, -100, -100]
    assert "token_type_ids" not in collate(features, 0, token_types=False)


def test_tokenizer_refuses_a_length_it_does_not_have(tmp_path):
    write_tokenizer(tmp_path, model_max_length=24)
    tokenizer = PieceTokenizer(tmp_path)
    tokenizer.require_length(24)
    with pytest.raises(UserError, match=r"max_length is 32.*tokenizer_config.json.*24"):
        tokenizer.require_length(32)
    with pytest.raises(UserError, match=r"tokenizer.json is missing"):
        PieceTokenizer(tmp_path / "nothing")
