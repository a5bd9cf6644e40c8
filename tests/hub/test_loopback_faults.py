"""The Hub of the tests fails as networks and servers do, and the real client meets it."""

import hashlib
import urllib.error
import urllib.request

import pytest
from loopback_hub.calls import additions, download

WEIGHTS = bytes(range(256)) * 400


def test_a_truncated_download_goes_on_where_it_stopped(hub, monkeypatch):
    from huggingface_hub import constants

    # What is less than a piece when the connection ends is lost; the client's pieces are of 10 MB.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.store.plant("tester/model", {"model.safetensors": WEIGHTS})
    cut = hub.faults.add("GET /cdn/.*model.safetensors", "truncate")
    assert download("model.safetensors") == WEIGHTS
    assert cut.hits == 1
    assert [code for _, path, code in hub.answers if path.startswith("/cdn/")] == [200, 206]


def test_a_flipped_byte_passes_the_client(hub):
    hub.store.plant("tester/model", {"model.safetensors": WEIGHTS})
    hub.faults.add("GET /cdn/", "corrupt")
    got = download("model.safetensors")
    assert len(got) == len(WEIGHTS)
    assert sum(a != b for a, b in zip(got, WEIGHTS, strict=True)) == 1
    assert download("model.safetensors", force_download=True) == WEIGHTS


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("status", {"status": 403}),
        ("status", {"status": 404, "code": "RepoNotFound"}),
        ("redirect", {}),
        ("html", {}),
    ],
)
def test_a_fault_at_the_question_ends_the_download(hub, kind, options):
    from httpx2 import HTTPError
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    hub.store.plant("tester/model", {"a.txt": b"1"})
    hub.faults.add("/resolve/", kind, times=None, **options)
    with pytest.raises((HfHubHTTPError, LocalEntryNotFoundError, HTTPError)):
        download("a.txt")
    hub.faults.clear()
    assert download("a.txt") == b"1"


def test_the_client_waits_where_it_is_told_to(hub):
    hub.store.plant("tester/model", {"model.safetensors": WEIGHTS})
    hub.faults.add("GET /cdn/", "status", status=429, retry_after=0)
    hub.faults.add("GET /cdn/", "drip", rate=2_000_000, after=1)
    assert download("model.safetensors") == WEIGHTS
    assert [code for _, path, code in hub.answers if path.startswith("/cdn/")] == [429, 200]


def test_a_commit_whose_answer_is_lost_was_made(hub, token, api):
    from httpx2 import RemoteProtocolError

    before = hub.store.plant("tester/model", {"a.txt": b"1"})
    for kind, there in (("drop", ["a.txt"]), ("lose", ["a.txt", "b.txt"])):
        hub.faults.add("POST .*/commit/", kind)
        with pytest.raises(RemoteProtocolError):
            api.create_commit("tester/model", additions({"b.txt": b"2"}), commit_message="b", parent_commit=before)
        assert hub.store.files("tester/model") == there


def test_main_may_move_between_two_requests(hub, api):
    first = hub.store.plant("tester/model", {"a.txt": b"1"})
    move = hub.faults.add("GET .*/model", "call", after=1, call=lambda: hub.store.plant("tester/model", {"b.txt": b""}))
    assert api.model_info("tester/model").sha == first
    assert (api.model_info("tester/model").sha == first, move.hits) == (False, 1)


def test_a_wrong_length_and_a_late_answer(hub):
    hub.store.plant("tester/model", {"a.txt": b"12345678"})
    url = f"{hub.url}/tester/model/resolve/main/a.txt"
    hub.faults.add("a.txt", "length", by=-5)
    hub.faults.add("a.txt", "delay", after=1, seconds=0.01)
    assert [urllib.request.urlopen(url).read() for _ in range(2)] == [b"123", b"12345678"]


def test_a_hub_that_is_down_refuses_the_connection(hub, api):
    from httpx2 import ConnectError

    hub.store.plant("tester/model", {"a.txt": b"1"})
    assert download("a.txt") == b"1"
    with hub.down():
        with pytest.raises(ConnectError):
            api.model_info("tester/model")
        assert download("a.txt") == b"1"
    assert api.model_info("tester/model").id == "tester/model"


def test_offline_asks_nobody(hub, offline):
    from huggingface_hub.errors import LocalEntryNotFoundError

    hub.store.plant("tester/model", {"a.txt": b"1", "b.txt": b"2"})
    download("a.txt")
    hub.log.clear()
    offline(True)
    assert download("a.txt") == b"1"
    with pytest.raises(LocalEntryNotFoundError):
        download("b.txt")
    assert hub.log == []


def test_a_token_at_the_place_of_large_files_is_refused_and_noted(hub):
    hub.store.plant("tester/model", {"model.safetensors": WEIGHTS})
    path = f"/cdn/{hashlib.sha256(WEIGHTS).hexdigest()}"
    leak = urllib.request.Request(hub.cdn_url + path, headers={"Authorization": "Bearer hf_tester_may_write"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(leak)
    assert hub.leaks == [("GET", path)]
    hub.leaks.clear()


def test_a_redirect_to_another_origin_loses_the_token(hub, token):
    from huggingface_hub.errors import HfHubHTTPError

    hub.store.plant("tester/model", {"a.txt": b"1"}, private=True)
    hub.faults.add("GET .*/resolve/", "redirect", location=hub.cdn_url + "/elsewhere")
    with pytest.raises(HfHubHTTPError, match="404"):
        download("a.txt")
    assert hub.log[-2:] == [(*hub.log[-2][:2], "tester"), ("GET", "/elsewhere", "")]
    assert hub.leaks == []
