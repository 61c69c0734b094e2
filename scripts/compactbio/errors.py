"""The error that a user can fix, and what reading a damaged file raises made into one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LONGEST_MESSAGE = 10_000  # characters


class UserError(Exception):
    """Something the user can fix: the message says what is wrong, in which file or key, and what to do.

    Programs print the message alone and exit with 1 (see `compactbio.logs.run_program`);
    any other exception is a defect of ours and keeps its traceback. A message that quotes too much is cut.
    """

    def __init__(self, message: str = "") -> None:
        more = len(message) - LONGEST_MESSAGE
        super().__init__(f"{message[:LONGEST_MESSAGE]} ... ({more:,} characters more)" if more > 0 else message)


def require_file(path: Path, largest: int | None = None) -> None:
    """Refuse what may never end or begin, and a file longer than its reader takes; a missing file is the reader's.

    Args:
        path: of a file that is about to be read.
        largest: bytes, where its whole content comes into memory.

    Raises:
        UserError: it is a folder, a device or a pipe, or longer than that.
    """
    if path.is_file():
        size = path.stat().st_size
        if largest is not None and size > largest:
            raise UserError(f"{path} has {size:,} bytes, and at most {largest:,} are read of such a file: cut it")
    elif path.exists():
        kind = "folder" if path.is_dir() else "device or a pipe"
        raise UserError(f"{path} is a {kind} where a file is expected: give the path of a file")


@contextmanager
def reading(path: Path, remake: str) -> Iterator[None]:
    """Turn whatever a damaged file makes its readers raise into a UserError.

    For blocks that read one file and do nothing else: libraries of formats have no base of their exceptions in common.

    Args:
        path: the file.
        remake: what to do where it cannot be read, as "delete it and run x again".

    Raises:
        UserError: in place of any error of the block but one of memory and one of the system, which names its own cure.
    """
    if not path.is_dir():  # of some formats a file is a folder
        require_file(path)
    try:
        yield
    except (UserError, MemoryError):
        raise
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: {remake}") from None
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = f"no {error}" if isinstance(error, KeyError) else (lines[0] if lines else type(error).__name__)[:200]
        raise UserError(f"{path} is damaged, or something else than it should be ({reason}): {remake}") from error
