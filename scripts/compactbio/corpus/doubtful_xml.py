"""Whether bytes of XML may be broken, asked of a block as a whole: characters, entities and tags are counted.

What well-formed XML has is looked for without parsing, so that a parser is needed for the few blocks that fail.
"""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa

_ENTITY = re.compile(rb"&(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);")


def is_doubtful(buffer: bytes, first: int, last: int) -> bool:
    """Return whether buffer[first:last], whole elements, could be anything but well-formed plain XML.

    True for sound XML as well where it has comments, CDATA or unusual characters: a parser decides then.
    """
    data = np.frombuffer(buffer, dtype=np.uint8)[first:last]
    return (
        _has_odd_characters(buffer, data, first, last) or _has_odd_entities(buffer, first, last) or _has_odd_tags(data)
    )


def _has_odd_characters(buffer: bytes, data: np.ndarray, first: int, last: int) -> bool:
    """Return whether there are characters that XML forbids, or bytes that are not UTF-8."""
    controls = np.count_nonzero(data < 32) - np.count_nonzero(data == 10)
    if controls and controls != np.count_nonzero((data == 9) | (data == 13)):
        return True
    # Arrow's check takes a third of the time of decoding, which has to make wide strings of some blocks
    bounds = pa.py_buffer(np.array([first, last], dtype=np.int32))
    try:
        pa.StringArray.from_buffers(1, bounds, pa.py_buffer(buffer)).validate(full=True)
    except pa.ArrowInvalid:
        return True
    return False


def _has_odd_entities(buffer: bytes, first: int, last: int) -> bool:
    """Return whether an ampersand starts something else than XML's own entities and character numbers."""
    find, entity_at = buffer.find, _ENTITY.match
    while (first := find(b"&", first, last)) >= 0:
        if not entity_at(buffer, first):
            return True
        first += 4
    return False


def _has_odd_tags(data: np.ndarray) -> bool:
    """Return whether start and end tags do not pair by number and by the first letters of their names.

    Also true where comments, CDATA or "/>" outside of a tag occur. The order of the tags is not looked at.
    """
    padded = np.concatenate([data, np.zeros(16, dtype=np.uint8)])
    eight_bytes_at = np.ndarray(len(padded) - 7, dtype="<u8", buffer=padded, strides=(1,))
    is_opening = data == ord("<")
    words = eight_bytes_at[1 : len(data) + 1][is_opening]
    first = words.astype(np.uint8)
    if np.any(first == ord("!")):
        return True
    is_instruction = first == ord("?")
    if np.any(is_instruction):
        is_opening[np.flatnonzero(is_opening)[is_instruction]] = False
        words, first = words[~is_instruction], first[~is_instruction]
    is_end = first == ord("/")
    words >>= is_end * np.uint64(8)
    names = _names(words)
    ends = names[is_end]
    closed_here = np.flatnonzero((data[:-1] == ord("/")) & (data[1:] == ord(">")))
    if len(names) != 2 * len(ends) + len(closed_here):
        return True
    empty = 0
    if len(closed_here):  # an empty element `<x .../>` starts at the last "<" before its "/>"
        empty = int(names[np.searchsorted(np.flatnonzero(is_opening), closed_here) - 1].sum())
    return (int(names.sum()) - 2 * int(ends.sum()) - empty) % 2**64 != 0


def _names(words: np.ndarray) -> np.ndarray:
    """Return names as numbers, uint64; a word is the eight bytes from where a name starts.

    A name counts to its seventh letter or its first byte without the bit 64, which all letters have and which
    `>`, `/`, space, digits and the colon have not. An end tag's word was shifted by one byte: its last is zero.
    """
    bit = np.uint64(0x0040404040404040)
    stops = ~words
    stops &= bit
    # ones in all bits below the lowest stop, then in all whole bytes below it; in place, since memory decides here
    names = -stops
    names &= stops
    names -= np.uint64(1)
    names >>= np.uint64(6)
    names &= np.uint64(2**56 - 1)
    names &= words
    return names
