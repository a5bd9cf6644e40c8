"""The running server: two listeners on this machine, the Hub's and that of its files."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

from .access import USERS, User
from .faults import Faults
from .handler import Handler
from .store import Store


def serve(root: Path | str, **options: Any) -> Server:
    """Starts a Hub that keeps its files under `root`; the options are those of `Server`."""
    return Server(Path(root), **options)


class Server:
    """A Hub on 127.0.0.1, running until `close`; a context manager.

    Args:
        root: Folder for what it keeps; what an earlier one kept there is removed.
        port: Of the Hub; 0 takes a free one.
        users: User by token; by default `access.USERS`.
        xet: Whether it has a xet store (a folder of this machine) beside LFS.
        page_size: Rows of one page of a listing.
        part_size: Bytes of one part of a multipart upload.

    Attributes:
        url: For HF_ENDPOINT.
        cdn_url: Where large files are; another origin, as the client follows redirects on one and the same origin and
            then misses the commit header. Even the host's name is another one.
        store: Repos and files, for tests to look into and to plant.
        faults: What shall go wrong.
        log: (method, path, user name or "") of each request, in order; paths are percent-encoded, with their query.
        answers: (method, path, status) of the same requests; 0 is a dropped connection.
        leaks: (method, path) of the requests that brought a token to `cdn_url`.
        errors: What went wrong in this server itself.
    """

    def __init__(
        self,
        root: Path,
        port: int = 0,
        *,
        users: dict[str, User] | None = None,
        xet: bool = False,
        page_size: int = 1000,
        part_size: int = 5_000_000,
    ) -> None:
        self.users = USERS if users is None else users
        self.page_size, self.part_size = page_size, part_size
        self.store = Store(root.resolve())
        self.xet_store = self.store.root / "xet" if xet else None
        self.faults = Faults()
        self.log: list[tuple[str, str, str]] = []
        self.answers: list[tuple[str, str, int]] = []
        self.leaks: list[tuple[str, str]] = []
        self.errors: list[BaseException] = []
        self._listeners: list[Listener] = []
        self._listen(port, 0)
        self.url = f"http://127.0.0.1:{self._listeners[0].server_port}"
        self.cdn_url = f"http://localhost:{self._listeners[1].server_port}"

    def reset(self) -> None:
        """Forgets everything: repos, faults, log, leaks."""
        self.store.clear()
        self.faults.clear()
        for told in (self.log, self.answers, self.leaks, self.errors):
            told.clear()

    @contextlib.contextmanager
    def down(self) -> Iterator[None]:
        """While it lasts nobody answers: a connection is refused."""
        ports = [listener.server_port for listener in self._listeners]
        self.close()
        try:
            yield
        finally:
            self._listen(*ports)

    def close(self) -> None:
        """Stops; open connections end too, so that the client finds nobody."""
        for listener in self._listeners:
            listener.shutdown()
            listener.server_close()
            listener.hang_up()
        self._listeners.clear()

    def _listen(self, port: int, cdn_port: int) -> None:
        self._listeners = [Listener(self, port, is_cdn=False), Listener(self, cdn_port, is_cdn=True)]
        for listener in self._listeners:
            threading.Thread(target=listener.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


class Listener(ThreadingHTTPServer):
    """One of the two origins; a thread for each connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, hub: Server, port: int, *, is_cdn: bool) -> None:
        self.hub, self.is_cdn = hub, is_cdn
        self._connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        for connection in list(self._connections):
            # It may have ended by itself in the meantime.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client may hang up at any time; everything else is an error of this server, kept for the test to see."""
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.hub.errors.append(error)
