"""Damaged HTTP requests: lines, headers, lengths, chunks and forms, sent as bytes over a socket."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from soak import Wrong, mutation
from soak.mutation import Rng

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "PATCH", "X" * 5000, "")
HEADERS = (
    ("Content-Length", "0"), ("Content-Length", "-1"), ("Content-Length", "99999999999999999999"), ("Content-Length",
    "+5"),
    ("Content-Length", "1, 2"), ("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "gzip, chunked"),
    ("Expect", "100-continue"), ("Upgrade", "websocket"), ("Connection", "upgrade"), ("Host", ""), ("Host", "a b"),
    ("Content-Type", "application/json"), ("Content-Type", "multipart/form-data"), ("Content-Encoding", "gzip"),
    ("Content-Type", "multipart/form-data; boundary=" + "b" * 300), ("X-A", "a" * 60_000), ("X-A\0", "b"), ("", ""),
    ("X-Forwarded-For", "127.0.0.1"), ("Range", "bytes=0-99999999999"), ("Cookie", "a=" + "b" * 5000), ("X-A",
    "é\r\n b"),
    ("Authorization", "Bearer \xff"), ("Accept-Encoding", "gzip, br, *;q=-1"), ("X-HTTP-Method-Override", "DELETE"),
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    """A request in its parts; a length is added when it is sent, unless a header has one."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    version: str = "HTTP/1.1"
    chunks: tuple[bytes, ...] | None = None

    def raw(self) -> bytes:
        headers = list(self.headers)
        names = {name.lower() for name, _ in headers}
        if self.chunks is not None:
            headers.append(("Transfer-Encoding", "chunked"))
        elif "content-length" not in names and "transfer-encoding" not in names:
            headers.append(("Content-Length", str(len(self.body))))
        head = f"{self.method} {self.path} {self.version}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers) + "\r\n"
        return head.encode("utf-8", "surrogatepass") + (self.body if self.chunks is None else b"".join(self.chunks))


def form(parts: Sequence[tuple[str, str, bytes]], boundary: str = "edge") -> tuple[tuple[str, str], bytes]:
    """The header and the body of a form of files: name of the field, name of the file, content."""
    edge = boundary.encode()
    pieces = [
        b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\nContent-Type: image/png\r\n\r\n%s\r\n'
        % (edge, field.encode(), name.encode("utf-8", "surrogatepass"), content)
        for field, name, content in parts
    ]
    return ("Content-Type", f"multipart/form-data; boundary={boundary}"), b"".join(pieces) + b"--%s--\r\n" % edge


def damaged(request: Request, paths: Sequence[str], rng: Rng) -> tuple[bytes, str]:
    """The bytes of a damaged request, and what was done."""
    name = [*WAYS][rng.integers(len(WAYS))]
    found = WAYS[name](request, paths, rng)
    return (found if isinstance(found, bytes) else found.raw()), name


def _header(request: Request, _: Sequence[str], rng: Rng) -> Request:
    new = [HEADERS[rng.integers(len(HEADERS))] for _ in range(int(rng.choice([1, 1, 2, 400])))]
    kept = [pair for pair in request.headers if rng.random() < 0.8]
    return replace(request, headers=(*kept, *new) if rng.random() < 0.5 else (*new, *kept))


def _chunked(request: Request, _: Sequence[str], rng: Rng) -> Request:
    sizes = [b"%x" % len(request.body), b"ffffffffffffffff", b"-1", b"0x10", b"1;a=b" * 2000, b"", b"zz", b"0"]
    size = sizes[rng.integers(len(sizes))]
    ends = [b"0\r\n\r\n", b"", b"0\r\nX: y\r\n\r\n", b"\r\n"]
    return replace(request, chunks=(size + b"\r\n", request.body, b"\r\n", ends[rng.integers(len(ends))]))


WAYS: dict[str, Callable[[Request, Sequence[str], Rng], Request | bytes]] = {
    "bytes of the request": lambda request, _, rng: mutation.blind(request.raw(), rng)[0],
    "bytes of the head": lambda request, _, rng: mutation.flip(replace(request, body=b"").raw(), rng) + request.body,
    "bytes of the body": lambda request, _, rng: replace(request, body=mutation.blind(request.body or b"x", rng)[0]),
    "cut off": lambda request, _, rng: mutation.cut(request.raw(), rng),
    "another method": lambda request, _, rng: replace(request, method=METHODS[rng.integers(len(METHODS))]),
    "another path": lambda request, paths, rng: replace(request, path=paths[rng.integers(len(paths))]),
    "a longer path": lambda request, _, rng: replace(request, path=request.path + "?a=" + "%41" * 20_000),
    "another version": lambda request, _, rng: replace(
        request, version=str(rng.choice(["HTTP/1.0", "HTTP/0.9", "HTTP/2.0", "HTTP/9", "ICE/1.0", ""]))
    ),
    "headers": _header,
    "chunks": _chunked,
    "no request": lambda request, _, rng: rng.bytes(int(rng.integers(1, 3000))),
    "two at a time": lambda request, _, rng: request.raw() + mutation.blind(request.raw(), rng)[0],
    "another body": lambda request, _, rng: replace(request, body=rng.bytes(int(rng.integers(0, 3000)))),
}


def exchange(host: str, port: int, data: bytes, seconds: float) -> bytes:
    """Sends the bytes, says that no more come, and returns what is answered until the other side ends."""
    with socket.create_connection((host, port), timeout=seconds) as raw:
        try:
            raw.sendall(data)
            raw.shutdown(socket.SHUT_WR)
            return received(raw)
        except TimeoutError:
            raise Wrong(f"no end within {seconds:g} s") from None
        except OSError:  # the other side has had enough
            return b""


def received(raw: socket.socket) -> bytes:
    parts = []
    while part := raw.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def statuses(answer: bytes) -> list[int]:
    """The status of each answer of a connection.

    Raises:
        Wrong: What came is no HTTP.
    """
    if not answer:
        return []
    if not answer.startswith(b"HTTP/1."):
        raise Wrong(f"no answer of HTTP: {answer[:80]!r}")
    found = []
    for piece in answer.split(b"HTTP/1.")[1:]:
        words = piece.split(b" ", 2)
        if len(words) > 1 and words[1][:3].isdigit():
            found.append(int(words[1][:3]))
    return found


def abrupt(raw: socket.socket) -> None:
    """Makes a socket reset its connection when it is closed."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
