"""Snapshots of model repositories: moving revisions are pinned by a lock file, what is cached works offline."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from compactbio.digests import sha256_of_file
from compactbio.downloads.hub_client import asking, hub_api, hub_token, progress_class
from compactbio.downloads.pins import pinned
from compactbio.downloads.retries import Patience, TransferError, TransientError
from compactbio.errors import UserError
from compactbio.file_errors import writing

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # the first one there is used
WEIGHT_INDICES = tuple(f"{name}.index.json" for name in WEIGHT_FILES)  # where the weights are in several files, else
FOREIGN_WEIGHTS = re.compile(r"tf_model\.h5|flax_model\.msgpack|.*\.ckpt.*\.index")  # of other libraries than PyTorch
CONFIGURATIONS = ("config.json", "bert_config.json")  # the first one there is used; the second has the name of 2018
OTHER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json")
BYTE_LEVEL_FILES = ("vocab.json", "merges.txt")  # a tokenizer where there is neither vocab.txt nor tokenizer.json
ADDED_TOKENS = "added_tokens.json"  # beside a vocabulary alone
TOKENIZER_NOTES = ("special_tokens_map.json", ADDED_TOKENS)  # that go with them
HUB_PATIENCE = Patience(tries=4, first_wait_seconds=3.0)  # the hub's client tries each request several times itself
_PARTS = (re.compile(r"model-\d{5}-of-(\d{5})\.safetensors"), re.compile(r"pytorch_model-\d{5}-of-(\d{5})\.bin"))
_KNOWN = {
    *(*WEIGHT_FILES, *WEIGHT_INDICES, *CONFIGURATIONS, *OTHER_FILES, *BYTE_LEVEL_FILES, *TOKENIZER_NOTES),
}
_COMMIT = re.compile(r"[0-9a-f]{40}")

log = logging.getLogger(__name__)


def fetch_snapshot(
    repository: str, revision: str, cache: Path, lock_file: Path, patience: Patience = HUB_PATIENCE
) -> Path:
    """Return the folder, named as the commit, of a repository's files at a revision; what the cache has is not fetched.

    Raises:
        UserError: no network, unknown repository or revision, terms to accept, or what comes is damaged.
    """
    commit = locked_commit(
        repository, revision, lock_file, lambda: _resolve(repository, revision, cache, lock_file, patience)
    )
    cached = _sound_files(repository, commit, cache)
    if weights_among(cached) and configuration_among(cached) and tokenizer_among(cached):
        log.info("%s at %s is in %s", repository, commit, cache)
    else:
        for name in _files_at(repository, revision, commit, lock_file, patience):
            if name not in cached:
                log.info("downloading %s of %s at %s", name, repository, commit)
                with writing(cache):
                    asking(partial(_download, repository, commit, name, cache), repository, patience)
        cached = _sound_files(repository, commit, cache)
    return next(iter(cached.values())).parent


def weights_among(names: Iterable[str]) -> list[str]:
    """Return which files of a folder are its weights: one, or an index and all its parts; empty where it has none."""
    there = sorted(set(names))
    if whole := [name for name in WEIGHT_FILES if name in there]:
        return whole[:1]
    for index, form in zip(WEIGHT_INDICES, _PARTS, strict=True):
        parts = [found for name in there if (found := form.fullmatch(name))]
        if index in there and parts and len(parts) == int(parts[0][1]):
            return [index, *(part[0] for part in parts)]
    return []


def configuration_among(names: Iterable[str]) -> list[str]:
    """Return which file of a folder is its configuration, empty where it has none."""
    there = set(names)
    return [name for name in CONFIGURATIONS if name in there][:1]


def tokenizer_among(names: Iterable[str]) -> list[str]:
    """Return which files of a folder its tokenizer is read from, empty where it has none."""
    there = set(names)
    found = [name for name in OTHER_FILES if name in there]
    if "tokenizer.json" in there:
        return found
    if "vocab.txt" in there:
        return [*found, *(name for name in (ADDED_TOKENS,) if name in there)]
    if not there.issuperset(BYTE_LEVEL_FILES):
        return []
    return [*found, *BYTE_LEVEL_FILES, *(name for name in TOKENIZER_NOTES if name in there)]


def published_files(folder: Path) -> list[Path]:
    """Return the files of a published folder that a checkpoint is made of."""
    names = [path.name for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []
    return [folder / name for name in _wanted(names)]


def _wanted(names: Iterable[str]) -> list[str]:
    """Return which files of a folder a checkpoint is made of, in a fixed order."""
    there = list(names)
    return [*weights_among(there), *configuration_among(there), *tokenizer_among(there)]


def locked_commit(repository: str, revision: str, lock_file: Path, resolve: Callable[[], str]) -> str:
    """Return the commit that a revision stands for: itself, or what the lock file or else `resolve` says.

    The lock file is JSON, {"repository@revision": commit}; several processes may use it at once.

    Raises:
        UserError: the lock file records something that is no commit.
    """
    if _COMMIT.fullmatch(revision):
        return revision
    commit = pinned(lock_file, f"{repository}@{revision}", resolve)
    if not _COMMIT.fullmatch(commit):
        raise UserError(
            f"{lock_file} records {commit[:60]!r} for {repository}@{revision}, which is no commit: "
            "remove its line there"
        )
    return commit


def _resolve(repository: str, revision: str, cache: Path, lock_file: Path, patience: Patience) -> str:
    """Return the commit that a moving revision is today or, without network, in the cache.

    The hub must have a model at this commit: what it does not have is not recorded.
    """

    def ask() -> str:
        commit = hub_api().model_info(repository, revision=revision).sha
        if not _COMMIT.fullmatch(str(commit)):
            raise TransientError(f"the hub names {str(commit)[:60]!r} as the commit of {repository}@{revision}")
        return str(commit)

    try:
        commit = asking(ask, repository, patience, revision)
    except TransferError:
        reference = cache / f"models--{repository.replace('/', '--')}" / "refs" / revision
        if reference.is_file():
            log.warning("the hub cannot be asked; taking %s@%s as the cache has it", repository, revision)
            commit = reference.read_text(encoding="ascii").strip()
            if _COMMIT.fullmatch(commit):
                return commit
        raise
    _files_at(repository, commit, commit, lock_file, patience)
    return commit


def _files_at(repository: str, revision: str, commit: str, lock_file: Path, patience: Patience) -> list[str]:
    """Return the names of the files to download: the weights, and what goes with it."""
    from huggingface_hub.errors import RevisionNotFoundError

    def ask() -> set[str]:
        try:
            siblings = hub_api().model_info(repository, revision=commit).siblings
        except RevisionNotFoundError:
            if commit == revision:
                raise
            raise UserError(
                f"{repository} no longer has commit {commit}, which {lock_file} records for {revision}: "
                f"remove its line there to take what {revision} is today"
            ) from None
        return {file.rfilename for file in siblings or []}

    there = asking(ask, repository, patience, commit)
    if not weights_among(there) or not configuration_among(there):
        raise UserError(
            f"{repository} at {commit} lacks config.json or weights ({' or '.join(WEIGHT_FILES)}): "
            f"it is no repository of a transformers model in PyTorch{conversion_advice(there)}"
        )
    return _wanted(there)


def conversion_advice(names: Iterable[str]) -> str:
    """Return how weights of another library among these files are made into PyTorch's, "" where there are none."""
    found = next((name for name in sorted(names) if FOREIGN_WEIGHTS.fullmatch(name)), None)
    if found is None:
        return ""
    option = "from_flax=True" if found.startswith("flax") else "from_tf=True"
    return (
        f". {found} is of another library: with a transformers below version 5 and that library, "
        f"AutoModelForMaskedLM.from_pretrained(folder, {option}).save_pretrained(folder) writes what is needed"
    )


def _download(repository: str, commit: str, name: str, cache: Path) -> None:
    """Bring a file into the cache; what came of it before is used. Its length and digest are compared."""
    from huggingface_hub import hf_hub_download

    place = hf_hub_download(
        repository, name, revision=commit, cache_dir=str(cache), token=hub_token(), tqdm_class=progress_class()
    )
    path = Path(place)
    if path.parent.name != commit:
        raise TransientError(f"the hub sends {name} of the commit {path.parent.name} where {commit} was asked for")
    fault = _digest_fault(path)
    if fault:
        _set_aside(path)
        raise TransientError(f"{name} of {repository} arrived damaged: {fault}")


def _sound_files(repository: str, commit: str, cache: Path) -> dict[str, Path]:
    """Return {name: path} of the files that the cache holds at a commit; damaged ones are set aside."""
    folder = cache / f"models--{repository.replace('/', '--')}" / "snapshots" / commit
    found = {}
    for path in folder.iterdir() if folder.is_dir() else ():
        if not path.is_file() or not (path.name in _KNOWN or any(form.fullmatch(path.name) for form in _PARTS)):
            continue
        fault = _digest_fault(path)
        if fault:
            log.warning("%s is damaged: %s; it is fetched again, and kept as %s", path, fault, _set_aside(path))
        else:
            found[path.name] = path
    return found


def _digest_fault(path: Path) -> str:
    """Return in words how a cached file differs from its digest, "" if it does not.

    The cache links to contents which it names: large files by their sha256, small ones as git names them. Other
    names state nothing.
    """
    content = path.resolve()
    if re.fullmatch(r"[0-9a-f]{64}", content.name):
        found = sha256_of_file(content)
    elif re.fullmatch(r"[0-9a-f]{40}", content.name):
        data = content.read_bytes()
        found = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
    else:
        return ""
    return "" if found == content.name else f"its digest is {found}, not {content.name}"


def _set_aside(path: Path) -> Path:
    """Rename the content of a cached file, so that it is fetched again; return the new name."""
    content = path.resolve()
    aside = content.with_name(f"{content.name}.rejected")
    content.replace(aside)
    path.unlink(missing_ok=True)
    return aside
