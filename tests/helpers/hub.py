"""A hub of one model repository on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class FakeHub:
    """One model repository and what a hub answers about it; requests are counted."""

    def __init__(self, repository: str, folder: Path, commit: str) -> None:
        self.repository, self.folder, self.commit = repository, folder, commit
        self.revisions = {"main": commit}
        self.requests: list[str] = []
        self.tokens: list[str | None] = []
        self.failure: tuple[int, str] | None = None
        self.lie: dict[str, Any] = {}  # "api": its answers; of files "headers", "flip", "drip" (seconds a byte)
        self.url = ""

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and content for a path."""
        self.requests.append(path)
        if self.failure:
            status, code = self.failure
            return status, {"X-Error-Code": code, "X-Error-Message": "refused"}, b""
        path = path.split("?")[0]
        if path.startswith("/api/") and "api" in self.lie:
            return 200, {"Content-Type": "application/json"}, self.lie["api"]
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
            content = file.read_bytes()
            if "flip" in self.lie:
                content = content[:-1] + bytes([content[-1] ^ 1])
            return 200, headers | self.lie.get("headers", {}), content
        return 404, {"X-Error-Code": "RepoNotFound"}, b""

    @staticmethod
    def _etag(file: Path) -> str:
        """Return sha256 for weights (stored apart on a hub) and git's own name for the rest."""
        data = file.read_bytes()
        if file.suffix in (".bin", ".safetensors"):
            return hashlib.sha256(data).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@contextmanager
def serving_hub(hub: FakeHub) -> Iterator[FakeHub]:
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
            if self.command == "HEAD":
                return
            if "drip" in hub.lie and not self.path.startswith("/api/"):
                with contextlib.suppress(OSError):  # the client has left
                    for place in range(len(content)):
                        self.wfile.write(content[place : place + 1])
                        self.wfile.flush()
                        time.sleep(hub.lie["drip"])
                self.close_connection = True
                return
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
