"""Downloads of one file from a server on this machine: right, wrong, cut off, too large, resumed, offline."""

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import Server

from zoo.core.errors import HubError, IntegrityError
from zoo.hub import download, web_file

CONTENT = bytes(range(256)) * 5000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(download, "offline", lambda: False)
    found = Server(CONTENT)
    thread = threading.Thread(target=found.http.serve_forever, daemon=True)
    thread.start()
    yield found
    found.http.shutdown()
    found.http.server_close()


def test_a_file_of_a_known_hash(server, tmp_path):
    target, seen = tmp_path / "deep" / "model.pt", []
    got = web_file.fetch([server.url], target, size=len(CONTENT), sha256=SHA256, advance=seen.append)
    assert (got.path.read_bytes(), got.sha256, got.first_use) == (CONTENT, SHA256, False)
    assert sum(seen) == len(CONTENT)
    assert [p.name for p in target.parent.iterdir() if p.suffix != ".lock"] == ["model.pt"]


def test_a_file_of_another_hash_is_refused_and_deleted(server, tmp_path):
    with pytest.raises(IntegrityError, match=f"has SHA-256 {SHA256[:16]}..., not 0000000000000000... of the published"):
        web_file.fetch([server.url], tmp_path / "model.pt", sha256="0" * 64)
    assert not (tmp_path / "model.pt").exists()


def test_the_first_download_is_trusted_and_expected_from_then_on(server, tmp_path, zoo_home):
    other = server.url.replace("model", "mirror")
    got = web_file.fetch([server.url, other], tmp_path / "model.pt")
    assert (got.first_use, got.sha256) == (True, SHA256)
    assert json.loads((zoo_home / "trusted.json").read_text())[other]["sha256"] == SHA256
    assert not web_file.fetch([server.url], tmp_path / "model.pt").first_use
    server.content = CONTENT[::-1]
    with pytest.raises(IntegrityError, match="trusted at the first download"):
        web_file.fetch([other], tmp_path / "again.pt")
    (zoo_home / "trusted.json").write_text("[]")
    with pytest.raises(HubError, match=r"trusted.json is damaged: delete it"):
        web_file.fetch([server.url], tmp_path / "model.pt")


def test_what_was_cut_off_is_continued(server, tmp_path):
    server.cut = 300_000
    with pytest.raises(HubError, match=r"cut off after 300,000 of 1,280,000 bytes; run again to continue"):
        web_file.fetch([server.url], tmp_path / "model.pt", sha256=SHA256)
    assert not (tmp_path / "model.pt").exists()
    server.cut = 0
    assert web_file.fetch([server.url], tmp_path / "model.pt", sha256=SHA256).sha256 == SHA256
    assert server.requests[-1]["Range"] == "bytes=300000-"


def test_a_part_of_another_file_is_begun_again(server, tmp_path):
    server.cut, server.content = 300_000, CONTENT[::-1]
    with pytest.raises(HubError, match="cut off"):
        web_file.fetch([server.url], tmp_path / "model.pt", sha256=SHA256)
    server.cut, server.content, server.etag = 0, CONTENT, '"two"'
    assert web_file.fetch([server.url], tmp_path / "model.pt", sha256=SHA256).sha256 == SHA256


def test_a_mirror_is_asked_when_the_first_address_fails(server, tmp_path):
    missing = server.url.replace("model", "missing")
    got = web_file.fetch([missing, server.url], tmp_path / "model.pt", sha256=SHA256)
    assert got.url == server.url
    with pytest.raises(HubError, match=r"model.pt cannot be downloaded: .*the server answers 404.*; then do this"):
        web_file.fetch([missing], tmp_path / "other" / "model.pt", advise="; then do this")


def test_sizes_are_bounded_before_and_while_reading(server, tmp_path, monkeypatch):
    with pytest.raises(HubError, match="has 1,280,000 bytes, expected 1,000"):
        web_file.fetch([server.url], tmp_path / "model.pt", size=1000)
    monkeypatch.setattr(web_file, "MAX_BYTES", 1000)
    with pytest.raises(HubError, match="expected at most 1,000"):
        web_file.fetch([server.url], tmp_path / "model.pt")
    assert not (tmp_path / "model.pt").exists()


def test_no_network_is_one_clear_line(server, tmp_path, monkeypatch):
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(HubError, match=r"cannot be downloaded: .*refused"):
        web_file.fetch([server.url], tmp_path / "model.pt")
    with pytest.raises(HubError, match="only http and https"):
        web_file.fetch([Path("/etc/hostname").as_uri()], tmp_path / "model.pt")
    monkeypatch.setattr(download, "offline", lambda: True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE forbids the network"):
        web_file.fetch([server.url], tmp_path / "model.pt")
