"""SIGTERM: requests in flight are answered, new ones are not taken, and the process ends with status 0 in time."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from served import form, png, standin_process, until

pytestmark = pytest.mark.tensorflow_only


def metrics(url):
    return httpx.get(f"{url}/metrics").text


def in_flight(url):
    return float(re.search(r"^zoo_requests_in_flight (\S+)", metrics(url), re.M)[1])


def test_requests_in_flight_are_answered_before_the_process_ends():
    with standin_process(delay=1.0, batch=2) as service, ThreadPoolExecutor(8) as threads:

        def send(i):
            return httpx.post(f"{service.url}/predict", files=form(png(i), png(i + 100)), timeout=60)

        answers = [threads.submit(send, i) for i in range(8)]
        until(lambda: in_flight(service.url) == 8)
        begun = time.monotonic()
        service.process.terminate()
        # While they are answered the service says that it takes no more.
        until(lambda: httpx.get(f"{service.url}/ready").status_code == 503)
        ready = httpx.get(f"{service.url}/ready")
        assert ready.json()["ready"] is False
        assert httpx.get(f"{service.url}/health").status_code == 200
        refused = httpx.post(f"{service.url}/predict", files=form(png(0)))
        assert refused.status_code == 503
        assert refused.json()["detail"] == "the service ends: try again later"
        assert refused.headers["Retry-After"] == "1"
        results = [answer.result() for answer in answers]
        assert [answer.status_code for answer in results] == [200] * 8
        assert all(len(result["findings"]) == 3 for answer in results for result in answer.json()["results"])
        assert service.process.wait(20) == 0
        assert time.monotonic() - begun < 20


def test_an_idle_service_ends_at_once():
    with standin_process() as service, httpx.Client(base_url=service.url) as client:
        client.get("/health")  # leaves a connection that is kept open
        begun = time.monotonic()
        assert service.end(20) == 0
        assert time.monotonic() - begun < 5


def test_what_does_not_end_in_time_is_cut_off_and_told():
    with standin_process(delay=6.0, drain=0.5) as service, ThreadPoolExecutor(1) as threads:
        lost = threads.submit(lambda: httpx.post(f"{service.url}/predict", files=form(png(0)), timeout=60))
        until(lambda: in_flight(service.url) == 1)
        begun = time.monotonic()
        assert service.end(30) == 1
        assert time.monotonic() - begun < 12  # the batch that runs, and no more
        assert lost.result().status_code == 500


def test_a_second_signal_does_not_wait():
    with standin_process(delay=4.0, drain=60) as service, ThreadPoolExecutor(1) as threads:
        lost = threads.submit(lambda: httpx.post(f"{service.url}/predict", files=form(png(0)), timeout=60))
        until(lambda: in_flight(service.url) == 1)
        service.process.terminate()
        time.sleep(0.3)
        assert service.end(20) == 1
        assert lost.result().status_code == 500


def test_nothing_is_lost_when_signals_come_under_load():
    """A client that sends without a pause has each request either answered, or refused, or not connected."""
    with standin_process(delay=0.05) as service:
        seen, stop = [], threading.Event()

        def client(i):
            while not stop.is_set():
                try:
                    seen.append(httpx.post(f"{service.url}/predict", files=form(png(i)), timeout=30).status_code)
                except httpx.ConnectError:
                    return
                except (httpx.ReadError, httpx.RemoteProtocolError):
                    seen.append(0)  # accepted by the system, not by the process

        with ThreadPoolExecutor(4) as threads:
            running = [threads.submit(client, i) for i in range(4)]
            until(lambda: len(seen) > 20)
            assert service.end(20) == 0
            stop.set()
            for each in running:
                each.result()
    assert set(seen) <= {200, 503, 0}
    assert seen.count(0) <= 4
    assert seen.count(200) > 20
