"""Who may open the page, what an upload may hold, what is deleted, and the commands."""

import base64
import os
import sys

import httpx
import pytest
from builders import tiny_release
from paged import paged
from publishable import publishable_release
from served import TOKEN, png

from zoo._version import __version__
from zoo.app import server, space
from zoo.app.space import write_space
from zoo.cli import main
from zoo.evaluation.tables import RESEARCH_ONLY
from zoo.inference.load import load
from zoo.service.settings import Settings

pytest.importorskip("gradio", reason="the extra app is not installed")
from zoo.app.page import Page

pytestmark = pytest.mark.tensorflow_only


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    predictor = load(tiny_release(tmp_path_factory.mktemp("app") / "tiny", members=1))
    with paged(predictor, token=TOKEN, body=20_000, held=30_000) as found:
        yield found


@pytest.fixture
def client(served):
    with httpx.Client(base_url=served[0], headers={"Authorization": f"Bearer {TOKEN}"}, timeout=60) as found:
        yield found


def basic(word):
    return "Basic " + base64.b64encode(f"anybody:{word}".encode()).decode()


@pytest.mark.parametrize("sent", ["", f"Bearer {TOKEN}x", basic(TOKEN[:-1]), "Basic !", f"Digest {TOKEN}", "Bearer ÿ"])
@pytest.mark.parametrize("path", ["/", "/config", "/gradio_api/upload", "/theme.css"])
def test_without_the_token_nothing_is_shown(served, sent, path):
    answer = httpx.get(served[0] + path, headers={"Authorization": sent.encode("latin-1")})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert TOKEN not in answer.text


@pytest.mark.parametrize("sent", [f"Bearer {TOKEN}", basic(TOKEN)])
def test_the_token_is_taken_as_bearer_and_as_password(served, sent):
    answer = httpx.get(served[0], headers={"Authorization": sent})
    assert answer.status_code == 200
    assert answer.headers["X-Intended-Use"] == RESEARCH_ONLY
    assert "default-src 'self'" in answer.headers["Content-Security-Policy"]
    assert "fonts.googleapis" not in answer.text


def test_uploads_are_bounded_one_by_one_and_together(served, client):
    def upload(size, seed=0):
        return client.post("/gradio_api/upload", files={"files": ("a.png", os.urandom(size) if size else png(seed))})

    assert upload(25_000).status_code == 413
    assert "larger than 0.02 MB" in upload(25_000).text
    assert upload(14_000).status_code == 200
    assert upload(14_000).status_code == 200
    assert upload(14_000).status_code == 503
    server._forget(served[1], before=0)
    assert upload(14_000).status_code == 503
    server._forget(served[1], before=sys.maxsize)
    assert [path for path in served[1].rglob("*") if path.is_file()] == []
    assert upload(14_000).status_code == 200
    assert client.post("/gradio_api/upload", content=iter([b"x"])).status_code == 411


def test_telemetry_and_the_history_of_runs_are_off(served, client):
    config = client.get("/config").json()
    assert config["analytics_enabled"] is False
    assert not config.get("run_history")
    assert client.get("/openapi.json").status_code == 404


def test_uploads_are_gone_after_the_end(tmp_path):
    predictor = load(tiny_release(tmp_path / "tiny", members=1))
    with paged(predictor) as (_, folder):
        (folder / "left.png").write_bytes(b"x")
    assert not folder.exists()


def test_the_command_says_in_one_line_what_is_wrong(capsys, monkeypatch):
    def said(*arguments):
        assert main(arguments) == 1
        return capsys.readouterr().err

    monkeypatch.delenv("ZOO_TOKEN", raising=False)
    assert "zoo app: 0.0.0.0 can be reached from other machines" in said("app", "nih-lite", "--host", "0.0.0.0")
    assert "unknown operating point 'x'" in said("app", "nih-lite", "--point", "x", "--port", "0")
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    assert "pip install 'xrayslam-zoo[app]'" in said("app", "nih-lite")


def test_only_uploads_are_read_and_deleted(tmp_path):
    predictor = load(tiny_release(tmp_path / "tiny", members=1))
    folder, own = tmp_path / "uploads", tmp_path / "own" / "mine.png"
    for path in (own, folder / "ab12" / "a.png", folder / "arriving.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(0))
    page = Page(predictor, Settings(), folder)
    paths = (
        own,
        folder / "ab12" / "a.png",
        folder / "arriving.png",
        folder / "ab12" / ".." / ".." / "own" / "mine.png",
    )
    shown = list(page.uploaded([(path.name, path) for path in paths]))[-1][0]
    assert shown.count("this is no upload") == 3
    assert shown.count('class="zoo-result"') == 1
    assert own.is_file()
    assert (folder / "arriving.png").is_file()
    assert not (folder / "ab12").exists()


def test_a_space_serves_the_model_that_its_program_names(tmp_path, monkeypatch):
    served = []
    monkeypatch.setattr(space, "load", lambda name: name)
    monkeypatch.setattr(space, "run", lambda model, settings, started: served.append((model, settings)))
    exec((write_space(tmp_path / "space", "me/model", "v1") / "app.py").read_text(), {})
    (model, settings), *_ = served
    assert (model, settings.host, settings.port, settings.insecure) == ("hf://me/model@v1", "0.0.0.0", 7860, True)


def test_the_folder_of_a_space(tmp_path, capsys):
    folder = write_space(tmp_path / "space", "me/model", "a" * 40)
    program = (folder / "app.py").read_text()
    compile(program, "app.py", "exec")
    assert f"run_space('hf://me/model@{'a' * 40}')" in program
    card = (folder / "README.md").read_text()
    assert card.startswith("---\n")
    assert "\nsdk: gradio\n" in card
    assert "\n- me/model\n" in card
    assert RESEARCH_ONLY in card
    assert (folder / "requirements.txt").read_text() == f"xrayslam-zoo[cpu,app,dicom]=={__version__}\n"
    release = publishable_release(tmp_path / "tiny")
    assert main(["publish", str(release), "--repo", "me/tiny", "--dry-run", "--space", str(tmp_path / "other")]) == 0
    assert "run_space('hf://me/tiny')" in (tmp_path / "other" / "app.py").read_text()
