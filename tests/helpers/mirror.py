"""A server of files on this machine that misbehaves on demand."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HTML = b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n"


class Mirror:
    """Files of a folder over HTTP.

    Attributes:
        faults: {name: faults}, one taken at each request of that file: a status as "503" or "503 after 7" (its
            Retry-After); "cut" (half of the content, the stated length is the whole), "unframed" (whole, without
            length), "unframed cut"; "html" (a page with status 200), "wrong" (zeros), "flipped" (one bit),
            "no range", "wrong range" (another part), "encoded" (compressed on the way), "drip" (a byte, then
            silence for `drip_seconds` each), "to URL" (a redirect).
        tag: whether answers have an ETag.
        requests: (name, asked range) of each request; `if_range` what they named with If-Range.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, list[str]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.if_range: list[str | None] = []
        self.tag = True
        self.drip_seconds = 0.05
        self.url = ""

    def etag(self, name: str) -> str:
        return f'"{hashlib.sha256((self.folder / name).read_bytes()).hexdigest()[:12]}"'


@contextmanager
def serving(folder: Path) -> Iterator[Mirror]:
    """Serve a folder on 127.0.0.1 with the faults that the test sets."""
    state = Mirror(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2].partition("?")[0]
            state.requests.append((name, self.headers.get("Range")))
            state.if_range.append(self.headers.get("If-Range"))
            faults = state.faults.get(name, [])
            fault = faults.pop(0) if faults else ""
            path = state.folder / name
            if name == "":
                listing = "\n".join(f'<a href="{p.name}">{p.name}</a>' for p in sorted(folder.iterdir()))
                self.answer(200, listing.encode())
            elif fault[:3].isdecimal():
                wait = fault.partition(" after ")[2]
                self.answer(int(fault[:3]), b"busy", {"Retry-After": wait} if wait else {})
            elif fault.startswith("to "):
                self.answer(302, b"", {"Location": fault[3:]})
            elif not path.is_file():
                self.answer(404, b"no such file")
            else:
                self.send(path.read_bytes(), state.etag(name), fault)

        def send(self, content: bytes, etag: str, fault: str) -> None:
            if fault == "html":
                return self.answer(200, HTML, {"Content-Type": "text/html"})
            if fault == "wrong":
                content = bytes(len(content))
            if fault == "flipped":
                middle = len(content) // 2
                content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
            asked = self.headers.get("Range")
            first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and fault != "no range" else 0
            if self.headers.get("If-Range") not in (None, etag):
                first = 0
            headers = {"ETag": etag} if state.tag else {}
            if first and first >= len(content):
                return self.answer(416, b"", headers | {"Content-Range": f"bytes */{len(content)}"})
            if fault == "wrong range":
                first = 1
            if first:
                headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
            if fault == "encoded":
                headers["Content-Encoding"] = "gzip"
                content = gzip.compress(content)
            return self.answer(206 if first else 200, content[first:], headers, fault)

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, fault: str = "") -> None:
            self.send_response(status)
            for key, value in (headers or {}).items():
                self.send_header(key, value)
            if not fault.startswith("unframed"):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if fault == "drip":
                for place in range(min(len(body), 200)):
                    self.wfile.write(body[place : place + 1])
                    self.wfile.flush()
                    time.sleep(state.drip_seconds)
                return
            self.wfile.write(body[: len(body) // 2] if fault.endswith("cut") else body)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:  # the client has left
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        state.url = f"http://127.0.0.1:{server.server_address[1]}/files/"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield state
        server.shutdown()
        thread.join()
