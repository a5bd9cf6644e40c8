"""Weights of others by name: fetched once, converted once, loaded offline ever after; and `zoo port` of a file.

A tiny network stands for the published ones: its kind of file is added to the rows for the tests.
"""

import dataclasses
import hashlib
import sys
import threading
import types
from collections.abc import Iterator

import numpy as np
import pytest
from file_server import Server
from safetensors.numpy import save

import zoo
from zoo.config.pixels import NAMED
from zoo.core import home
from zoo.core.errors import HubError, IntegrityError, ReleaseError, UnknownNameError, UsageError, WeightsError
from zoo.evaluation.decision import probabilities
from zoo.hub import download, publish, web_file
from zoo.labels.findings import FINDINGS
from zoo.models.backbones import Backbone
from zoo.models.ports import kinds
from zoo.models.ports.kinds import Port
from zoo.models.ports.layouts import same
from zoo.models.weights.files import named_weights
from zoo.names import ported_ensemble, porting, published, registry
from zoo.names.published import Published

OUTPUTS = ("Effusion", "Mass", "Edema", "Fracture")
NAME = "tiny-port"
URL = "http://127.0.0.1/model.safetensors"


def tensors(seed: int, outputs: int = 4) -> dict[str, np.ndarray]:
    """A published file of the tiny kind, with random values."""
    rng, found = np.random.default_rng(seed), {}
    for name, variable in named_weights(Backbone("tiny", 32)).items():
        spread = rng.uniform(0.5, 1.5, variable.shape) if "variance" in name or "gamma" in name else None
        found[f"net.{name}"] = (rng.normal(0, 0.2, variable.shape) if spread is None else spread).astype("float32")
    found["net.fc.weight"] = rng.normal(0, 0.5, (outputs, 64)).astype("float32")
    found["net.fc.bias"] = rng.normal(0, 0.5, outputs).astype("float32")
    return found


def variables(port, tensors):
    names = [name for name in tensors if not name.startswith(("fc.", "op_threshs"))]
    head = [dataclasses.replace(same("head/kernel", "fc.weight"), make=np.transpose), same("head/bias", "fc.bias")]
    return [same(f"backbone/{name}", name) for name in names] + head


ROW = Published(
    NAME, "tiny-kind", "a tiny network", urls=(URL,), findings=("Effusion", "Mass", "", "Fracture"),
    thresholds=(0.3, 0.2, None, 0.6), point="torchxrayvision", licence="apache-2.0", origin="somebody (their page)",
    data="their images", citation="@misc{them}", unverified=("everything",), image_size=32,
)  # fmt: skip


@pytest.fixture
def file() -> bytes:
    return save(tensors(0))


@pytest.fixture
def server(file, monkeypatch) -> Iterator[Server]:
    module = types.ModuleType("zoo.models.ports.tiny_kind")
    vars(module)["variables"] = variables
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kind = Port(
        "tiny-kind", "tiny", "tiny_kind", {"stem_conv/kernel": (None,) * 4, "fc.weight": (None, 64)},
        classifier="fc.weight", pixels="xrv", image_size=64, findings=OUTPUTS, ignored=("op_threshs",),
    )  # fmt: skip
    monkeypatch.setitem(kinds.PORTS, "tiny-kind", kind)
    monkeypatch.setattr(download, "offline", lambda: False)
    found = Server(file)
    row = dataclasses.replace(ROW, urls=(found.url.replace(".pt", ".safetensors"),))
    monkeypatch.setitem(published.PUBLISHED, NAME, row)
    threading.Thread(target=found.http.serve_forever, daemon=True).start()
    yield found
    found.http.shutdown()
    found.http.server_close()


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (3, 32, 32), dtype=np.uint8)


def test_a_name_is_fetched_and_converted_once_and_loads_offline_after_that(server, images, monkeypatch, zoo_home):
    assert registry.info(NAME).untrained == ("Edema",)
    with pytest.warns(UserWarning, match=f"SHA-256 of {server.url[:16]}.* is not known to this project; what came"):
        model = zoo.load(NAME)
    assert (len(server.requests), model.labels, model.spec.untrained) == (1, OUTPUTS, ("Edema",))
    assert model.spec.members[0].pixels == NAMED["xrv"]
    server.http.shutdown()
    monkeypatch.setattr(download, "offline", lambda: True)
    again = zoo.load(NAME)
    np.testing.assert_array_equal(again.predict(images), model.predict(images))
    assert not list((zoo_home / "downloads").glob("*.safetensors"))
    info = registry.info(NAME)
    assert (info.origin, info.licence, info.untrained) == ("somebody (their page)", "apache-2.0", ("Edema",))
    assert info.installed == str(zoo_home / "releases" / NAME)
    assert [check.name for check in zoo.names.sources.verify(NAME) if not check.ok] == []


def test_the_probability_is_the_sigmoid_and_the_other_number_is_theirs(server, images):
    with pytest.warns(UserWarning, match="not known to this project"):
        model = zoo.load(NAME)
    logits = model.model.predict(images[..., None], verbose=0)
    p = probabilities(logits)
    got = model.predict(images)
    np.testing.assert_allclose(got[:, [0, 1, 3]], p[:, [0, 1, 3]], atol=1e-6)
    theirs = model.predict(images, scale="torchxrayvision")
    assert np.isnan(got[:, 2]).all()
    assert np.isnan(theirs[:, 2]).all()
    for column, t in ((0, 0.3), (1, 0.2), (3, 0.6)):
        expected = [v / (2 * t) if v < t else 1 - (1 - v) / (2 * (1 - t)) for v in p[:, column].tolist()]
        np.testing.assert_allclose(theirs[:, column], expected, atol=1e-6)
        np.testing.assert_array_equal(theirs[:, column] >= 0.5, p[:, column] >= np.float32(t))
    table = model.findings(images[:1])
    assert table["threshold"].tolist()[:2] == pytest.approx([0.3, 0.2])
    assert table["error"].tolist() == ["", "", "not trained", ""]
    assert "somebody" in model.decision.point("torchxrayvision").origin.notes[0]
    with pytest.raises(UnknownNameError, match="torchxrayvision"):
        model.predict(images, scale="other")


def test_the_card_says_where_it_is_from(server, zoo_home):
    with pytest.warns(UserWarning, match="not known to this project"):
        porting.obtain(NAME)
    text = (zoo_home / "releases" / NAME / "README.md").read_text()
    sha256 = hashlib.sha256(server.content).hexdigest()
    for part in ("license: apache-2.0", "somebody (their page)", "@misc{them}", "- everything", sha256, "their images"):
        assert part in text
    assert "**Not trained**: Edema." in text


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            lambda s: setattr(s, "content", save({"x": np.zeros(3, "float32")})),
            WeightsError,
            "are no weights of kind",
        ),
        (lambda s: setattr(s, "content", save(tensors(0, 5))), WeightsError, "have 5 outputs, the findings are 4"),
        (lambda s: setattr(s, "content", s.content[:5000]), WeightsError, "is not what it should be"),
        (lambda s: setattr(s, "cut", 5000), HubError, "cut off after 5,000"),
    ],
)
def test_a_wrong_file_leaves_nothing_installed(server, zoo_home, monkeypatch, change, error, message):
    change(server)
    monkeypatch.setattr(porting, "warn_user", lambda text: None)
    with pytest.raises(error, match=message) as caught:
        porting.obtain(NAME)
    assert "\n" not in str(caught.value)
    assert not list((zoo_home / "releases").glob("*/"))
    assert not web_file.trusted(published.PUBLISHED[NAME].urls)


def test_a_pinned_hash_is_required(server, monkeypatch):
    pinned = dataclasses.replace(published.PUBLISHED[NAME], sha256="0" * 64)
    monkeypatch.setitem(published.PUBLISHED, NAME, pinned)
    with pytest.raises(IntegrityError, match=r"of the published file; on another machine get http"):
        porting.obtain(NAME)


def test_a_file_is_ported_under_a_name(server, file, tmp_path, images, capsys):
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(file)
    folder = porting.port(path, "mine", findings=("A", "B", "C", "D"))
    model = zoo.load("mine")
    assert (model.labels, model.spec.image_size) == (("A", "B", "C", "D"), 64)
    assert model.findings(images)["positive"].isna().all()
    assert model.decision.default == "not_fitted"
    with pytest.raises(ReleaseError, match="without a licence known to this project are not passed on"):
        publish.publish(folder, "me/mine", license="mit", dry_run=True)
    with pytest.raises(UsageError, match=r"is a name of the catalog, which only loads a file of a known SHA-256"):
        porting.port(path, NAME)
    row = dataclasses.replace(published.PUBLISHED[NAME], sha256=hashlib.sha256(file).hexdigest())
    published.PUBLISHED[NAME] = row  # the fixture puts the former back
    porting.port(path, NAME)
    known = zoo.load(NAME)
    assert (known.spec.untrained, known.decision.default) == (("Edema",), "torchxrayvision")
    from zoo.cli import main

    assert main(["port", str(path), "--as", "second", "--kind", "tiny-kind"]) == 0
    assert "zoo.load('second')" in capsys.readouterr().out
    assert main(["port", str(tmp_path / "none.pt"), "--as", "third"]) != 0


def test_the_thresholds_in_a_file_become_its_operating_point(server, tmp_path):
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(save(tensors(0) | {"net.op_threshs": np.array([0.25, 0.5, np.nan, 0.75], np.float32)}))
    porting.port(str(path), "theirs")
    model = zoo.load("theirs")
    assert model.decision.default == "torchxrayvision"
    assert model.decision.point().thresholds == (0.25, 0.5, None, 0.75)


def test_what_stood_beside_the_network_and_was_not_read_is_told(server, file, tmp_path, monkeypatch, capsys):
    from zoo.cli import main

    path = tmp_path / "theirs.safetensors"
    path.write_bytes(file)
    read, others = porting.files.read, ("optimizer (a dict)", "hook (a posix.system)")
    monkeypatch.setattr(porting.files, "read", lambda path: dataclasses.replace(read(path), others=others))
    assert main(["port", str(path), "--as", "mine"]) == 0
    told = "beside the network, and not read: optimizer (a dict), hook (a posix.system)"
    assert f"note: {told}" in capsys.readouterr().out
    assert told[1:] in (home.release_dir("mine") / "README.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["nih-lite", "xrayslam-ensemble", "densenet121"])
def test_weights_of_others_do_not_take_the_name_of_a_model_of_the_zoo(server, file, tmp_path, zoo_home, name):
    path = tmp_path / "theirs.safetensors"
    path.write_bytes(file)
    with pytest.raises(UsageError, match="choose another name"):
        porting.port(str(path), name)
    with pytest.raises(UsageError, match="choose another name"):  # nor do those of a name of the catalog
        porting.port(NAME, name)
    assert not (zoo_home / "releases" / name).exists()


def test_a_member_starts_from_a_port_with_its_pixels(server):
    from zoo.config.specs import EnsembleSpec, MemberSpec
    from zoo.models.ensemble import Ensemble

    spec = EnsembleSpec("x", (MemberSpec("tiny", weights=NAME), MemberSpec("tiny", alias="b")), 32, ("Edema",))
    with pytest.warns(UserWarning, match="not known to this project"):
        begun = porting.with_starts(spec)
    assert [member.pixels for member in begun.members] == [NAMED["xrv"], None]
    model = Ensemble.from_spec(begun, start=True)
    kernel = named_weights(model.members[0])["backbone/stem_conv/kernel"]
    np.testing.assert_array_equal(kernel, tensors(0)["net.stem_conv/kernel"])
    with pytest.raises(WeightsError, match="of backbone 'resnet50' cannot start from 'tiny-port': tiny"):
        porting.start_of(MemberSpec("resnet50", weights=NAME))


def test_the_ported_ensemble_is_the_mean_of_those_that_give_a_finding(server, images, monkeypatch):
    """By hand: Pleural Effusion is the mean of both, Fracture that of both, Edema the second's alone."""
    second = dataclasses.replace(published.PUBLISHED[NAME], name="second", findings=OUTPUTS, thresholds=(), point="")
    monkeypatch.setitem(published.PUBLISHED, "second", second)
    monkeypatch.setattr(ported_ensemble, "MEMBERS", (NAME, "second"))
    monkeypatch.setattr(porting, "warn_user", lambda text: None)
    model = zoo.load("ported-ensemble")
    first, other = (zoo.load(name).model.predict(images[..., None], verbose=0) for name in (NAME, "second"))
    got = model.model.predict(images[..., None], verbose=0)
    for finding, column in (("Pleural Effusion", 0), ("Fracture", 3)):
        expected = (first[:, column] + other[:, column]) / 2
        np.testing.assert_allclose(got[:, FINDINGS.index(finding)], expected, rtol=1e-6, atol=1e-4)
    np.testing.assert_allclose(got[:, FINDINGS.index("Edema")], other[:, 2], rtol=1e-6, atol=1e-4)
    given = {"Pleural Effusion", "Fracture", "Edema"}
    assert set(model.spec.untrained) == set(FINDINGS) - given
    assert np.isnan(model.predict(images)).all(axis=0).tolist() == [f not in given for f in FINDINGS]
    info = registry.info("ported-ensemble")
    assert "Edema: second" in info.speakers
    assert "Fracture: tiny-port + second" in info.speakers
    alone = zoo.load("ported-ensemble", members=[NAME])
    assert np.isnan(alone.predict(images)[:, FINDINGS.index("Edema")]).all()


def test_the_error_of_the_ensemble_names_what_works_at_once():
    with pytest.raises(FileNotFoundError, match=r"zoo.load\('ported-ensemble'\), which fetches .*\(1\) train and inst"):
        zoo.load("xrayslam-ensemble")


def test_rows_are_consistent():
    for row in published.PUBLISHED.values():
        port = kinds.get(row.kind)
        outputs = row.findings or port.findings
        assert len(outputs) == len(port.findings or outputs), row.name
        assert not row.thresholds or len(row.thresholds) == len(outputs), row.name
        assert [t is None for t in row.thresholds] == [not f for f in row.findings][: len(row.thresholds)], row.name
        assert bool(row.urls) != bool(row.package[0]), row.name
        assert row.unverified, row.name
    everything = published.PUBLISHED["xrv-densenet121-all"]
    assert (everything.size, everything.sha256[:8]) == (28_382_008, "56524913")
    assert everything.thresholds[16] == 0.20204692
