"""HTTP: reads a request, lets a fault strike it, finds its route, sends the answer."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlsplit

from . import routes
from .access import identify
from .answers import Answer, Refusal
from .faults import Fault
from .request import Request

if TYPE_CHECKING:
    from .server import Listener

_PIECE = 1 << 20


class Handler(BaseHTTPRequestHandler):
    """Answers the requests of one connection, one after the other."""

    protocol_version = "HTTP/1.1"
    # The head and the body of an answer are two packets: the second must not wait for the first one's receipt.
    disable_nagle_algorithm = True
    server: Listener

    def handle_one(self) -> None:
        body, hub = self._read_body(), self.server.hub
        if self._leaks():
            hub.leaks.append((self.command, self.path))
        fault = hub.faults.strike(self.command, self.path)
        if fault and fault.kind == "drop":
            self._log(0)
            self.close_connection = True
            return
        try:
            answer = faulty_answer(fault, self.path) or self._answer(body)
        except Refusal as refusal:
            answer = refusal.answer()
        self._log(answer.status)
        self._send(answer, fault)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_one

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the requests are in `Server.log`."""

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _leaks(self) -> bool:
        return self.server.is_cdn and "Authorization" in self.headers

    def _answer(self, body: bytes) -> Answer:
        if self._leaks():
            raise Refusal(400, "Only one auth mechanism allowed")
        user = identify(self.headers.get("Authorization", ""), self.server.hub.users)
        url = urlsplit(self.path)
        route, args = routes.find(self.command, url.path, self.server.is_cdn)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        return route(Request(self.server.hub, self.command, self.path, query, self.headers, body, user, args))

    def _log(self, status: int) -> None:
        # What the client asks once a process for itself is no part of a test's story.
        if self.path == "/api/agent-harnesses":
            return
        hub = self.server.hub
        user = hub.users.get(self.headers.get("Authorization", "").removeprefix("Bearer "))
        hub.log.append((self.command, self.path, user.name if user else ""))
        hub.answers.append((self.command, self.path, status))

    def _send(self, answer: Answer, fault: Fault | None) -> None:
        kind = fault.kind if fault else ""
        if kind == "delay" and fault:
            time.sleep(fault.seconds)
        if kind == "lose":
            self.close_connection = True
            return
        length = answer.length + (fault.by if fault and kind == "length" else 0)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if kind == "etag" and name.endswith("ETag"):
                value = f'"{hashlib.sha256(value.encode()).hexdigest()}"'
            self.send_header(name, _header_text(value))
        self.send_header("X-Request-Id", secrets.token_hex(8))
        self.send_header("Content-Length", str(max(length, 0)))
        self.end_headers()
        if kind in ("truncate", "length"):
            self.close_connection = True
        if self.command != "HEAD":
            for piece in faulty_pieces(pieces(answer), answer.length, fault):
                self.wfile.write(piece)


def faulty_answer(fault: Fault | None, path: str) -> Answer | None:
    """The answer of a fault that takes the place of the true one, else None."""
    if fault is None:
        return None
    if fault.kind == "status":
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        raise Refusal(fault.status, "A fault that the test ordered", fault.code, headers)
    if fault.kind == "redirect":
        return Answer(302, headers={"Location": fault.location or path})
    if fault.kind == "html":
        page = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Wi-Fi of the hospital</body></html>\n"
        return Answer(200, page, {"Content-Type": "text/html"})
    return None


def pieces(answer: Answer) -> Iterator[bytes]:
    if isinstance(answer.data, bytes):
        yield answer.data[answer.start : answer.stop]
        return
    left = answer.length
    with Path(answer.data).open("rb") as file:
        file.seek(answer.start)
        while left > 0 and (piece := file.read(min(left, _PIECE))):
            left -= len(piece)
            yield piece


def faulty_pieces(true: Iterator[bytes], length: int, fault: Fault | None) -> Iterator[bytes]:
    """The body, cut short, with one byte of its middle flipped, or slowly."""
    kind, middle, at = fault.kind if fault else "", length // 2, 0
    for piece in true:
        here = middle - at
        at += len(piece)
        if kind == "truncate" and here < len(piece):
            yield piece[:here]
            return
        if kind == "corrupt" and 0 <= here < len(piece):
            piece = piece[:here] + bytes([piece[here] ^ 0xFF]) + piece[here + 1 :]
        sent = 0
        while kind == "drip" and fault and sent < len(piece) and (rate := fault.rate):
            step = max(1, rate // 20)
            yield piece[sent : sent + step]
            sent += step
            time.sleep(step / rate)
        yield piece[sent:]


def _header_text(value: str) -> str:
    """A message may quote what came, in any script: a header is one line of ASCII."""
    return " ".join(value.encode("ascii", "replace").decode().split())
