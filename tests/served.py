"""Services for tests: a predictor served on this machine, in a thread of this process or in a process of its own.

python tests/served.py SETTINGS     serves the slow stand-in; SETTINGS is JSON: of `Settings`, and "delay" in seconds
"""

import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import standin
from PIL import Image

from zoo.data.images.limits import Limits
from zoo.inference.predictor import Predictor
from zoo.service.server import listen, make_server, url_of
from zoo.service.settings import Settings

ROOT = Path(__file__).parents[1]

#: A token that is long enough.
TOKEN = "0123456789abcdef"


class Slow(standin.StandIn):
    """The stand-in, which takes its time for each batch, or waits for a `gate` to open."""

    def __init__(self, delay: float = 0.0, gate: threading.Event | None = None) -> None:
        super().__init__()
        self.delay, self.gate = delay, gate

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        if pixels.any():  # not at the start, where all are 0
            time.sleep(self.delay)
            assert self.gate is None or self.gate.wait(30)
        return super().logits(pixels, full)


def slow(delay: float = 0.0, gate: threading.Event | None = None) -> Predictor:
    predictor = standin.predictor()
    predictor.runtime = Slow(delay, gate)
    return predictor


@contextmanager
def serving(
    predictor: Predictor | None = None, limits: Limits | None = None, **settings: Any
) -> Iterator[httpx.Client]:
    """A client of a service in a thread."""
    predictor = predictor or standin.predictor()
    predictor.limits = limits or Limits()
    chosen, begun = Settings(**{"port": 0, **settings}), threading.Event()
    with listen(chosen) as sock:
        server = make_server(predictor, chosen, begun.set)
        thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
        thread.start()
        assert begun.wait(60)
        try:
            with httpx.Client(base_url=url_of(sock), timeout=60) as client:
                yield client
        finally:
            server.handle_exit(15, None)
            thread.join(30)
            assert not thread.is_alive()


class Process:
    """A service in a process of its own.

    Attributes:
        url: Where it answers.
        lines: What it has printed.
    """

    def __init__(self, command: list[str], **environment: str) -> None:
        variables = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", **environment}
        self.process = subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        begun = threading.Event()
        threading.Thread(target=self._read, args=(begun,), daemon=True).start()
        assert begun.wait(120), self.lines
        self.url = next((w for line in self.lines for w in line.split() if w.startswith("http")), "")
        assert self.url, self.lines
        self.url = self.url.removesuffix("/predict")

    def _read(self, begun: threading.Event) -> None:
        for line in self.process.stdout:
            self.lines.append(line)
            if "http://" in line:
                begun.set()
        begun.set()

    def memory(self) -> int:
        """Resident bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def end(self, seconds: float) -> int:
        """Sends SIGTERM, and returns the exit status."""
        self.process.terminate()
        return self.process.wait(seconds)


@contextmanager
def process(*command: str, **environment: str) -> Iterator[Process]:
    found = Process([sys.executable, *command], **environment)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def standin_process(**settings: Any) -> Any:
    """`process` with the slow stand-in."""
    return process(str(ROOT / "tests" / "served.py"), json.dumps({"port": 0, **settings}))


def png(seed: int, side: int = 40) -> bytes:
    """A file of noise, different for each seed."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side + 10), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def form(*contents: bytes, names: tuple[str, ...] = ()) -> list[tuple[str, tuple[str, bytes]]]:
    """Argument `files` of httpx for some files."""
    return [("files", (names[i] if names else f"image{i}.png", each)) for i, each in enumerate(contents)]


def chances(result: dict[str, Any]) -> list[float | None]:
    return [finding["probability"] for finding in result["findings"]]


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def _written(event: str, arguments: tuple[Any, ...]) -> None:
    """Prints each file that the process opens to write."""
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        os.write(1, f"WRITES {arguments[0]}\n".encode())


if __name__ == "__main__":
    from zoo.service.server import run

    asked = json.loads(sys.argv[1])
    model = slow(asked.pop("delay", 0.0))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.dont_write_bytecode = True
    sys.addaudithook(_written)
    sys.exit(int(run(model, Settings(**asked), lambda url: print(f"ready at {url}", flush=True)) > 0))
