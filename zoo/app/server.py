"""Runs the page until a signal ends it. Uploads lie in a temporary folder until they are read, a moment later."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from zoo.core.errors import MissingExtraError
from zoo.inference.predictor import Predictor
from zoo.service.listening import listen, url_of
from zoo.service.settings import Settings

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

#: Seconds after which an upload that nobody asked about is deleted, and between two looks.
_FORGOTTEN, _EVERY = 600, 60

#: Seconds that requests get to end.
_GRACE = 5


def run(predictor: Predictor, settings: Settings, started: Callable[[str], None]) -> None:
    """Serves the page of a model until SIGTERM or Ctrl-C.

    Args:
        predictor: The model, with runtime "keras" for heatmaps.
        settings: Address, token, and limits of uploads and queue.
        started: Called with the URL when the page can be opened.

    Raises:
        MissingExtraError: Gradio is not installed.
        UnknownNameError: The model has no such operating point.
        UsageError: The address cannot be listened on.
    """
    check_installed()
    with listen(settings) as sock, serving(predictor, settings, lambda: started(url_of(sock))) as server:
        server.run([sock])


@contextmanager
def serving(predictor: Predictor, settings: Settings, started: Callable[[], None]) -> Iterator[uvicorn.Server]:
    """A server that has not started, and the folder of its uploads, which is deleted at the end.

    Args:
        predictor: As in `run`.
        settings: As in `run`.
        started: Called when the page can be opened.
    """
    import uvicorn

    class Server(uvicorn.Server):
        """Does not raise the signal again, so that the folder is deleted."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                started()

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.force_exit, self.should_exit = self.should_exit, True

    with tempfile.TemporaryDirectory(prefix="zoo-app-", ignore_cleanup_errors=True) as folder:
        app = create_app(predictor, settings, Path(folder))
        config = uvicorn.Config(
            app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=_GRACE
        )
        yield Server(config)


def create_app(predictor: Predictor, settings: Settings, folder: Path) -> ASGIApp:
    """Returns the web application of the page.

    Args:
        predictor: The model.
        settings: Token and limits.
        folder: Where uploads lie until they are read.
    """
    # Gradio reads these when it is imported or when a page is made.
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_RUN_HISTORY": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
    import gradio as gr
    from fastapi import FastAPI

    from zoo.app import html
    from zoo.app.guard import Guard
    from zoo.app.page import Page, theme

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        task = asyncio.create_task(_sweep(folder))
        yield
        task.cancel()

    page = Page(predictor, settings, folder)
    page.warm()
    app = gr.mount_gradio_app(
        FastAPI(lifespan=lifespan, openapi_url=None), page.blocks(), "/", footer_links=[], show_error=True,
        max_file_size=predictor.limits.bytes, ssr_mode=False, enable_monitoring=False, pwa=False, mcp_server=False,
        theme=theme(), css=html.asset("page.css"), app_kwargs={"openapi_url": None},
    )  # fmt: skip
    return Guard(app, settings, folder)


def check_installed() -> None:
    """Raises `MissingExtraError` if Gradio is not installed."""
    if find_spec("gradio") is None:
        raise MissingExtraError("zoo app", "gradio", "app")


async def _sweep(folder: Path) -> None:
    """Deletes uploads whose browser went away before it asked about them."""
    while True:
        await asyncio.to_thread(_forget, folder, time.time() - _FORGOTTEN)
        await asyncio.sleep(_EVERY)


def _forget(folder: Path, before: float) -> None:
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
