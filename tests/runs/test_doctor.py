"""What `zoo doctor` finds."""

import json
import threading
import tomllib
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import metadata
from pathlib import Path

import pytest

from zoo.cli import main
from zoo.runs import doctor


def _by_name(checks):
    return {check.name: check for check in checks}


def test_what_works_is_ok_and_tells_the_backend_that_runs():
    import keras

    found = _by_name(doctor.examine(network=False))
    assert found["Keras"] == doctor.Check("Keras", "ok", f"{keras.__version__} on {keras.config.backend()}")
    assert found["Devices"].found.startswith(("cpu:", "gpu:", "tpu:"))
    assert found["[train]"].state == "ok"
    assert doctor.healthy(list(found.values()))


def test_a_missing_and_an_old_package_are_named_with_the_line_that_installs_them(monkeypatch):
    asked = ["pydicom>=3.0; extra == 'dicom'", "numpy>=99; extra == 'dicom'", "pillow>=11", "x; extra == 'other'"]
    asked += ["xrayslam-zoo[dicom]; extra == 'node'", "no-such-thing; extra == 'node'"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: asked)
    monkeypatch.setattr(doctor.metadata, "distribution", lambda name: object())
    versions = {"pydicom": "3.0.1", "numpy": "2.4.6"}

    def version(name):
        if name not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(doctor.metadata, "version", version)
    found = _by_name(doctor._extras())
    assert found["[train]"].state == "ok"  # nothing is asked for
    assert found["[dicom]"].found == "DICOM files: without numpy 2.4.6 (>=99 is asked for)"
    assert found["[node]"].found == "a DICOM node: without no-such-thing, numpy 2.4.6 (>=99 is asked for)"
    assert found["[node]"].remedy == "pip install 'xrayslam-zoo[node]'"


def test_every_extra_of_a_user_is_looked_at():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"]
    backends, developers = {"cpu", "tensorflow", "jax", "torch"}, {"bench", "parity", "docs", "dev"}
    assert set(doctor.EXTRAS) == set(project["optional-dependencies"]) - backends - developers


def test_without_any_backend_nothing_works(monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda module: "")
    (check,) = doctor._backend()
    assert (check.state, check.found) == ("wrong", "none of TensorFlow, JAX and Torch is installed")
    assert not doctor.healthy([check])


def test_a_home_below_a_file_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "file" / "home"))
    check = next(iter(doctor._folders()))
    assert check.state == "wrong"
    assert str(tmp_path / "file") in check.found


@pytest.fixture
def refusing_server():
    """Answers every request by 403: reachable all the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_error(403)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_hub_that_answers_and_one_that_does_not(monkeypatch, refusing_server):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", refusing_server)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    check = doctor._hub()
    assert check.state == "ok"
    assert "a token is set" in check.found
    assert "hf_secret" not in check.found
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert doctor._hub().state == "missing"


def test_the_command_prints_json_that_a_machine_reads(capsys):
    assert main(["doctor", "--offline", "--json"]) == 0
    names = [check["name"] for check in json.loads(capsys.readouterr().out)]
    assert names[:2] == ["xrayslam-zoo", "Python"]
    assert "Hub" not in names
