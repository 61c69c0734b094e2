"""Trying again what failed for a while: how often, how long to wait, and which errors it is for."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TypeVar

from compactbio.errors import UserError

LONGEST_WAIT_SECONDS = 120.0
LONGEST_ASKED_SECONDS = 900.0  # a server that asks for more is not waited for so long

log = logging.getLogger(__name__)
Value = TypeVar("Value")


class TransferError(UserError):
    """A file could not be fetched: all tries failed, the server refuses, or what it sends is not the file."""


class MissingError(TransferError):
    """The server says that there is no such file (404 or 410): another try would get the same answer."""


class TransientError(Exception):
    """A failure that may pass; `wait_seconds` is what the server asked for."""

    def __init__(self, message: str, wait_seconds: float = 0.0) -> None:
        super().__init__(message)
        self.wait_seconds = wait_seconds


@dataclass(frozen=True)
class Patience:
    """How long a transfer is tried.

    Attributes:
        tries: of each transfer.
        first_wait_seconds: before the second try; doubles, with jitter, up to LONGEST_WAIT_SECONDS.
        silence_seconds: without any byte until a try is given up.
        window_seconds, window_bytes: a try is given up that brings fewer bytes in so many seconds.
    """

    tries: int = 6
    first_wait_seconds: float = 2.0
    silence_seconds: float = 60.0
    window_seconds: float = 120.0
    window_bytes: int = 2**16


PATIENCE = Patience()


def with_retries(attempt: Callable[[], Value], what: str, patience: Patience = PATIENCE) -> Value:
    """Return what an attempt returns, tried again after each TransientError.

    Raises:
        TransferError: every try failed for a while; the message names `what` and the last reason.
    """
    from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

    first = patience.first_wait_seconds
    growing = wait_exponential_jitter(multiplier=first, max=LONGEST_WAIT_SECONDS, jitter=first / 2)

    def wait(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_seconds if isinstance(error, TransientError) else 0.0
        return max(growing(state), min(asked, LONGEST_ASKED_SECONDS))

    def report(state: RetryCallState) -> None:
        reason = state.outcome.exception() if state.outcome else ""
        tries = (state.attempt_number + 1, patience.tries, state.upcoming_sleep)
        log.warning("%s: %s; try %d of %d in %.1f s", what, reason, *tries)

    retrying = Retrying(
        stop=stop_after_attempt(patience.tries),
        wait=wait,
        retry=retry_if_exception_type(TransientError),
        before_sleep=report,
        sleep=lambda seconds: time.sleep(seconds),  # looked up at each call
        reraise=True,
    )
    try:
        return retrying(attempt)
    except TransientError as error:
        raise TransferError(f"{what}: given up after {patience.tries} tries, the last: {error}") from None


def asked_wait(retry_after: str) -> float:
    """Return the seconds of a Retry-After header, given as seconds or as a date; 0 if it is neither."""
    text = retry_after.strip()
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return 0.0
