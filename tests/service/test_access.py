"""Who may use a service: the token, the addresses it listens on without one, and what is open to all."""

import secrets

import pytest
from builders import tiny_release
from served import TOKEN, form, png, serving

from zoo.cli import main
from zoo.core.errors import UsageError
from zoo.evaluation.tables import RESEARCH_ONLY
from zoo.service import settings
from zoo.service.server import listen
from zoo.service.settings import Settings

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def client():
    with serving(token=TOKEN) as found:
        yield found


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", f"Basic {TOKEN}", "Bearer ÿ"]
)
def test_without_the_token_nothing_is_predicted_or_measured(client, sent):
    headers = {} if sent is None else {"Authorization": sent.encode("latin-1")}
    for answer in (
        client.post("/predict", files=form(png(0)), headers=headers),
        client.get("/metrics", headers=headers),
    ):
        assert answer.status_code == 401
        assert answer.json() == {"detail": "send the header Authorization: Bearer TOKEN"}
        assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_with_the_token_images_are_answered(client):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert client.post("/predict", files=form(png(0)), headers=headers).status_code == 200
    text = client.get("/metrics", headers=headers).text
    assert 'zoo_errors_total{kind="unauthorized"}' in text
    assert TOKEN not in text


def test_the_token_is_compared_in_constant_time(client, monkeypatch):
    seen = []
    compare = secrets.compare_digest
    monkeypatch.setattr(secrets, "compare_digest", lambda a, b: seen.append((a, b)) or compare(a, b))
    client.post("/predict", files=form(png(0)), headers={"Authorization": "Bearer guess"})
    assert seen == [(b"guess", TOKEN.encode())]


@pytest.mark.parametrize("path", ["/health", "/ready", "/openapi.json"])
def test_probes_and_the_description_are_open_and_state_the_intended_use(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["X-Intended-Use"] == RESEARCH_ONLY
    assert TOKEN not in answer.text


def test_the_statement_is_on_refusals_too(client):
    for answer in (client.post("/predict"), client.get("/nothing"), client.delete("/predict")):
        assert answer.status_code in (401, 404, 405)
        assert answer.headers["X-Intended-Use"] == RESEARCH_ONLY


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_an_address_that_others_reach_needs_a_token(host):
    with pytest.raises(UsageError, match="can be reached from other machines: set ZOO_TOKEN"):
        Settings(host=host)
    assert Settings(host=host, token=TOKEN).host == host
    assert Settings(host=host, insecure=True).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_loopback_needs_none(host):
    assert Settings(host=host).token == ""


@pytest.mark.parametrize("token", ["short", "with a space in it", "with-an-umlaut-ü-in-it", "tab\tin-the-middle-of"])
def test_a_token_that_is_too_short_or_cannot_be_sent(token):
    with pytest.raises(UsageError, match="ZOO_TOKEN needs at least 16 printable ASCII characters"):
        Settings(token=token)
    assert TOKEN not in repr(Settings(token=TOKEN))


def said(capsys, *arguments):
    assert main(arguments) == 1
    return capsys.readouterr().err


def test_the_command_says_in_one_line_what_is_wrong(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("ZOO_TOKEN", raising=False)
    assert "zoo serve: 0.0.0.0 can be reached" in said(capsys, "serve", "nih-lite", "--host", "0.0.0.0")
    assert "never fits in a queue" in said(capsys, "serve", "nih-lite", "--queue", "3")
    assert "the limit pixels is at most" in said(capsys, "serve", "nih-lite", "--max-pixels", "1000")
    assert "unknown model" in said(capsys, "serve", "no-such-model")
    monkeypatch.setenv("ZOO_TOKEN", "short")
    assert "ZOO_TOKEN needs at least 16" in said(capsys, "serve", "nih-lite")
    monkeypatch.delenv("ZOO_TOKEN")
    release = tiny_release(tmp_path / "tiny", members=1)
    assert "unknown operating point 'x'" in said(capsys, "serve", str(release), "--point", "x")
    with listen(Settings(port=0)) as sock:
        port = str(sock.getsockname()[1])
        words = said(capsys, "serve", str(release), "--port", port)
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in words
    assert "choose others by --host, --port" in words
    monkeypatch.setattr(settings, "find_spec", lambda name: None)
    assert "pip install 'xrayslam-zoo[api]'" in said(capsys, "serve", "nih-lite")
