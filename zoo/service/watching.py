"""Watches all requests: adds the statement of intended use to each response, counts, and knows what is in flight."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.evaluation.tables import RESEARCH_ONLY
from zoo.service.metrics import OTHER, Metrics

#: Header of each response.
HEADER = "X-Intended-Use"

PREDICT, HEALTH, READY, METRICS, DESCRIPTION = "/predict", "/health", "/ready", "/metrics", "/openapi.json"
_PATHS = {PREDICT, HEALTH, READY, METRICS, DESCRIPTION}


class State:
    """What a service is doing.

    Attributes:
        draining: Whether it ends: requests in flight are answered, new ones are refused.
        in_flight: Requests to /predict whose answer has not been sent.
    """

    def __init__(self) -> None:
        self.draining = False
        self.in_flight = 0


class Watch:
    """ASGI middleware around an application.

    Args:
        app: The application.
        state: Has its requests counted.
        metrics: Counts requests, and measures those to /predict.
    """

    def __init__(self, app: ASGIApp, state: State, metrics: Metrics) -> None:
        self.app, self.state, self.metrics = app, state, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection of the server."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in _PATHS else OTHER
        predicting = path == PREDICT and scope["method"] == "POST"
        begun, status = time.perf_counter(), 500

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(HEADER.lower().encode(), RESEARCH_ONLY.encode()), (b"cache-control", b"no-store")]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        self._fly(predicting)
        try:
            await self.app(scope, receive, sending)
        finally:
            self._fly(-predicting)
            self.metrics.requests.labels(path, str(status)).inc()
            if predicting:
                self.metrics.request_seconds.observe(time.perf_counter() - begun)

    def _fly(self, change: int) -> None:
        self.state.in_flight += change
        self.metrics.in_flight.set(self.state.in_flight)
