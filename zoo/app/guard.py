"""What stands before the page: the token, the limits of an upload, and headers that keep the browser on this server."""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from contextlib import suppress
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from zoo.evaluation.tables import RESEARCH_ONLY
from zoo.service.settings import Settings

#: Gradio's script evaluates templates, and styles are written into elements; both come from this server alone.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: blob:; base-uri 'self'; "
    "form-action 'self'; object-src 'none'"
)

_HEADERS = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-intended-use": RESEARCH_ONLY,
}


#: Seconds for which the body of a refused upload is read and dropped.
_PATIENCE = 30


class Guard:
    """ASGI middleware around the page.

    Args:
        app: The page.
        settings: Token, `body` for one upload and `held` for all that wait.
        folder: Where uploads lie until they are read.
    """

    def __init__(self, app: ASGIApp, settings: Settings, folder: Path) -> None:
        self.app, self.settings, self.folder = app, settings, folder
        self._arriving = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection of the server."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # the page uses no other protocol

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        headers = Headers(scope=scope)
        if self.settings.token and not _knows(headers.get("authorization", ""), self.settings.token):
            text = "This page needs a password: its token (ZOO_TOKEN), with any user name.\n"
            answer = PlainTextResponse(text, 401, {"www-authenticate": 'Basic realm="zoo app", charset="UTF-8"'})
            await answer(scope, receive, sending)
        elif scope["method"] == "POST":
            await self._post(headers, scope, receive, sending)
        else:
            await self.app(scope, receive, sending)

    async def _post(self, headers: Headers, scope: Scope, receive: Receive, send: Send) -> None:
        """A request with a body, whose length is known before it comes; the server reads no more than that."""
        stated, body = headers.get("content-length", ""), self.settings.body
        if not stated.isascii() or not stated.isdecimal():
            await PlainTextResponse("Send a Content-Length.\n", 411)(scope, receive, send)
            return
        size = int(stated)
        if size > body:
            text = f"The files are larger than {body / 1e6:,.4g} MB together: choose fewer.\n"
            await _refuse(PlainTextResponse(text, 413), scope, receive, send)
            return
        if size + self._arriving + _stored(self.folder) > self.settings.held:
            text = "The uploads of others fill the memory: try again in a minute.\n"
            await _refuse(PlainTextResponse(text, 503, {"retry-after": "60"}), scope, receive, send)
            return
        self._arriving += size
        try:
            await self.app(scope, receive, send)
        finally:
            self._arriving -= size


async def _refuse(answer: PlainTextResponse, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers after the body has come and been dropped: a browser that is still sending would not hear the answer."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_PATIENCE):
            while (await receive()).get("more_body"):
                pass
    await answer(scope, receive, send)


def _knows(given: str, token: str) -> bool:
    """Whether a header Authorization has the token, as "Bearer TOKEN" or as the password of a browser's dialogue."""
    scheme, _, value = given.partition(" ")
    if scheme.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode("utf-8", "replace").partition(":")[2]
        except (binascii.Error, ValueError):
            return False
    elif scheme.lower() != "bearer":
        return False
    return secrets.compare_digest(value.encode(), token.encode())


def _stored(folder: Path) -> int:
    """Bytes of the files in a folder, some of which may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except FileNotFoundError:
            continue
    return total
