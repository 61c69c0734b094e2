"""An exported model on the hub: what would go there, checked, and the upload."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from compactbio.card_texts import CARD, GENERATED_TAG, front_matter
from compactbio.errors import UserError
from compactbio.files import read_manifest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

TOKEN = "HF_TOKEN"  # the environment's; no other place is searched for one
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def plan_upload(model: Path, card: Path, repository: str) -> dict[str, Path]:
    """Return the files to upload by their names there: those of the model's manifest, and the full card.

    Raises:
        UserError: the repository's name is none, a file is missing or differs from its digest, the card is of
            another training than the model, or model or scores are made of generated data.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise UserError(f"--repository {repository!r} is not owner/name")
    manifest = read_manifest(model)
    origin = manifest.get("origin", {})
    if origin.get("source") != "train":
        raise UserError(f"{model} was not trained here ({origin.get('source')}): it is its owner's to publish")
    if origin.get("generated"):
        raise UserError(f"{model} is no model to publish. {origin['generated']}")
    if not card.is_file():
        raise UserError(f"{card} does not exist: the rule write_model_cards writes it")
    text = card.read_text(encoding="utf-8")
    if origin["fingerprint"] not in text:
        raise UserError(f"{card} is of another training than {model}: run write_model_cards again")
    if GENERATED_TAG in front_matter(text).get("tags", []):
        raise UserError(f"{card} shows scores of generated data: they are not to be published under real names")
    return {name: model / name for name in manifest["files"] if name != CARD} | {CARD: card}


def upload(hub: HfApi, repository: str, files: dict[str, Path], *, fingerprint: str, private: bool) -> str:
    """Upload files in one commit and return its address.

    Raises:
        UserError: the hub refused or cannot be reached; the message repeats nothing of the request, which holds the
            token.
    """
    from huggingface_hub import CommitOperationAdd
    from huggingface_hub import errors as hub_errors

    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(path)) for name, path in files.items()]
    try:
        hub.create_repo(repository, private=private, exist_ok=True)
        commit = hub.create_commit(
            repository, operations=operations, commit_message=f"Model of training {fingerprint[:16]}"
        )
    except hub_errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise UserError(
            f"the hub refused {repository} ({status}): see that {TOKEN} may write there and the name is yours"
        ) from None
    # HTTPError is of the client that the hub's library uses, which no declared name of it says
    except (hub_errors.HTTPError, ConnectionError, TimeoutError) as error:  # type: ignore[attr-defined]
        raise UserError(f"the hub cannot be reached ({type(error).__name__}): try again where the network is") from None
    return str(commit.commit_url)
