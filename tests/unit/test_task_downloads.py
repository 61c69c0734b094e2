"""Downloads from a local server that cuts, fails and changes its file."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from compactbio.errors import UserError
from compactbio.tasks.downloads import download, file_name_of, local_path

CONTENT = bytes(range(256)) * 40
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content`; `script` says what goes wrong with the next requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content = CONTENT
        self.script: list[str | int] = []
        self.requests: list[tuple[str, int]] = []  # range asked for, status answered

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data%20sets.tar.gz"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *arguments: object) -> None: ...

    def do_GET(self) -> None:
        server = self.server
        fault = server.script.pop(0) if server.script else None
        asked = self.headers.get("Range", "")
        etag = f'"{hashlib.sha256(server.content).hexdigest()[:8]}"'
        start = 0
        if asked and self.headers.get("If-Range") == etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        status = fault if isinstance(fault, int) else 206 if start else 200
        server.requests.append((asked, status))
        body = b"" if isinstance(fault, int) else server.content[start:]
        self.send_response(status)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(body)))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)


@pytest.fixture
def server():
    running = Server()
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield running
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_cut_transfer_goes_on_where_it_stopped(server: Server, tmp_path: Path) -> None:
    server.script = ["cut", 503, "cut"]
    waits: list[float] = []
    target = tmp_path / "cache" / "x"
    assert download([server.url], target, sha256=DIGEST, sleep=waits.append) == server.url
    assert target.read_bytes() == CONTENT
    assert [status for _, status in server.requests] == [200, 503, 206, 206]
    assert server.requests[2][0] == f"bytes={len(CONTENT) // 2}-"
    assert waits == [2, 4, 8]
    assert sorted(path.name for path in target.parent.iterdir()) == ["x", "x.lock"]


def test_a_file_changed_meanwhile_is_begun_again(server: Server, tmp_path: Path) -> None:
    server.script = ["cut"]
    with pytest.raises(UserError, match="cut short after 5120 bytes"):
        download([server.url], tmp_path / "x", tries=1)
    server.content = b"new" * 9
    download([server.url], tmp_path / "x")
    assert (tmp_path / "x").read_bytes() == b"new" * 9


def test_a_whole_file_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        download([server.url], tmp_path / "x", sha256=DIGEST)
    assert len(server.requests) == 1
    (tmp_path / "x").write_bytes(b"spoilt")
    download([server.url], tmp_path / "x", sha256=DIGEST)
    assert (tmp_path / "x").read_bytes() == CONTENT


def test_a_mirror_helps_and_a_missing_file_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.script = [404]
    used = download(["http://127.0.0.1:1/x", server.url, f"{server.url}?2"], tmp_path / "x", sleep=lambda _: None)
    assert used == f"{server.url}?2"


def test_a_wrong_digest_names_both_and_leaves_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"sha256 {DIGEST} where {'0' * 64} is expected"):
        download([server.url], tmp_path / "x", sha256="0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == ["x.lock"]


def test_what_kept_failing_is_listed(server: Server, tmp_path: Path) -> None:
    server.script = [500] * 4
    with pytest.raises(UserError, match=r"could not be downloaded: http://.*: the server says 500"):
        download([server.url], tmp_path / "x", sleep=lambda _: None)


def test_names_and_local_paths() -> None:
    assert file_name_of("https://x.org/a/data%20sets.tar.gz?v=2#top", "y") == "data sets.tar.gz"
    assert file_name_of("https://x.org/", "y") == file_name_of("https://x.org/%2E%2E", "y") == "y"
    assert local_path("file:///data/a%20b.zip") == Path("/data/a b.zip")
    assert local_path("file://results/x.zip") == Path("results/x.zip")
    assert local_path("https://x.org/x.zip") is None
