"""`zoo serve` under locust, beside the bare runtime on the same images: throughput at saturation and response times.

Service and bare runtime are measured in turns, each after the other, on one machine with the clients, which take
processor time too. The bare runtime has the images' pixels in memory, or reads them from the contents of their files as
the service has to (`Predictor.predict`).
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from served import Process

import zoo
from zoo.core import home
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom

USERS, SECONDS, ROUNDS, IMAGES = 32, 12, 3, 64
SECTION = "Service: `zoo serve nih-lite --runtime openvino` under locust"
TEXT = f"""\
{USERS} clients (locust) without pauses, on the machine that serves, {ROUNDS} rounds of {SECONDS} s in turns with the
bare runtime; medians. Every answer is compared with that of its own images. "of pixels" is the throughput as a share of
the bare runtime's with the pixels in memory, "of files" of `Predictor.predict`'s from the same files in memory. "CPU"
is the processor time of the service for an image as a multiple of `Predictor.predict`'s, which other work on the
machine changes least."""


@dataclass(frozen=True)
class Load:
    """Images, what is expected of them, and requests that are made of them."""

    contents: list[bytes]
    model: zoo.Predictor
    pixels: np.ndarray

    def write(self, folder: Path, files: int) -> None:
        chances = self.model.predict(self.contents)[:, 0].tolist()
        bodies = len(self.contents) // files
        for i in range(bodies):
            (folder / f"{i}.body").write_bytes(body(self.contents[i * files : (i + 1) * files]))
        (folder / "expected.json").write_text(json.dumps([chances[i * files : (i + 1) * files] for i in range(bodies)]))


def body(contents: list[bytes]) -> bytes:
    head = b'--edge\r\nContent-Disposition: form-data; name="files"; filename="image.jpg"\r\n\r\n'
    return b"".join(head + content + b"\r\n" for content in contents) + b"--edge--\r\n"


def of_wheel() -> list[bytes]:
    paths = home.example_images()
    return [paths[i % len(paths)].read_bytes() for i in range(IMAGES)]


def phantoms() -> list[bytes]:
    files = []
    for i in range(IMAGES):
        rng = np.random.default_rng(i)
        small = Image.fromarray(draw_phantom(rng, ("Edema",) if i % 2 else ())[0]).resize((1024, 1024))
        files.append(io.BytesIO())
        pixels = np.asarray(small) + rng.normal(0, 3, (1024, 1024))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(files[-1], "JPEG", quality=85)
    return [file.getvalue() for file in files]


@pytest.fixture(scope="module")
def service() -> Iterator[Process]:
    pytest.importorskip("openvino", reason="needs the extra 'serve'")
    if find_spec("locust") is None:  # which changes the threads of a process that imports it
        pytest.skip("locust is not installed")
    command = [sys.executable, "-m", "zoo.cli", "serve", "nih-lite", "--runtime", "openvino", "--port", "0"]
    found = Process(command)
    yield found
    assert found.end(30) == 0


@pytest.mark.parametrize("files", [1, 8])
@pytest.mark.parametrize("images", [of_wheel, phantoms])
def test_service(
    service: Process,
    record: Callable[..., None],
    describe: Callable[..., None],
    tmp_path: Path,
    images: Callable[[], list[bytes]],
    files: int,
):
    describe(SECTION, TEXT)
    contents, model = images(), zoo.load("nih-lite", runtime="openvino")
    load = Load(contents, model, np.stack([read_image(content, model.image_size) for content in contents]))
    load.write(tmp_path, files)
    locust(service.url, tmp_path, 3)
    rounds = []
    bare = [measured(load)]
    for _ in range(ROUNDS):
        before = cpu(service.process.pid)
        served = locust(service.url, tmp_path, SECONDS)
        each = (cpu(service.process.pid) - before) / (served["requests"] * files)
        bare.append(measured(load))
        around = [statistics.mean(pair) for pair in zip(*bare[-2:], strict=True)]
        rounds.append((served["rate"] * files, served, around, each))
    middle = [statistics.median(r[0] / r[2][i] for r in rounds) for i in (0, 1)]
    times = {p: statistics.median(r[1][p] for r in rounds) for p in ("p50", "p95", "p99")}
    kind = "JPEG of 320 px, real" if images is of_wheel else "JPEG of 1024 px, phantoms"
    record(SECTION, {
        "images": kind, "files a request": files, "images/s": round(statistics.median(r[0] for r in rounds), 1),
        "of pixels": f"{middle[0]:.0%}", "of files": f"{middle[1]:.0%}",
        "CPU": f"{statistics.median(r[3] / r[2][2] for r in rounds):.2f}",
        "clients' CPU (ms/image)": round(statistics.median(r[1]["client"] for r in rounds) / files, 2),
    } | {f"{p} (ms)": round(value) for p, value in times.items()})  # fmt: skip


def measured(load: Load) -> tuple[float, float, float]:
    """Images a second of the bare runtime on pixels, and on files; processor seconds of the latter for an image."""
    runtime, n = load.model.runtime, len(load.contents)
    size, begun = runtime.batch_size, time.perf_counter()
    for _ in range(2):
        for i in range(0, n, size):
            runtime.logits(load.pixels[i : i + size])
    pixels = 2 * n / (time.perf_counter() - begun)
    begun, before = time.perf_counter(), time.process_time()
    for _ in range(2):
        load.model.predict(load.contents)
    return pixels, 2 * n / (time.perf_counter() - begun), (time.process_time() - before) / (2 * n)


def cpu(pid: int) -> float:
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def locust(url: str, folder: Path, seconds: int) -> dict[str, float]:
    """Requests, requests a second, and percentiles of the response time in ms; raises if one failed."""
    file = Path(__file__).with_name("locust_service.py")
    command = [sys.executable, "-m", "locust", "-f", str(file), "--headless", "-u", str(USERS), "-r", str(USERS)]
    command += ["-t", f"{seconds}s", "-H", url, "--json", "--loglevel", "ERROR", "--stop-timeout", "10"]
    environment = {**os.environ, "SERVICE_LOAD": str(folder)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    (found,) = json.loads(done.stdout)
    assert found["num_failures"] == 0, found
    times = np.repeat(
        [float(ms) for ms in found["response_times"]], [int(count) for count in found["response_times"].values()]
    )
    p50, p95, p99 = np.percentile(times, [50, 95, 99])
    count, took = found["num_requests"], found["last_request_timestamp"] - found["start_time"]
    client = 1000 * float((folder / "client-seconds").read_text()) / count
    return {"requests": count, "rate": count / took, "p50": p50, "p95": p95, "p99": p99, "client": client}
