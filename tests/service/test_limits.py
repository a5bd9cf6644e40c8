"""Each limit of a request and of an image, each kind of broken request: status, words, and a service that goes on."""

import json
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from served import form, png, serving, slow, until

from zoo.core.errors import UsageError
from zoo.data.images.limits import Limits
from zoo.service.settings import Settings

#: About the service alone: one backend tells as much as two.
pytestmark = pytest.mark.tensorflow_only


def detail(answer, status):
    assert answer.status_code == status, answer.text
    return answer.json()["detail"]


def part(content=b"x", name="files", head=b""):
    return b'--edge\r\nContent-Disposition: form-data; name="%s"; filename="a.png"\r\n%s\r\n%s\r\n' % (
        name.encode(), head, content,
    )  # fmt: skip


def sent(client, body, kind="multipart/form-data; boundary=edge"):
    return client.post("/predict", content=body, headers={"Content-Type": kind})


@contextmanager
def begun(client, framing, body=b""):
    """The socket of an upload that has sent its headers, one of which says how it is framed, and a part of its body."""
    host, port = urlsplit(str(client.base_url)).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        kind = b"Content-Type: multipart/form-data; boundary=edge"
        raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\n%s\r\n%s\r\n\r\n%s" % (framing, kind, body))
        yield raw


@pytest.fixture(scope="module")
def client():
    limits = Limits(bytes=20_000, pixels=10_000, seconds=5)
    with serving(slow(), limits, body=50_000, files=3, queue=8) as found:
        yield found


def goes_on(client):
    assert client.post("/predict", files=form(png(1))).status_code == 200


def test_a_body_that_declares_too_many_bytes_is_refused_before_it_is_read(client):
    with begun(client, b"Content-Length: 99999999") as raw:
        assert raw.recv(1000).startswith(b"HTTP/1.1 413")
    goes_on(client)


def test_a_body_of_unknown_length_is_counted_while_it_arrives(client):
    """Its end never comes: the refusal does not wait for it."""
    chunk = part(bytes(20_000))
    with begun(client, b"Transfer-Encoding: chunked") as raw:
        for _ in range(3):
            raw.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        answer = raw.recv(1000)
    assert answer.startswith(b"HTTP/1.1 413")
    goes_on(client)


def test_more_files_than_a_request_may_have(client):
    words = detail(client.post("/predict", files=form(*[png(i) for i in range(4)])), 413)
    assert words == "more than 3 files: send them in several requests"


def test_limits_of_an_image_are_errors_of_that_image_alone(client):
    """Too many bytes, too many pixels, and a sound one."""
    many = png(1, side=120)
    answer = client.post("/predict", files=form(bytes(20_001), many, png(2))).json()["results"]
    assert answer[0]["error"] == "a file of 20,001 bytes; at most 20,000 bytes are read"
    assert answer[1]["error"] == "130 x 120 pixels; at most 0.01 megapixels are read"
    assert answer[2]["error"] is None
    assert [len(result["findings"]) for result in answer] == [0, 0, 3]


def test_seconds_of_an_image():
    with serving(limits=Limits(seconds=1e-6)) as client:
        error = client.post("/predict", files=form(png(0, side=400))).json()["results"][0]["error"]
    assert error == "not decoded within 1e-06 s of processor time"


@pytest.mark.parametrize(
    "body, kind, status, words",
    [
        (b"{}", "application/json", 415, "send a form (multipart/form-data) with the field 'files' for each file"),
        (b"{}", "multipart/form-data", 400, "the Content-Type has no boundary (of at most 200 characters)"),
        (b"", None, 400, "the body ends before the last boundary of its form"),
        (b"junk", None, 400, "the body is no valid multipart form"),
        (part(), None, 400, "the body ends before the last boundary of its form"),
        (part(head=b"X-A: " + bytes(17_000) + b"\r\n") + b"--edge--\r\n", None, 400, None),
        (part(head=b"X-A: " + b"a" * 17_000 + b"\r\n") + b"--edge--\r\n", None, 400, None),
        (part(head=b"X-A: b\r\n" * 3000) + b"--edge--\r\n", None, 400, None),
        (b"--edge--\r\n", None, 422, "the form has no files: send each in a field 'files'"),
        (part(name="a") + b"--edge--\r\n", None, 422, "a field 'a': only files are sent, each in a field 'files'"),
        (
            b'--edge\r\nContent-Disposition: form-data; name="files"\r\n\r\nimage.png\r\n--edge--\r\n', None, 422,
            "a field 'files' with a text: send a file (curl: -F files=@image.png)",
        ),
        (part() + part(name="x") + b"--edge--\r\n", None, 422, None),
    ],
    ids=["json", "no boundary", "empty", "junk", "cut off", "zeros", "long", "many", "none", "name", "text", "another"],
)  # fmt: skip
def test_a_request_that_is_no_form_of_files(client, body, kind, status, words):
    found = detail(sent(client, body, kind or "multipart/form-data; boundary=edge"), status)
    assert words is None or found == words
    goes_on(client)


def test_a_client_that_breaks_off_its_upload_leaves_nothing_behind(client):
    with begun(client, b"Content-Length: 9999", part(bytes(5000))):
        until(lambda: "zoo_requests_in_flight 1.0" in client.get("/metrics").text)
    until(lambda: "zoo_requests_in_flight 0.0" in client.get("/metrics").text)
    assert "zoo_upload_bytes 0.0" in client.get("/metrics").text


def test_a_full_queue_answers_503_and_when_to_try_again():
    opened = threading.Event()
    with serving(slow(gate=opened), queue=4, files=4) as client, ThreadPoolExecutor(4) as threads:
        first = threads.submit(client.post, "/predict", files=form(*[png(i) for i in range(3)]))
        until(lambda: "zoo_queue_images 3.0" in client.get("/metrics").text)
        refused = client.post("/predict", files=form(png(7), png(8)))
        assert detail(refused, 503) == "the queue of 4 images is full: try again later"
        assert 1 <= int(refused.headers["Retry-After"]) <= 60
        fits = threads.submit(client.post, "/predict", files=form(png(9)))
        until(lambda: "zoo_queue_images 4.0" in client.get("/metrics").text)
        opened.set()
        assert first.result().status_code == fits.result().status_code == 200
        goes_on(client)
        assert 'zoo_errors_total{kind="busy"} 1.0' in client.get("/metrics").text


def test_uploads_of_all_requests_together_are_bounded():
    opened = threading.Event()
    large = png(0, side=100)
    with serving(slow(gate=opened), body=15_000, held=15_000) as client, ThreadPoolExecutor(1) as threads:
        first = threads.submit(client.post, "/predict", files=form(large))
        until(lambda: "zoo_queue_images 1.0" in client.get("/metrics").text)
        refused = client.post("/predict", files=form(large))
        assert "uploads of other requests fill the memory" in detail(refused, 503)
        assert refused.headers["Retry-After"] == "1"
        opened.set()
        assert first.result().status_code == 200
        goes_on(client)


def test_time_of_a_request_to_arrive():
    with serving(seconds=0.3) as client, begun(client, b"Content-Length: 9999", b"--edge") as raw:
        assert raw.recv(1000).startswith(b"HTTP/1.1 408")


def test_time_of_a_request_to_be_answered():
    opened = threading.Event()
    with serving(slow(gate=opened), seconds=0.3) as client:
        assert detail(client.post("/predict", files=form(png(0))), 504) == "no findings within 0.3 s: send fewer files"
        opened.set()
        goes_on(client)


def test_images_of_a_request_that_has_timed_out_are_not_computed():
    opened = threading.Event()
    predictor = slow(gate=opened)
    with serving(predictor, seconds=0.5, batch=1) as client:
        assert client.post("/predict", files=form(*[png(i) for i in range(12)])).status_code == 504
        opened.set()
        until(lambda: "zoo_queue_images 0.0" in client.get("/metrics").text)
    assert sum(predictor.runtime.calls) <= 1 + 2  # the warm-up, and the two batches that had begun


def test_a_fault_of_the_network_is_answered_500_and_the_next_request_is_served(caplog):
    predictor = slow()
    logits, broken = predictor.runtime.logits, threading.Event()

    def failing(pixels, full=0):
        if broken.is_set():
            raise RuntimeError("out of memory")
        return logits(pixels, full)

    predictor.runtime.logits = failing
    with serving(predictor) as client:
        broken.set()
        answer = client.post("/predict", files=form(png(0)))
        assert detail(answer, 500) == "a fault of the service: its log has the traceback"
        broken.clear()
        goes_on(client)
        assert client.get("/ready").status_code == 200
    assert "out of memory" in caplog.text


def test_settings_that_cannot_work_are_refused():
    for wrong, words in (
        ({"queue": 10, "files": 20}, "a request of 20 files never fits in a queue of 10 images"),
        ({"body": 10**9, "held": 10**6}, "never fits"),
        ({"seconds": 0}, "seconds has to be positive, got 0"),
        ({"batch": 0}, "batch has to be at least 1, got 0"),
        ({"wait": 60}, "wait has to be between 0 and 10 s"),
        ({"port": 70_000}, "a port is a number from 0 to 65535"),
    ):
        with pytest.raises(UsageError, match=words):
            Settings(**wrong)


def test_errors_are_counted_by_kind(client):
    """Nothing in the metrics names a file or a client."""
    sent(client, b"{}", "application/json")
    text = client.get("/metrics").text
    assert 'zoo_errors_total{kind="not multipart"}' in text
    assert 'zoo_requests_total{path="/predict",status="415"}' in text
    client.get("/secret/../of/somebody")
    assert 'path="other",status="404"' in client.get("/metrics").text
    assert "somebody" not in client.get("/metrics").text
    assert json.loads(client.get("/openapi.json").text)["info"]["summary"].startswith("Research software")
