"""The web application: its addresses, who may use them, and what they answer."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import ClientDisconnect

from zoo._version import __version__
from zoo.core.errors import StateError
from zoo.evaluation.tables import RESEARCH_ONLY
from zoo.inference.predictor import Predictor
from zoo.service.answers import Answer, Findings, Health, ImageAnswer, Problem, Readiness
from zoo.service.engine import Engine
from zoo.service.metrics import Metrics
from zoo.service.refusals import KINDS, Refusal, busy
from zoo.service.settings import Settings
from zoo.service.uploads import FIELD, Ledger, Upload, read_uploads
from zoo.service.watching import DESCRIPTION, HEALTH, METRICS, PREDICT, READY, State, Watch

_log = logging.getLogger("zoo.service")

_TEXT = f"""\
**{RESEARCH_ONLY}**

`POST {PREDICT}` takes chest radiographs as a form (multipart/form-data) with a field `{FIELD}` for each file: JPEG,
PNG, DICOM and other formats. It answers with the findings of each file, in the order of upload. A file that cannot be
read has an `error`; the others are answered all the same.
"""

#: What OpenAPI says of the body: it is read by `uploads`, so that FastAPI does not see it.
_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": [FIELD],
                "additionalProperties": False,
                "properties": {
                    FIELD: {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "The image files; the field is repeated for each.",
                    }
                },
            }
        }
    },
}


def create_app(predictor: Predictor, settings: Settings, state: State | None = None) -> FastAPI:
    """Makes the application for a model; it starts and stops the threads of its engine with its own lifespan.

    Args:
        predictor: The model; its `limits` hold for each image.
        settings: Limits, token and sizes.
        state: Receives what the service is doing; see `zoo.service.server`.

    Raises:
        UsageError: The settings do not fit the model.
        UnknownNameError: The model has no operating point of this name.

    Example:
        >>> app = create_app(load("nih-lite"), Settings())  # doctest: +SKIP
    """
    service = _Service(predictor, settings, state or State())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        yield
        await asyncio.to_thread(service.engine.stop)

    app = FastAPI(
        title=f"zoo serve {predictor.name}",
        summary=RESEARCH_ONLY,
        description=_TEXT,
        version=__version__,
        lifespan=lifespan,
        openapi_url=DESCRIPTION,
        # The pages of FastAPI take scripts from another host.
        docs_url=None,
        redoc_url=None,
    )
    app.add_middleware(Watch, state=service.state, metrics=service.metrics)
    app.add_exception_handler(Refusal, service.refuse)
    guards = [Depends(_guard(settings.token))] if settings.token else []
    add = app.add_api_route
    add(
        PREDICT, service.predict, methods=["POST"], summary="Findings of chest radiographs", dependencies=guards,
        response_model=Answer, responses=_problems(bool(settings.token)), openapi_extra={"requestBody": _BODY},
    )  # fmt: skip
    add(HEALTH, service.health, summary="Whether the process runs", response_model=Health)
    add(
        READY, service.ready, summary="Whether images are answered now, and by which model",
        response_model=Readiness, responses={503: {"model": Readiness, "description": "Not now: the service ends."}},
    )  # fmt: skip
    text: dict[int | str, dict[str, Any]] = {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    add(
        METRICS, service.text, summary="Metrics in the text format of Prometheus", dependencies=guards,
        response_class=Response, responses=text | ({401: _problems(True)[401]} if guards else {}),
    )  # fmt: skip
    return app


class _Service:
    """What the addresses do."""

    def __init__(self, predictor: Predictor, settings: Settings, state: State) -> None:
        self.predictor, self.settings, self.state = predictor, settings, state
        self.metrics, self.ledger = Metrics(), Ledger(settings.held)
        self.engine = Engine(predictor, settings, self.metrics)

    async def predict(self, request: Request) -> Response:
        begun, taken, uploads = time.monotonic(), list[int](), list[Upload]()
        if self.state.draining:
            raise busy("the service ends: try again later")
        try:
            uploads = await self._uploads(request, taken)
            found = await self._findings(uploads, begun + self.settings.seconds)
        finally:
            self._give_back(sum(taken))
        self._note(uploads, found, time.monotonic() - begun)
        results = [ImageAnswer(file=upload.name, **each) for upload, each in zip(uploads, found, strict=True)]
        return JSONResponse({"results": results})

    async def health(self) -> Health:
        return Health(status="ok")

    async def ready(self) -> Response:
        now = not self.state.draining and self.engine.running
        model, runtime = self.predictor, self.predictor.runtime
        found = Readiness(
            ready=now, model=model.name, source=model.source, manifest_sha256=model.manifest_sha256,
            runtime=runtime.name, precision=runtime.precision,
        )  # fmt: skip
        return JSONResponse(found, 200 if now else 503, headers=None if now else {"Retry-After": "1"})

    async def text(self) -> Response:
        self.metrics.held.set(self.ledger.held)
        return Response(self.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Makes the response for a refused request."""
        assert isinstance(error, Refusal)
        self.metrics.errors.labels(error.kind).inc()
        _log.info("%s %d: %s", request.url.path, error.status, error.kind)
        return JSONResponse({"detail": error.text}, error.status, headers=error.headers)

    async def _uploads(self, request: Request, taken: list[int]) -> list[Upload]:
        asked = self.settings
        try:
            async with asyncio.timeout(asked.seconds):
                return await read_uploads(
                    request.headers, request.stream(),
                    body=asked.body, files=asked.files, ledger=self.ledger, taken=taken,
                )  # fmt: skip
        except TimeoutError:
            raise Refusal("slow upload", f"the request did not arrive within {asked.seconds:g} s") from None
        except ClientDisconnect:
            raise Refusal("malformed", "the client broke off the upload") from None

    async def _findings(self, uploads: list[Upload], end: float) -> list[Findings]:
        answers = self.engine.submit([upload.content for upload in uploads])
        try:
            async with asyncio.timeout(end - time.monotonic()):
                return list(await asyncio.gather(*answers))
        except TimeoutError:
            raise Refusal("slow", f"no findings within {self.settings.seconds:g} s: send fewer files") from None
        except StateError:
            raise Refusal("fault", "a fault of the service: its log has the traceback") from None
        finally:
            for answer in answers:
                answer.cancel()

    def _give_back(self, count: int) -> None:
        self.ledger.give_back(count)

    def _note(self, uploads: list[Upload], found: list[Findings], seconds: float) -> None:
        bad = sum(each["error"] is not None for each in found)
        names = f": {[upload.name for upload in uploads]}" if self.settings.log_names else ""
        _log.info("%s 200: %d images, %d unreadable, %.3f s%s", PREDICT, len(found), bad, seconds, names)


def _guard(token: str) -> Callable[..., Awaitable[None]]:
    """A dependency that refuses requests without the token, in a time that does not tell how much of it is right."""
    scheme = HTTPBearer(auto_error=False, description="The secret in ZOO_TOKEN where the service was started.")

    async def check(given: HTTPAuthorizationCredentials | None = Depends(scheme)) -> None:  # noqa: B008
        sent = "" if given is None else given.credentials
        if not secrets.compare_digest(sent.encode(), token.encode()):
            raise Refusal("unauthorized", "send the header Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})

    return check


def _problems(guarded: bool) -> dict[int | str, dict[str, Any]]:
    """Status -> what OpenAPI says of it."""
    return {
        int(status): {"model": Problem, "description": text}
        for kind, (status, text) in KINDS.items()
        if guarded or kind != "unauthorized"
    }
