"""Every client gets the findings of its own images, whatever the others send at the same time."""

import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from builders import tiny_release
from served import chances, form, png, process, serving, slow, standin_process

import zoo

CLIENTS, REQUESTS = 64, 3


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("release") / "tiny", members=1)


def test_64_clients_of_a_network_each_get_their_own_findings(release, tmp_path):
    """Through the command, a process of its own and real connections: up to three images a request, some unreadable."""
    contents = {
        (c, r): [png(1000 * c + 10 * r + i) for i in range(1 + (c + r) % 3)]
        for c in range(CLIENTS)
        for r in range(REQUESTS)
    }
    for c in range(0, CLIENTS, 7):
        contents[c, 1][0] = b"no image"
    flat = [content for each in contents.values() for content in each]
    with pytest.warns(UserWarning, match="without a prediction"):
        expected = iter(zoo.load(release).predict(flat))
    own = {key: [next(expected) for _ in each] for key, each in contents.items()}
    # Any two images are told apart: by far more, nearly always, than the tolerance below.
    first = [row[0] for rows in own.values() for row in rows]
    assert np.nanstd(first) > 0.1

    answers = {}
    together = threading.Barrier(CLIENTS)

    def client(c):
        with httpx.Client(base_url=service.url, timeout=120) as own_client:
            together.wait()
            for r in range(REQUESTS):
                names = tuple(f"client{c}-{r}-{i}.png" for i in range(len(contents[c, r])))
                answers[c, r] = own_client.post("/predict", files=form(*contents[c, r], names=names)).json()["results"]

    backend = os.environ["KERAS_BACKEND"]
    command = ("-m", "zoo.cli", "serve", str(release), "--port", "0", "--backend", backend, "--max-batch", "8")
    with process(*command, ZOO_HOME=str(tmp_path / "home")) as service:
        with ThreadPoolExecutor(CLIENTS) as threads:
            list(threads.map(client, range(CLIENTS)))
        metrics = httpx.get(f"{service.url}/metrics").text
        assert service.end(30) == 0
    assert len(answers) == CLIENTS * REQUESTS
    for (c, r), results in answers.items():
        assert [result["file"] for result in results] == [f"client{c}-{r}-{i}.png" for i in range(len(contents[c, r]))]
        for result, row in zip(results, own[c, r], strict=True):
            if np.isnan(row).all():
                assert result["findings"] == []
                assert "not an image" in result["error"]
            else:
                np.testing.assert_allclose(chances(result), row, atol=2e-5)
    assert f'zoo_requests_total{{path="/predict",status="200"}} {CLIENTS * REQUESTS}.0' in metrics
    unreadable = len(range(0, CLIENTS, 7))
    assert f'zoo_images_total{{outcome="unreadable"}} {unreadable}.0' in metrics
    assert f'zoo_images_total{{outcome="predicted"}} {len(flat) - unreadable}.0' in metrics
    assert "zoo_queue_images 0.0" in metrics


@pytest.mark.tensorflow_only
def test_images_of_several_requests_share_batches():
    opened = threading.Event()
    predictor = slow(gate=opened)
    calls = predictor.runtime.calls
    with serving(predictor, batch=8) as client, ThreadPoolExecutor(20) as threads:
        answers = [threads.submit(client.post, "/predict", files=form(png(i))) for i in range(20)]
        while "zoo_queue_images 20.0" not in client.get("/metrics").text:
            pass
        opened.set()
        assert [answer.result().status_code for answer in answers] == [200] * 20
        metrics = client.get("/metrics").text
    own = calls[2:]  # the first two warm up
    assert sum(own) == 20
    assert max(own) == 8
    assert len(own) < 8
    assert f"zoo_batch_images_count {len(own)}.0" in metrics
    assert "zoo_batch_images_sum 20.0" in metrics


@pytest.mark.tensorflow_only
def test_an_image_is_answered_while_another_one_is_read_slowly(monkeypatch):
    """A slow image holds up neither the batch of the others nor their requests."""
    from zoo.service import engine

    reading, release = engine.read, threading.Event()

    def read(content, *arguments):
        if len(content) > 100_000:
            assert release.wait(30)
        return reading(content, *arguments)

    monkeypatch.setattr(engine, "read", read)
    with serving(slow()) as client, ThreadPoolExecutor(1) as threads:
        late = threads.submit(client.post, "/predict", files=form(png(0, side=400)))
        while "zoo_queue_images 1.0" not in client.get("/metrics").text:
            pass
        assert client.post("/predict", files=form(png(1))).status_code == 200
        assert not late.done()
        release.set()
        assert late.result().json()["results"][0]["error"] is None


@pytest.mark.tensorflow_only
def test_memory_is_bounded_under_200_requests():
    """Large images by eight clients: what they hold is given back."""
    large = png(0, side=1000)
    assert len(large) > 1_000_000
    with standin_process() as service, ThreadPoolExecutor(8) as threads:

        def send(_):
            return httpx.post(f"{service.url}/predict", files=form(large), timeout=60).status_code

        assert set(threads.map(send, range(20))) == {200}
        before = service.memory()
        assert set(threads.map(send, range(200))) == {200}
        grown = (service.memory() - before) / 1e6
        metrics = httpx.get(f"{service.url}/metrics").text
    assert grown < 60, grown
    assert "zoo_upload_bytes 0.0" in metrics


@pytest.mark.tensorflow_only
def test_nothing_uploaded_is_written_to_a_disk_or_named_in_the_log():
    """The process prints each file that it opens to write; a form parser would spool the large file to one."""
    with standin_process() as service:
        files = form(png(0, side=1500), b"no image", names=("DOE^JANE.png", "SECRET-ID.dcm"))
        answer = httpx.post(f"{service.url}/predict", files=files, timeout=60)
        assert [result["file"] for result in answer.json()["results"]] == ["DOE^JANE.png", "SECRET-ID.dcm"]
        assert httpx.post(f"{service.url}/predict", content=b"x").status_code == 415
        assert service.end(30) == 0
    printed = "".join(service.lines)
    assert "WRITES" not in printed
    assert "/predict 200: 2 images, 1 unreadable" in printed
    assert "DOE" not in printed
    assert "SECRET" not in printed


@pytest.mark.tensorflow_only
def test_names_are_logged_on_request():
    with standin_process(log_names=True) as service:
        httpx.post(f"{service.url}/predict", files=form(png(0), names=("a\nb.png",)))
        service.end(30)
    assert "'a%0Ab.png'" in "".join(service.lines)  # httpx escapes the line break


@pytest.mark.tensorflow_only
def test_the_audit_of_writes_finds_a_write(tmp_path):
    """The check itself."""
    import subprocess
    import sys

    target = tmp_path / "spooled"
    code = f"import sys, served; sys.addaudithook(served._written); open({json.dumps(str(target))}, 'wb')"
    folder = Path(__file__).parents[1]
    found = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert f"WRITES {target}" in found.stdout
