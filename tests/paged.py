"""The page of a model, served on this machine in a thread, and a browser of Debian's that opens it."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import browser

from zoo.app.server import serving
from zoo.inference.predictor import Predictor
from zoo.service.listening import listen, url_of
from zoo.service.settings import Settings


@contextmanager
def paged(predictor: Predictor, **settings: Any) -> Iterator[tuple[str, Path]]:
    """URL of a page, and the folder of its uploads."""
    chosen, begun = Settings(**{"port": 0, "files": 16, "queue": 32, **settings}), threading.Event()
    with listen(chosen) as sock, serving(predictor, chosen, begun.set) as server:
        thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
        thread.start()
        assert begun.wait(60)
        try:
            yield url_of(sock), Path(os.environ["GRADIO_TEMP_DIR"])
        finally:
            server.should_exit = True
            thread.join(30)


@contextmanager
def opened() -> Iterator[Any]:
    """A headless Chromium under Playwright."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which(str(browser.find())), args=["--no-sandbox"])
        yield found
        found.close()
