"""Snapshots of model repositories: moving revisions are pinned by a lock file, what is cached works offline."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from compactbio.errors import UserError
from compactbio.files import read_json, sha256_of_file, write_json

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # the first one there is used
OTHER_FILES = ("config.json", "vocab.txt", "tokenizer.json", "tokenizer_config.json")
PAUSES_SECONDS = (3.0, 15.0)  # between tries, when the network fails

Value = TypeVar("Value")
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """A folder with a repository's files as they were at one commit."""

    folder: Path
    commit: str


def fetch_snapshot(
    repository: str,
    revision: str,
    cache: Path,
    lock_file: Path,
    pauses_seconds: tuple[float, ...] = PAUSES_SECONDS,
) -> Snapshot:
    """Return the files of a repository at a revision, downloading only what the cache lacks.

    Raises:
        UserError: no network, unknown repository or revision, terms to accept, damaged cache.
    """
    commit = locked_commit(
        repository, revision, lock_file, lambda: _resolve(repository, revision, cache, pauses_seconds)
    )
    cached = _cached_files(repository, commit, cache)
    if not _is_complete(cached):
        wanted = _retrying(lambda: _files_at(repository, revision, commit, lock_file), repository, pauses_seconds)
        log.info("downloading %s of %s at %s", ", ".join(wanted), repository, commit)
        _retrying(lambda: _download(repository, commit, wanted, cache), repository, pauses_seconds)
        cached = _cached_files(repository, commit, cache)
    else:
        log.info("%s at %s is in %s", repository, commit, cache)
    for path in cached.values():
        _check_digest(path)
    return Snapshot(cached["config.json"].parent, commit)


def locked_commit(repository: str, revision: str, lock_file: Path, resolve: Callable[[], str]) -> str:
    """Return the commit that a revision stands for: itself, or what the lock file or else `resolve` says.

    The lock file is JSON, {"repository@revision": commit}; several processes may use it at once.
    """
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return revision
    from filelock import FileLock

    key = f"{repository}@{revision}"
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(str(lock_file.with_name(f".{lock_file.name}.lock"))):
        locked = read_json(lock_file) if lock_file.exists() else {}
        if not isinstance(locked, dict):
            raise UserError(f'{lock_file} should hold {{"repository@revision": commit}}: remove it')
        if key not in locked:
            locked[key] = resolve()
            write_json(lock_file, dict(sorted(locked.items())))
            log.info("%s is commit %s, recorded in %s", key, locked[key], lock_file)
    return locked[key]


def _resolve(repository: str, revision: str, cache: Path, pauses_seconds: tuple[float, ...]) -> str:
    """Return the commit that a moving revision is today or, without network, in the cache."""

    def ask() -> str:
        from huggingface_hub import HfApi

        return HfApi().model_info(repository, revision=revision, token=_token()).sha

    try:
        return _retrying(ask, repository, pauses_seconds, revision)
    except _UnreachableError:
        reference = cache / f"models--{repository.replace('/', '--')}" / "refs" / revision
        if reference.is_file():
            log.warning("the hub cannot be asked; taking %s@%s as the cache has it", repository, revision)
            return reference.read_text(encoding="ascii").strip()
        raise


def _files_at(repository: str, revision: str, commit: str, lock_file: Path) -> list[str]:
    """Return the names of the files to download: one file of weights, and what goes with it."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RevisionNotFoundError

    try:
        information = HfApi().model_info(repository, revision=commit, token=_token())
    except RevisionNotFoundError:
        if commit == revision:
            raise
        raise UserError(
            f"{repository} no longer has commit {commit}, which {lock_file} records for {revision}: "
            f"remove its line there to take what {revision} is today"
        ) from None
    there = {file.rfilename for file in information.siblings or []}
    weights = [name for name in WEIGHT_FILES if name in there][:1]
    if not weights or "config.json" not in there:
        raise UserError(
            f"{repository} at {commit} lacks config.json or weights ({' or '.join(WEIGHT_FILES)}): "
            "it is no repository of a transformers model in PyTorch"
        )
    return weights + [name for name in OTHER_FILES if name in there]


def _download(repository: str, commit: str, names: list[str], cache: Path) -> None:
    """Bring the named files into the cache; what is already there, whole or in part, is used."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # this output goes to a log file
    snapshot_download(repository, revision=commit, cache_dir=str(cache), allow_patterns=names, token=_token())


def _cached_files(repository: str, commit: str, cache: Path) -> dict[str, Path]:
    """Return {name: path} of the files that the cache holds at a commit (a name there is a whole file)."""
    folder = cache / f"models--{repository.replace('/', '--')}" / "snapshots" / commit
    names = (*WEIGHT_FILES, *OTHER_FILES)
    return {name: folder / name for name in names if (folder / name).is_file()}


def _is_complete(cached: dict[str, Path]) -> bool:
    """Return whether a model can be made of the cached files without asking the hub for more."""
    has_weights = any(name in cached for name in WEIGHT_FILES)
    return has_weights and "config.json" in cached and ("vocab.txt" in cached or "tokenizer.json" in cached)


def _check_digest(path: Path) -> None:
    """Compare a cached file with its digest: the cache names contents by it, and links to them.

    Large files are named by their sha256, small ones as git names them; other names say nothing.
    """
    content = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", content.name):
        found = sha256_of_file(content)
    elif re.fullmatch(r"[0-9a-f]{40}", content.name):
        data = content.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    else:
        return
    if found != content.name:
        raise UserError(
            f"{path} is damaged: its digest is {found}, not {content.name}. "
            f"Delete {content} and start again to download it anew"
        )


def _token() -> str | bool:
    """Return the hub token of the environment or False: no other place is searched for one."""
    return os.environ.get("HF_TOKEN") or False


def _retrying(
    action: Callable[[], Value], repository: str, pauses_seconds: tuple[float, ...], revision: str = ""
) -> Value:
    """Return what `action` returns, trying again after network failures, with errors made readable."""
    for pause in (*pauses_seconds, None):
        try:
            with _readable_errors(repository, revision):
                return action()
        except _NetworkError as error:
            if pause is None:
                raise
            log.warning("%s; next try in %g s", str(error).split(":", 1)[0], pause)
            time.sleep(pause)
    raise AssertionError("unreachable")


class _UnreachableError(UserError):
    """The hub cannot be asked."""


class _NetworkError(_UnreachableError):
    """The hub cannot be asked just now: a failure that may pass."""


@contextmanager
def _readable_errors(repository: str, revision: str) -> Iterator[None]:
    """Turn the hub client's errors into ours; none of them repeats the request, which holds the token."""
    from huggingface_hub import errors

    advice = (
        "run the target `downloads` on a machine with network, "
        "or set `source: path` and the folder of a copy in the definition"
    )
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
        raise _UnreachableError(f"{repository} is not in the cache and HF_HUB_OFFLINE is set: {advice}") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        message = f"the hub answered {status} for {repository}: {advice}"
        if status in (0, 408, 429) or status >= 500:
            raise _NetworkError(message) from None
        raise UserError(message) from None
    # errors.HTTPError is the base class of the HTTP library that the client uses, whichever that is
    except (errors.HTTPError, ConnectionError, errors.LocalEntryNotFoundError) as error:
        raise _NetworkError(f"the hub cannot be reached for {repository} ({type(error).__name__}): {advice}") from None
    except json.JSONDecodeError:
        raise _NetworkError(f"what answered for {repository} is not the hub: {advice}") from None
