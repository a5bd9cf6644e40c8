"""What answers of a DICOMweb server mean: by a small server here; `test_orthanc` has a real one."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs the extra node")
pytest.importorskip("dicomweb_client", reason="needs the extra node")

from dicoms import radiograph

from zoo.node.archive import RefusedError, UnreachableError
from zoo.node.dicomweb import Poller, WebServer
from zoo.node.spool import Spool

pytestmark = pytest.mark.tensorflow_only  # nothing here depends on the backend


def film(number=1, side=48):
    return radiograph(np.random.default_rng(number).integers(0, 256, (side, side + 8)), study="1.2", number=number)


class Answers:
    """What the server is asked, and answers: a function from method and path to status, type and content."""

    def __init__(self, answer):
        self.answer, self.asked, self.tokens = answer, [], set()


@contextmanager
def server(answer):
    state = Answers(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.partition("?")[0]
            state.asked.append(f"{self.command} {path}")
            state.tokens.add(self.headers["Authorization"])
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, kind, content = state.answer(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *arguments):
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=found.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{found.server_address[1]}", state
    finally:
        found.shutdown()
        found.server_close()


@pytest.fixture(autouse=True)
def direct(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def result(tmp_path):
    (tmp_path / "0.dcm").write_bytes(film())
    return tmp_path / "0.dcm"


STORED = json.dumps({"00081199": {"vr": "SQ", "Value": [{}]}}).encode()
FAILED = json.dumps({"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [0xA700]}}]}}).encode()


def test_a_stored_result_is_confirmed_and_the_token_is_sent(result):
    confirmed = []
    with server(lambda *_: (200, "application/dicom+json", STORED)) as (url, state):
        WebServer(url, "a-token").send([result], confirmed.append)
    assert confirmed == [result]
    assert state.asked == ["POST /studies"]
    assert state.tokens == {"Bearer a-token"}


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (202, FAILED, RefusedError),
        (409, b"", RefusedError),
        (400, b"", RefusedError),
        (503, b"", UnreachableError),
        (401, b"", UnreachableError),
        (429, b"", UnreachableError),
    ],
)
def test_what_is_refused_and_what_may_pass(result, status, content, error):
    confirmed = []
    with server(lambda *_: (status, "application/dicom+json", content)) as (url, _), pytest.raises(error) as told:
        WebServer(url).send([result], confirmed.append)
    assert confirmed == []
    assert "127.0.0.1" not in str(told.value)
    assert "1.2" not in str(told.value).replace("status", "")


def test_a_server_that_is_away_may_come_back(result):
    with server(lambda *_: (200, "text/plain", b"")) as (url, _):
        pass
    with pytest.raises(UnreachableError, match="cannot be reached"):
        WebServer(url).send([result], print)


def studies(images):
    """Answers of a server with one study of these images; None stands for one that it does not give."""

    def answer(method, path):
        if path.startswith("/studies?"):
            found = [{"0020000D": {"vr": "UI", "Value": ["1.2"]}, "00201208": {"vr": "IS", "Value": [len(images)]}}]
            return (
                200,
                "application/dicom+json",
                json.dumps(found if "=CR" in path and "offset=0" in path else []).encode(),
            )
        if path.startswith("/studies/1.2/instances?"):
            found = [
                {"0020000E": {"vr": "UI", "Value": ["1.2.2"]}, "00080018": {"vr": "UI", "Value": [f"1.2.2.{number}"]}}
                for number in images
            ]
            return 200, "application/dicom+json", json.dumps(found if "=CR" in path else []).encode()
        content = images[int(path.rpartition(".")[2])]
        if content is None:
            return 404, "text/plain", b""
        body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--x--"
        return 200, 'multipart/related; type="application/dicom"; boundary=x', body

    return answer


def test_new_images_are_fetched_once_and_what_fails_is_left_out(tmp_path):
    images = {1: film(1), 2: None, 3: b"no DICOM", 4: film(4, side=400), 5: film(5)}
    with server(studies(images)) as (url, state), Spool(tmp_path / "spool").opened() as spool:
        poller = Poller(WebServer(url, most=10_000), spool, quiet=1e-9, every=1e-9)
        for _ in range(3):
            poller._next = 0.0
            poller.poll()
        fetched = [path for path in state.asked if path.count("/") == 6]
        assert [path.rpartition(".")[2] for path in fetched] == ["1", "2", "3", "4", "5"]
        assert len(list(spool.receiving.glob("*/*.dcm"))) == 2
        images[6] = film(6)  # a new image: the study is looked at again
        poller._next = 0.0
        poller.poll()
        poller._next = 0.0
        poller.poll()
        assert len(list(spool.receiving.glob("*/*.dcm"))) == 3


def test_a_full_spool_is_tried_again(tmp_path):
    with (
        server(studies({1: film(1), 2: film(2)})) as (url, _),
        Spool(tmp_path / "spool", objects=1).opened() as spool,
    ):
        poller = Poller(WebServer(url), spool, quiet=1e-9, every=1e-9)
        for _ in range(2):
            poller._next = 0.0
            poller.poll()
        assert len(list(spool.receiving.glob("*/*.dcm"))) == 1
        spool.finish(*spool.complete(0))
        poller._next = 0.0
        poller.poll()
        assert len(list(spool.receiving.glob("*/*.dcm"))) == 1


def test_an_answer_that_is_no_json_is_an_error_of_its_own(tmp_path):
    answer = 200, "application/dicom+json", b"<html>"
    with server(lambda *_: answer) as (url, _), Spool(tmp_path / "spool").opened() as spool:
        poller = Poller(WebServer(url), spool, quiet=1)
        with pytest.raises((RefusedError, UnreachableError)):
            poller.poll()
