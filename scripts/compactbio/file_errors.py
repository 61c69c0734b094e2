"""What a file system refused, in whatever form a library says so: one OSError with the path, one line with the cure."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from compactbio.errors import UserError
from compactbio.temporaries import is_temporary

_FULL = (
    "no space left: free disk space or quota, then start again; finished files are kept, half-written ones are not "
    "taken for finished"
)
_PATH = "give another path, or correct what is there"
_SERVER = "the file server has lost it: start again"
_DISK = "the disk or its server reports an error: see whether it is sound and has room (quota), then start again"
_OPEN = "too many files are open: raise the limit (ulimit -n), then start again"
_CURES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "no file may be longer here (ulimit -f, or the file system itself): raise the limit, then start again",
    errno.EROFS: "it is on a file system that is mounted read-only: give another path (results_dir, downloads_dir)",
    errno.EIO: _DISK,
    errno.ESTALE: _SERVER,
    errno.ENOTCONN: _SERVER,
    errno.ETIMEDOUT: _SERVER,
    errno.EMFILE: _OPEN,
    errno.ENFILE: _OPEN,
    errno.ENOENT: "it is not there, or was removed meanwhile: correct the path, or start again",
}
# errors of these are of the disk itself, also where they name no path
OF_THE_DISK = frozenset(
    (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)
)
# how libraries of Rust and C++ name the system's number for an error
_NUMBER = re.compile(r"\bos error (\d+)\)|\berrno:? (\d+)\b", re.IGNORECASE)
# how torch and numpy say that they could not write, without one
_NOT_WRITTEN = re.compile(r"PytorchStreamWriter|inline_container|iostream error|\d+ requested and \d+ written")


def in_one_line(error: OSError) -> str:
    """Return path, reason and cure of an error of the file system."""
    place = f"{error.filename}: " if error.filename is not None else ""
    return f"{place}{error.strerror}; {_CURES.get(error.errno or 0, _PATH)}"


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses while the block writes `path` into an OSError that names it.

    Libraries have errors of their own for it, without a path, or with that of a temporary name.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        cause = _refusal(error, path.parent)
        if cause is None:
            raise
        place = path if cause.filename is None else Path(os.fsdecode(cause.filename))
        if place.is_relative_to(path.parent):
            first, *rest = (*place.relative_to(path.parent).parts, "")
            if is_temporary(Path(first)):
                place = path.joinpath(*rest)
        raise OSError(cause.errno, cause.strerror, str(place)) from error


def _refusal(error: BaseException, folder: Path) -> OSError | None:
    """Return the file system's error that an error is or comes from; None for one of another kind."""
    if isinstance(error, OSError) and error.errno is not None:
        return error
    if isinstance(error.__cause__, Exception):
        found = _refusal(error.__cause__, folder)
        if found is not None:
            return found
    text = " ".join(str(error).split())
    if number := _NUMBER.search(text):
        code = int(number[1] or number[2])
        return OSError(code, os.strerror(code))
    says_so = isinstance(error, (RuntimeError, OSError)) and _NOT_WRITTEN.search(text)
    if not says_so and type(error).__name__ != "SafetensorError":
        return None
    try:  # it does not say why: whoever tries again is told
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(bytes(2**16))
            os.fsync(stream.fileno())
    except OSError as reason:
        return OSError(reason.errno, reason.strerror)
    return OSError(errno.EIO, text[:200])
