"""Runs the application until a signal ends it: requests in flight are answered, new ones are refused."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable
from types import FrameType

import uvicorn

from zoo.inference.predictor import Predictor
from zoo.service.application import create_app
from zoo.service.listening import listen, url_of
from zoo.service.settings import Settings
from zoo.service.watching import State

#: Connections at a time, idle ones included.
_CONNECTIONS = 1000

#: Seconds after which an idle connection is closed.
_IDLE = 15


def run(predictor: Predictor, settings: Settings, started: Callable[[str], None]) -> int:
    """Serves a model until SIGTERM or Ctrl-C; a second signal ends it at once.

    After the first signal `/ready` answers 503, as do new requests; those in flight get `settings.drain` seconds.

    Args:
        predictor: The model.
        settings: Address, limits and token.
        started: Called with the URL when requests are answered.

    Returns:
        Number of requests that were cut off without an answer.

    Raises:
        UsageError: The address cannot be listened on, or the settings do not fit the model.
    """
    with listen(settings) as sock:
        server = make_server(predictor, settings, lambda: started(url_of(sock)))
        server.run([sock])
    return server.cut_off


def make_server(predictor: Predictor, settings: Settings, started: Callable[[], None]) -> Server:
    """Returns a server that has not started; `server.run([listen(settings)])` runs it, here or in a thread.

    Raises:
        UsageError: The settings do not fit the model.
    """
    state = State()
    app = create_app(predictor, settings, state)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, proxy_headers=False,
        limit_concurrency=_CONNECTIONS, timeout_keep_alive=_IDLE, timeout_graceful_shutdown=1,
    )  # fmt: skip
    return Server(config, state, settings.drain, started)


class Server(uvicorn.Server):
    """Drains before it ends, and does not raise the signal again, so that the exit status is 0.

    Args:
        config: Of uvicorn.
        state: What the application is doing; a signal sets `draining`.
        drain: Seconds that requests in flight get.
        started: Called when requests are answered.
    """

    def __init__(self, config: uvicorn.Config, state: State, drain: float, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.state, self.drain, self.cut_off = state, drain, 0
        self._tell, self._end = started, 0.0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts to listen, and tells so."""
        await super().startup(sockets)
        if self.started:
            self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handles a signal: the first begins the drain, the second ends it."""
        self._end = 0.0 if self.state.draining else time.monotonic() + self.drain
        self.state.draining = True

    async def on_tick(self, counter: int) -> bool:
        """Is called ten times a second; returns whether to end."""
        if self.state.draining and (not self.state.in_flight or time.monotonic() > self._end):
            self.cut_off, self.should_exit = self.state.in_flight, True
        return await super().on_tick(counter)
