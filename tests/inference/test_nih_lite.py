"""The real model that comes with the package: small, offline, never copied, with the same numbers everywhere."""

import socket
from importlib.util import find_spec

import numpy as np
import pytest

import zoo
from zoo.core import home
from zoo.labels.findings import FINDINGS

FOLDER = home.INCLUDED / "nih-lite"

#: What NIH labels, and what the model was therefore trained on.
TRAINED = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "No Finding",
    "Pleural Effusion",
    "Pneumonia",
    "Pneumothorax",
)

#: Probabilities of TRAINED on the example images, by file name, as computed when the release was made.
STORED = {
    "00018832_000.jpg": (0.0595, 0.0374, 0.0263, 0.0043, 0.4829, 0.0257, 0.1136, 0.0192),
    "00021908_000.jpg": (0.3862, 0.1053, 0.1138, 0.0079, 0.1418, 0.1050, 0.3984, 0.0555),
    "00026050_000.jpg": (0.2971, 0.1054, 0.1179, 0.0098, 0.0608, 0.2064, 0.3662, 0.0399),
}


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """An empty ZOO_HOME, and no network."""

    def refuse(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def contents():
    files = (p for p in home.INCLUDED.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return {p.relative_to(home.INCLUDED).as_posix(): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}


def columns(values):
    return values[:, [FINDINGS.index(finding) for finding in TRAINED]]


def test_it_predicts_the_stored_values_offline_and_leaves_no_copy(offline):
    before = contents()
    model = zoo.load("nih-lite")
    assert model.labels == FINDINGS
    images = zoo.example_images()
    assert [path.name for path in images] == list(STORED)
    found = model.predict(images)
    np.testing.assert_allclose(columns(found), list(STORED.values()), atol=2e-3)
    table = model.findings(images[:1]).set_index("finding")
    for finding in FINDINGS:
        untrained = finding not in TRAINED
        assert np.isnan(table["probability"][finding]) == untrained
        assert (table["error"][finding] == "not trained") == untrained
    assert contents() == before
    kept = [p for p in offline.rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in kept if "compiled" not in p.parts) < 100_000  # no weights among them
    assert not (offline / "releases").exists()


@pytest.mark.parametrize("runtime, library", [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_exported_graphs_predict_the_same(runtime, library, offline):
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    before = contents()
    found = zoo.load("nih-lite", runtime=runtime).predict(zoo.example_images())
    np.testing.assert_allclose(columns(found), list(STORED.values()), atol=2e-3)
    assert contents() == before


def test_it_is_small_and_says_what_it_is():
    assert sum(p.stat().st_size for p in home.INCLUDED.rglob("*") if p.is_file()) < 10 * 10**6
    card = (FOLDER / "README.md").read_text("utf-8")
    for words in ("weak reader", "not a medical device", "NIH Clinical Center", "Apache-2.0", "Wang", "flatters"):
        assert words in card
    facts = zoo.inspect("nih-lite")
    assert facts.license == "apache-2.0"
    assert "nih-lite" in zoo.list_models(kind="ensemble")
    assert zoo.info("nih-lite").installed == str(FOLDER)
    assert (home.INCLUDED / "images" / "SOURCE.md").read_text("utf-8").count(".jpg |") == len(zoo.example_images()) == 3


def test_its_recipe_is_the_one_that_is_shipped():
    from zoo.release.folder import ReleaseFolder
    from zoo.training.recipe import load_recipe
    from zoo.training.resuming import differences

    saved = ReleaseFolder(FOLDER).provenance["recipe"]
    changed = differences(saved, load_recipe("nih_lite"))
    assert set(changed) <= {"ensemble.members.0.weights"}  # a file of the same weights
