"""Windows over words and over contexts: nothing is lost, nothing is too long, and each word has its best place."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compactbio.finetuning.kinds.context_windows import window_ranges
from compactbio.finetuning.kinds.word_windows import OVERLAP, split_words, window_of_words

WORDS = st.lists(st.integers(0, 12), min_size=1, max_size=40).map(np.array)
ROOM = st.integers(1, 20)


@given(WORDS, ROOM)
def test_windows_of_words_cover_all_words_and_hold_at_most_their_room(lengths, room):
    windows = split_words(lengths, room)
    assert windows[0][0] == 0 and windows[-1][1] == len(lengths)
    for begin, end in windows:
        assert begin < end
        assert lengths[begin:end].sum() <= room or end - begin == 1
    for (begin, end), (next_begin, next_end) in itertools.pairwise(windows):
        assert begin < next_begin <= end < next_end  # they meet or overlap, and each brings something new
        assert lengths[next_begin:end].sum() <= OVERLAP * room


@given(WORDS, ROOM)
def test_a_window_ends_only_where_its_next_word_would_not_fit(lengths, room):
    windows = split_words(lengths, room)
    for begin, end in windows[:-1]:
        assert lengths[begin : end + 1].sum() > room


def context_of(word: int, lengths: np.ndarray, window: tuple[int, int]) -> float:
    """Return the pieces that a word sees on its shorter side; a sentence's own end limits nothing."""
    begin, end = window
    left = lengths[begin:word].sum() if begin > 0 else np.inf
    right = lengths[word + 1 : end].sum() if end < len(lengths) else np.inf
    return min(left, right)


@given(WORDS, ROOM)
def test_each_word_belongs_to_the_first_window_that_shows_most_context(lengths, room):
    windows = split_words(lengths, room)
    for word, owner in enumerate(window_of_words(lengths, windows)):
        contexts = {
            number: context_of(word, lengths, window)
            for number, window in enumerate(windows)
            if window[0] <= word < window[1]
        }
        assert owner == max(contexts, key=lambda number: (contexts[number], -number))


@given(st.integers(0, 200), st.data())
def test_windows_of_contexts_share_the_stride_and_cover_everything(count, data):
    room = data.draw(st.integers(2, 40))
    stride = data.draw(st.integers(0, room // 2))
    ranges = window_ranges(count, room, stride)
    assert sorted({piece for begin, end in ranges for piece in range(begin, end)}) == list(range(count))
    assert all(0 < end - begin <= room for begin, end in ranges)
    for (_, end), (begin, _) in itertools.pairwise(ranges):
        assert end - begin == stride
