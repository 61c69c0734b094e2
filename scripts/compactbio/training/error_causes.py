"""What an error says of its cause: too little memory, or a file that could not be read or written."""

from __future__ import annotations

from compactbio.errors import UserError
from compactbio.training.checkpoints import NotSavedError

WORDS_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "_status_alloc_failed",  # of cuBLAS, cuDNN and their like, which ask for memory of their own
)
WORDS_OF_TAKEN = "busy or unavailable"  # CUDA's, of a GPU that takes one process only and has another


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it comes from, says that memory was short; of torch by its name.

    At a card's limit not all of them are torch's: CUDA itself, its libraries and Triton have errors of their own. What
    was raised while another error was dealt with comes from that one: the end of a capture that lacked memory says only
    that the capture failed.
    """
    names = {kind.__name__ for kind in type(error).__mro__}
    short = bool(names & {"MemoryError", "OutOfMemoryError"})
    short = short or (isinstance(error, RuntimeError) and any(word in str(error).lower() for word in WORDS_OF_MEMORY))
    before = error.__context__ if error.__cause__ is None and not error.__suppress_context__ else error.__cause__
    return short or (before is not None and lacks_memory(before))


def is_taken(error: BaseException) -> bool:
    """Return whether an error, or one that it comes from, says that a GPU takes one process only and has another."""
    taken = isinstance(error, RuntimeError) and WORDS_OF_TAKEN in str(error)
    return taken or (error.__cause__ is not None and is_taken(error.__cause__))


def is_of_files(error: BaseException) -> bool:
    """Return whether an error, or one that it comes from, is of files: a full disk, a quota, a lost server."""
    if isinstance(error, (OSError, NotSavedError)):
        return True
    return error.__cause__ is not None and is_of_files(error.__cause__)


def in_words(error: BaseException) -> str:
    """Return an error as a sentence: a UserError's own, else the error's type before its text."""
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
