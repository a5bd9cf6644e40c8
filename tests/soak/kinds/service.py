"""Requests to `zoo serve` that no client should send: answers without a fault, and the next client is served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import standin
from served import form as files
from served import png, serving

from soak import Trial, Wrong
from soak.damaged_images import damaged as damaged_image
from soak.http_damage import Request, damaged, exchange, form, statuses
from soak.mutation import Rng
from soak.sound_images import sound_images
from zoo.data.images.limits import Limits

AIM, SECONDS, MEMORY = 2_000, 10.0, 512 << 20

PATHS = (
    "/", "/health", "/ready", "/metrics", "/openapi.json", "/predict/", "//predict", "/../etc/passwd", "/predict%00",
    "/%2e%2e/%2e%2e/etc/passwd", "http://127.0.0.1/predict", "*", "", "/\x01", "/" + "a/" * 3000, "/docs", "predict",
)  # fmt: skip

#: Statuses of a request that the service understood, or refused.
ANSWERS = {100, 200, 307, 400, 401, 404, 405, 408, 411, 413, 414, 415, 417, 422, 426, 431, 503, 504}


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    images = sound_images()
    names = [*images]
    with serving(standin.predictor(), Limits(pixels=1_000_000), body=200_000, files=4, queue=8) as client:
        host, port = client.base_url.host, client.base_url.port
        wanted = client.post("/predict", files=files(png(1))).json()

        def trial(number: int, rng: Rng) -> str:
            name = names[number % len(names)]
            content = png(1) if number % 3 else damaged_image(images[name], name, [*images.values()], rng)[0]
            kind, body = form([("files", "a.png", content)] * int(rng.integers(1, 4)))
            request = Request("POST", "/predict", (("Host", "x"), ("Connection", "close"), kind), body)
            if number % 3 == 0:
                data, done = request.raw(), "a damaged image"
            else:
                data, done = damaged(request, PATHS, rng)
            found = statuses(exchange(host, port, data, SECONDS / 2))
            if strange := {*found} - ANSWERS:
                raise Wrong(f"{done}: status {strange}")
            _served(client, wanted, done)
            return f"{done}: {found[0] if found else 'no answer'}"

        yield trial


def _served(client: object, wanted: object, done: str) -> None:
    answer = client.post("/predict", files=files(png(1)))  # type: ignore[attr-defined]
    if answer.status_code != 200 or answer.json() != wanted:
        raise Wrong(f"{done}: afterwards a sound request gets {answer.status_code}: {answer.text[:300]}")
