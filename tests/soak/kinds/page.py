"""Requests to `zoo app` that no browser sends: no file of the machine is shown, and the page goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
from builders import tiny_release
from paged import paged
from served import TOKEN, png

from soak import Executed, Trial, Wrong, json_damage
from soak.http_damage import Request, damaged, exchange, form, statuses
from soak.mutation import Rng

AIM, SECONDS, MEMORY = 2_000, 15.0, 512 << 20

SECRET = b"the secret of this machine 0451"


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    import zoo

    secret = folder / "secret.txt"
    secret.write_bytes(SECRET)
    predictor = zoo.load(tiny_release(folder / "release", members=1))
    with paged(predictor, token=TOKEN, body=200_000, held=100_000_000) as (url, uploads):
        place = urlsplit(url)
        paths = _paths(secret, uploads)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {TOKEN}"}, timeout=SECONDS) as client:
            joins = _joins(client, secret)

            def trial(number: int, rng: Rng) -> str:
                request, what = _request(number, rng, paths, joins)
                data, done = damaged(request, paths, rng) if rng.random() < 0.7 else (request.raw(), "as it is")
                answer = exchange(place.hostname, place.port, data, SECONDS / 2)
                if SECRET in answer:
                    raise Executed(f"{what}, {done}: a file of this machine was shown")
                found = statuses(answer) if b"text/event-stream" not in answer else [200]
                if 500 in found and not _of_the_page(answer):
                    raise Wrong(f"{what}, {done}: {answer[-600:]!r}")
                _goes_on(client, f"{what}, {done}")
                return f"{what}, {done}: {found[0] if found else 'no answer'}"

            yield trial


def _of_the_page(answer: bytes) -> bool:
    """Whether the fault is one that Gradio answers itself, without a trace of ours."""
    return b"zoo/" not in answer and b"Traceback" not in answer


def _paths(secret: Path, uploads: Path) -> list[str]:
    files = [
        str(secret),
        "/etc/passwd",
        f"{uploads}/../{secret.name}",
        "../" * 12 + str(secret),
        f"{uploads}/x\0",
        "C:\\a",
    ]
    places = [
        "/gradio_api/file=",
        "/file=",
        "/gradio_api/file/",
        "/static/",
        "/assets/",
        "/gradio_api/stream/",
        "/theme.css?",
    ]
    found = [
        place + (quote(file) if i % 2 else file.replace("\0", "%00"))
        for i, file in enumerate(files)
        for place in places
    ]
    return [
        *found, "/", "/config", "/gradio_api/info", "/gradio_api/upload", "/gradio_api/queue/data?session_hash=a",
        "/gradio_api/startup-events", "/gradio_api/heartbeat/x", "/gradio_api/upload_progress?upload_id=x", "/login",
        "/gradio_api/call/nothing", "/gradio_api/proxy=http://127.0.0.1:1/", "/monitoring", "/openapi.json",
        "/gradio_api/reset", "/gradio_api/component_server", "/token", "/gradio_api/deep_link", "*", "",
    ]  # fmt: skip


def _joins(client: httpx.Client, secret: Path) -> list[str]:
    """Bodies of calls of the page's functions, with a file of this machine in place of an upload."""
    functions = client.get("/config").json()["dependencies"]
    file = {"path": str(secret), "orig_name": "a.png", "meta": {"_type": "gradio.FileData"}}
    return [
        json.dumps({"data": data, "fn_index": function["id"], "session_hash": "abc", "event_data": None})
        for function in functions[:8]
        for data in ([[file]], [file], [{"url": f"file://{secret}"}], [None, 1, "x"])
    ]


def _request(number: int, rng: Rng, paths: list[str], joins: list[str]) -> tuple[Request, str]:
    token = () if rng.random() < 0.1 else (("Authorization", f"Bearer {TOKEN}"),)
    headers = (("Host", "127.0.0.1"), ("Connection", "close"), *token)
    way = number % 3
    if way == 0:
        names = ("a.png", "../../x.png", "a" * 400, "é.dcm", "\0", "/etc/x", ".", "CON", "a/b.png")
        kind, body = form([("files", names[rng.integers(len(names))], png(int(rng.integers(9))))])
        return Request("POST", "/gradio_api/upload", (*headers, kind), body), "an upload"
    if way == 1:
        text, _ = json_damage.damaged(joins[rng.integers(len(joins))], rng)
        place = (
            "/gradio_api/queue/join",
            "/gradio_api/run/predict",
            "/gradio_api/call/0",
            "/gradio_api/component_server",
        )
        kind = ("Content-Type", "application/json")
        body = text.encode("utf-8", "surrogatepass")
        return Request("POST", place[rng.integers(len(place))], (*headers, kind), body), "a call"
    return Request("GET", paths[rng.integers(len(paths))], headers), "a path"


def _goes_on(client: httpx.Client, done: str) -> None:
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", png(1))})
    if answer.status_code != 200 or len(answer.json()) != 1:
        raise Wrong(f"{done}: afterwards an upload gets {answer.status_code}: {answer.text[:300]}")
    Path(answer.json()[0]).unlink()
    if client.get("/config").status_code != 200:
        raise Wrong(f"{done}: afterwards the page is not shown")
