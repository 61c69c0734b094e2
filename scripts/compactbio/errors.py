"""The error that a user can fix, and what reading a damaged file raises made into one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class UserError(Exception):
    """Something the user can fix: the message says what is wrong, in which file or key, and what to do.

    Programs print the message alone and exit with 1 (see `compactbio.logs.run_program`);
    any other exception is a defect of ours and keeps its traceback.
    """


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
