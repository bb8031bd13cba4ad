"""A real HTTP server on this machine whose pages misbehave as they are told to."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Page = Callable[["Handler"], None]


class Loopback:
    """Pages by path, and what was asked for: path and `Range` of each request."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.pages: dict[str, Page] = {}
        self.asked: list[tuple[str, str | None]] = []

    def offer(self, path: str, page: Page) -> str:
        """Serve `page` under `path`; its address."""
        self.pages[path] = page
        return self.address + path


class Handler(BaseHTTPRequestHandler):
    """Answers with the page of the path."""

    protocol_version = "HTTP/1.1"
    loopback: Loopback

    def do_GET(self) -> None:
        self.loopback.asked.append((self.path, self.headers.get("Range")))
        self.loopback.pages.get(self.path, status(404))(self)

    def send(self, code: int, body: bytes, length: int | None = None, **headers: str) -> None:
        """A whole answer, or less than the length that it announces."""
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = length is not None

    def start(self) -> int:
        """First byte that is asked for."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def log_message(self, *_: object) -> None:
        """Nothing."""


def good(body: bytes, ranges: bool = True, kind: str = "application/octet-stream") -> Page:
    """A file, from where it is asked for if `ranges`."""

    def page(request: Handler) -> None:
        first = request.start()
        if not (ranges and first):
            request.send(200, body, Content_Type=kind)
        elif first >= len(body):
            request.send(416, b"", Content_Range=f"bytes */{len(body)}")
        else:
            request.send(206, body[first:], Content_Range=f"bytes {first}-{len(body) - 1}/{len(body)}")

    return page


def truncated(body: bytes, at: int, **headers: str) -> Page:
    """Breaks off after `at` bytes and does not know ranges."""
    return lambda request: request.send(200, body[:at], length=len(body), **headers)


def tagged(body: bytes, etag: str) -> Page:
    """A file that is continued only for who has the beginning of the same."""

    def page(request: Handler) -> None:
        if request.headers.get("If-Range") == etag:
            good(body)(request)
        else:
            request.send(200, body, ETag=etag)

    return page


def chunked(body: bytes, complete: bool = True) -> Page:
    """A file whose length is not announced, as a whole or without its end."""

    def page(request: Handler) -> None:
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for first in range(0, len(body), 3000):
            piece = body[first : first + 3000]
            request.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        if complete:
            request.wfile.write(b"0\r\n\r\n")
        request.close_connection = True

    return page


def status(code: int) -> Page:
    """An error."""
    return lambda request: request.send(code, b"<html>sorry</html>", Content_Type="text/html")


def redirect(to: str) -> Page:
    """To another address."""
    return lambda request: request.send(302, b"", Location=to)


def drip(body: bytes, seconds: float) -> Page:
    """A byte at a time."""

    def page(request: Handler) -> None:
        request.send(200, b"", length=len(body))
        for byte in body:
            try:
                request.wfile.write(bytes([byte]))
                request.wfile.flush()
            except OSError:
                return
            time.sleep(seconds)

    return page


def silent(seconds: float) -> Page:
    """No answer at all for a while."""

    def page(request: Handler) -> None:
        time.sleep(seconds)
        request.close_connection = True

    return page


def in_turn(*pages: Page) -> Page:
    """One page after the other; the last one for good."""
    waiting = list(pages)
    return lambda request: (waiting.pop(0) if len(waiting) > 1 else waiting[0])(request)


@contextmanager
def serving() -> Iterator[Loopback]:
    """A running server."""
    handler = type("LoopbackHandler", (Handler,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        handler.loopback = Loopback(server.server_port)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield handler.loopback
        server.shutdown()
