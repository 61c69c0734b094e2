"""Keeping freed memory, which a training asks for again in its next step."""

from __future__ import annotations

import ctypes
import logging

# mallopt's parameters, from glibc's malloc.h
TRIM_THRESHOLD, TOP_PAD, MMAP_MAX = -1, -2, -4
TOP_PAD_BYTES = 64 * 2**20
NEVER = 2**31 - 1  # the largest threshold that mallopt's int takes


def keep_freed_memory() -> None:
    """Tell the C library to keep what is freed, for the life of this process.

    By default glibc maps every block of more than 32 MB anew and returns it when it is freed, so that the kernel fills
    it with zeros page by page again in each step. Without glibc nothing is changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    for parameter, value in ((MMAP_MAX, 0), (TRIM_THRESHOLD, NEVER), (TOP_PAD, TOP_PAD_BYTES)):
        if mallopt(parameter, value) != 1:
            logging.debug("mallopt(%d, %d) was refused", parameter, value)
