"""Tiny vocabularies, models and a hub on this machine, for the tests of the students stage."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = [
    *"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-()éïα",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz0123456789éïα"),
    *("cell", "Cell", "gene", "naive", "naïve", "##cell", "##ing", "TNF", "tnf"),
]
VOCABULARY = [*SPECIAL, *PIECES]
DEFINITION = {"checkpoint": "tiny", "lower_case": False, "vocabulary_size": len(VOCABULARY), "golden": None}

SHAPES: dict[str, dict[str, Any]] = {
    "bert": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 64,
    },
    "distilbert": {"dim": 32, "n_layers": 4, "n_heads": 2, "hidden_dim": 48, "max_position_embeddings": 64},
    "mobilebert": {
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "embedding_size": 16,
        "intra_bottleneck_size": 16,
        "max_position_embeddings": 64,
    },
}


def write_vocabulary(path: Path, tokens: list[str] = VOCABULARY) -> Path:
    """Write a vocab.txt and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    return path


def random_model(architecture: str, class_name: str = "AutoModelForPreTraining", seed: int = 1) -> Any:
    """Return a tiny model by transformers alone, with every weight random (biases and norms as well)."""
    import transformers

    configuration = transformers.AutoConfig.for_model(architecture, **SHAPES[architecture], vocab_size=len(VOCABULARY))
    generator = torch.Generator().manual_seed(seed)
    model = getattr(transformers, class_name).from_config(configuration)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return model.eval()


def write_published(folder: Path, model: Any, *, weights: dict[str, Any] | None = None) -> Path:
    """Write a model as folders of 2019 are: a bare config.json, pickled weights, vocab.txt. Return the folder."""
    write_vocabulary(folder / "vocab.txt")
    configuration = model.config.to_dict()
    for key in ("model_type", "architectures", "transformers_version", "dtype"):
        configuration.pop(key, None)
    (folder / "config.json").write_text(json.dumps(configuration))
    torch.save(model.state_dict() if weights is None else weights, folder / "pytorch_model.bin")
    return folder


def old_names(weights: dict[str, Any]) -> dict[str, Any]:
    """Return weights under the names of checkpoints converted from TensorFlow in 2019."""
    return {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): value
        for name, value in weights.items()
    }


def definition(architecture: str, path: Path | None = None) -> dict[str, Any]:
    """Return the definition of a checkpoint in a local folder."""
    return {"source": "path", "path": str(path), "architecture": architecture, "tokenizer": "tiny"}


class FakeHub:
    """One model repository and what a hub answers about it; requests are counted."""

    def __init__(self, repository: str, folder: Path, commit: str) -> None:
        self.repository, self.folder, self.commit = repository, folder, commit
        self.revisions = {"main": commit}
        self.requests: list[str] = []
        self.tokens: list[str | None] = []
        self.failure: tuple[int, str] | None = None
        self.url = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and content for a path."""
        self.requests.append(path)
        if self.failure:
            status, code = self.failure
            return status, {"X-Error-Code": code, "X-Error-Message": "refused"}, b""
        path = path.split("?")[0]
        if path.startswith(f"/api/models/{self.repository}"):
            rest = path.removeprefix(f"/api/models/{self.repository}").split("/")
            revision = rest[2] if len(rest) > 2 else "main"
            commit = self.revisions.get(revision, revision)
            if commit != self.commit:
                return 404, {"X-Error-Code": "RevisionNotFound"}, b""
            files = sorted(file for file in self.folder.iterdir() if file.is_file())
            if rest[1:2] == ["tree"]:
                tree = [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": self._etag(f)} for f in files]
                return 200, {"Content-Type": "application/json"}, json.dumps(tree).encode()
            information = {
                "id": self.repository,
                "sha": self.commit,
                "siblings": [{"rfilename": f.name} for f in files],
            }
            return 200, {"Content-Type": "application/json"}, json.dumps(information).encode()
        file = self.folder / path.rsplit("/", 1)[-1]
        if path.startswith(f"/{self.repository}/resolve/") and file.is_file():
            headers = {"X-Repo-Commit": self.commit, "ETag": f'"{self._etag(file)}"'}
            return 200, headers, file.read_bytes()
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    @staticmethod
    def _etag(file: Path) -> str:
        """Return sha256 for weights (stored apart on a hub) and git's own name for the rest."""
        data = file.read_bytes()
        if file.suffix in (".bin", ".safetensors"):
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve a hub on a free port of this machine while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            hub.tokens.append(self.headers.get("Authorization"))
            status, headers, content = hub.answer(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
