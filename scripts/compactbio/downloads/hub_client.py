"""The hub's client: its token, its progress in the log, its errors as ours, and answers that it must not see."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from compactbio.downloads.retries import PATIENCE, Patience, TransferError, TransientError, with_retries
from compactbio.downloads.web import LOG_EVERY_SECONDS, Rate
from compactbio.errors import UserError

if TYPE_CHECKING:
    import httpx2
    from huggingface_hub import HfApi
    from tqdm import tqdm

_NAMES = ("ETag", "X-Linked-ETag", "X-Repo-Commit", "X-Xet-Hash")  # what the client makes file names of
_ADVICE = (
    "run the target `downloads` on a machine with network, "
    "or set `source: path` and the folder of a copy in the definition"
)

Value = TypeVar("Value")
log = logging.getLogger(__name__)


def hub_token() -> str | bool:
    """Return the hub token of the environment or False: no other place is searched for one."""
    return os.environ.get("HF_TOKEN") or False


@cache
def progress_class() -> type[tqdm]:
    """Return a progress bar that is a line of the log now and then."""
    from tqdm import tqdm

    class LoggedProgress(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.logged = time.monotonic()
            super().__init__(*arguments, **options)

        def display(self, *_: Any, **__: Any) -> None:
            if time.monotonic() - self.logged >= LOG_EVERY_SECONDS:
                self.logged = time.monotonic()
                log.info("%s", self)

    return LoggedProgress


@cache
def _prepare_client() -> None:
    """Let the hub's client refuse answers whose names lead out of its cache, and those that come too slowly."""
    import httpx2
    from huggingface_hub import set_client_factory
    from huggingface_hub.utils._http import default_client_factory

    def require_plain_names(response: httpx2.Response) -> None:
        for header in _NAMES:
            name = response.headers.get(header, "-").removeprefix("W/").strip('"')
            if not name or ".." in name or "/" in name or "\\" in name:
                raise TransientError(f"the hub's answer has {name[:60]!r} as its {header}, which is no name of a file")

    class Watched(httpx2.SyncByteStream):
        """A body whose parts are counted as they come: the client itself waits for each byte anew."""

        def __init__(self, body: Iterable[bytes]) -> None:
            self.body, self.rate = body, Rate("the hub", PATIENCE, quiet=True)

        def __iter__(self) -> Iterator[bytes]:
            for part in self.body:
                self.rate.add(len(part))
                yield part

        def close(self) -> None:
            getattr(self.body, "close", lambda: None)()

    def watch(response: httpx2.Response) -> None:
        if isinstance(response.stream, httpx2.SyncByteStream):
            response.stream = Watched(response.stream)

    def client() -> httpx2.Client:
        made = default_client_factory()
        made.event_hooks = {**made.event_hooks, "response": [require_plain_names, watch]}
        return made

    set_client_factory(client)


def hub_api() -> HfApi:
    """Return the hub's client."""
    from huggingface_hub import HfApi

    return HfApi(token=hub_token())


def asking(action: Callable[[], Value], repository: str, patience: Patience, revision: str = "") -> Value:
    """Return what a question to the hub returns, asked again after failures that may pass."""

    def attempt() -> Value:
        _prepare_client()
        with _readable_errors(repository, revision):
            return action()

    try:
        return with_retries(attempt, repository, patience)
    except TransferError as error:
        raise TransferError(f"{error}. Or {_ADVICE}") from None


@contextmanager
def _readable_errors(repository: str, revision: str) -> Iterator[None]:
    """Turn the hub client's errors into ours; none of them repeats the request, which holds the token."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise UserError(
            f"{repository} is gated: accept its terms on the hub's page, then set HF_TOKEN in the environment"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"the hub has no repository {repository} that you may read: correct the key `hub.repository`, "
            "or set HF_TOKEN in the environment if it is private"
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{repository} has no revision {revision or 'as stated'}: correct the key `hub.revision`"
        ) from None
    except errors.HFValidationError:
        raise UserError(f"{repository!r} is no repository name: `hub.repository` is owner/name") from None
    except errors.OfflineModeIsEnabled:
        raise TransferError(f"{repository} is not in the cache and HF_HUB_OFFLINE is set: {_ADVICE}") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (0, 408, 429) or status >= 500:
            raise TransientError(f"the hub answered {status}") from None
        raise UserError(f"the hub answered {status} for {repository}: {_ADVICE}") from None
    except (UserError, TransientError):
        raise
    except Exception as error:
        # The client has many errors for an answer that is no hub's: KeyError, TypeError, OSError without a number.
        # A full disk has one, and what our own code raises is a defect.
        has_number = isinstance(error, OSError) and error.errno is not None
        is_network = isinstance(error, (ConnectionError, TimeoutError))
        if not is_network and (has_number or not _is_of_client(error)):
            raise
        raise TransientError(f"the hub cannot be reached, or its answer is malformed ({_short(error)})") from None


def _is_of_client(error: Exception) -> bool:
    """Return whether an error was raised while the hub's client or a library below it ran, not by our own code."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and not trace.tb_frame.f_globals.get("__name__", "").startswith("compactbio.")


def _short(error: Exception) -> str:
    """Return an error's kind and its first line, without addresses, which may hold what is secret."""
    line = str(error).split("\n", 1)[0][:200]
    return f"{type(error).__name__}: {line}" if line and "://" not in line else type(error).__name__
