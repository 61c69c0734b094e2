"""publish_model.py against a pretended hub: what is sent, what is refused, and that no message holds the token."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import publish_model
import pytest

from compactbio.errors import UserError
from compactbio.files import write_manifest

FINGERPRINT = "ab" * 32
SECRET = "hf_this-must-not-be-seen"


@pytest.fixture
def results(tmp_path):
    """A results folder with one exported model and its full card."""
    model = tmp_path / "pretraining" / "Tiny" / "model"
    model.mkdir(parents=True)
    for name in ("config.json", "model.safetensors", "tokenizer.json", "README.md"):
        (model / name).write_text(f"{name} of Tiny")
    write_manifest(model, kind="checkpoint", origin={"source": "train", "model": "Tiny", "fingerprint": FINGERPRINT})
    cards = tmp_path / "reporting" / "model_cards"
    cards.mkdir(parents=True)
    (cards / "Tiny.md").write_text(f"---\nlicense: other\n---\nfingerprint {FINGERPRINT}\n")
    return tmp_path


class PretendedHub:
    """Takes what HfApi would send."""

    made: ClassVar[list[PretendedHub]] = []
    failure: ClassVar[Exception | None] = None

    def __init__(self, token):
        self.token, self.repositories, self.commits = token, [], []
        PretendedHub.made.append(self)

    def create_repo(self, repo_id, *, private, exist_ok):
        if PretendedHub.failure is not None:
            raise PretendedHub.failure
        self.repositories.append((repo_id, private, exist_ok))

    def create_commit(self, repo_id, *, operations, commit_message):
        files = {one.path_in_repo: Path(one.path_or_fileobj).read_text() for one in operations}
        self.commits.append((repo_id, files, commit_message))
        return SimpleNamespace(commit_url="https://hub/me/tiny/commit/1")


@pytest.fixture
def hub(monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "HfApi", PretendedHub)
    monkeypatch.setattr(PretendedHub, "made", [])
    monkeypatch.setattr(PretendedHub, "failure", None)
    return PretendedHub


def publish(monkeypatch, results, *more, repository="me/tiny", token=SECRET):
    options = ["--model", "Tiny", "--repository", repository, "--results", str(results), *more]
    monkeypatch.setattr(sys, "argv", ["publish_model", *options])
    monkeypatch.delenv("HF_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    publish_model.main()


def test_without_being_told_nothing_is_sent(monkeypatch, results, hub, caplog):
    caplog.set_level("INFO")
    publish(monkeypatch, results, token=None)
    assert hub.made == []
    assert "dry run: nothing was sent to me/tiny" in caplog.text
    assert str(results / "reporting" / "model_cards" / "Tiny.md") in caplog.text


def test_the_model_goes_with_its_full_card_in_one_commit(monkeypatch, results, hub, caplog):
    caplog.set_level("DEBUG")
    publish(monkeypatch, results, "--upload")
    [used] = hub.made
    assert used.token == SECRET and used.repositories == [("me/tiny", True, True)]
    [(repository, files, message)] = used.commits
    assert repository == "me/tiny" and FINGERPRINT[:16] in message
    assert set(files) == {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert files["README.md"].startswith("---\nlicense: other")
    assert files["model.safetensors"] == "model.safetensors of Tiny"
    assert SECRET not in caplog.text


def test_a_public_repository_is_asked_for(monkeypatch, results, hub):
    publish(monkeypatch, results, "--upload", "--public")
    assert hub.made[0].repositories == [("me/tiny", False, True)]


def test_a_refusal_of_the_hub_is_one_line_without_the_token(monkeypatch, results, hub):
    from huggingface_hub.errors import HfHubHTTPError

    answer = SimpleNamespace(status_code=403, headers={}, request=None)
    hub.failure = HfHubHTTPError(f"refused Bearer {SECRET}", response=answer)
    with pytest.raises(UserError, match=r"the hub refused me/tiny \(403\)") as refusal:
        publish(monkeypatch, results, "--upload")
    assert SECRET not in str(refusal.value) and refusal.value.__suppress_context__


def test_without_a_token_the_upload_is_refused(monkeypatch, results, hub):
    with pytest.raises(UserError, match="the environment has no HF_TOKEN"):
        publish(monkeypatch, results, "--upload", token=None)
    assert hub.made == []


def damage_weights(results):
    (results / "pretraining/Tiny/model/model.safetensors").write_text("model.safetensors of Tinx")


def another_card(results):
    (results / "reporting/model_cards/Tiny.md").write_text("fingerprint of another training\n")


def no_card(results):
    (results / "reporting/model_cards/Tiny.md").unlink()


def fetched(results):
    write_manifest(results / "pretraining/Tiny/model", kind="checkpoint", origin={"source": "hub"})


def generated(results):
    origin = {"source": "train", "model": "Tiny", "fingerprint": FINGERPRINT, "generated": "Generated data: no."}
    write_manifest(results / "pretraining/Tiny/model", kind="checkpoint", origin=origin)


def scored_on_generated_data(results):
    card = f"---\ntags: [generated-data]\n---\nfingerprint {FINGERPRINT}\n"
    (results / "reporting/model_cards/Tiny.md").write_text(card)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (generated, r"is no model to publish\. Generated data: no\."),
        (scored_on_generated_data, "shows scores of generated data"),
        (damage_weights, "differs from its digest"),
        (another_card, "is of another training"),
        (no_card, "write_model_cards writes it"),
        (fetched, "was not trained here"),
    ],
)
def test_what_is_not_sound_is_not_sent(monkeypatch, results, hub, spoil, message):
    spoil(results)
    with pytest.raises(UserError, match=message):
        publish(monkeypatch, results, "--upload")
    assert hub.made == []


def test_a_wrong_name_of_a_repository_is_refused(monkeypatch, results, hub):
    with pytest.raises(UserError, match="is not owner/name"):
        publish(monkeypatch, results, repository="tiny")
