"""A release is whole or it is refused, and gives back the very model that was written."""

import json
import shutil

import numpy as np
import pytest
from builders import FINDINGS3, tiny_ensemble, tiny_release, tiny_spec

import zoo
from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.evaluation.decision import Decision
from zoo.release import convert, golden, install, manifest
from zoo.release.build import build_model
from zoo.release.read import read_release
from zoo.release.write import write_release


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def _rewrite(folder, name, change):
    """Alters a JSON file and brings the manifest up to it, as somebody with bad intent would."""
    data = json.loads((folder / name).read_text())
    change(data)
    (folder / name).write_text(json.dumps(data))
    if name != manifest.MANIFEST:
        listing = json.loads((folder / manifest.MANIFEST).read_text())
        listing["files"] = manifest.to_json(manifest.describe(folder))
        (folder / manifest.MANIFEST).write_text(json.dumps(listing))


def test_the_model_read_is_the_model_written(folder):
    found = read_release(folder)
    assert found.spec == tiny_spec()
    assert found.decision.temperature == (1.7,)
    model = build_model(found)
    images = np.random.default_rng(3).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)
    expected = np.asarray(tiny_ensemble(tiny_spec()).predict(images, verbose=0))
    actual = np.asarray(model.predict(images, verbose=0))
    assert actual.dtype == np.float32
    assert expected.std() >= 1.0
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert golden.gap(found, model) < golden.TOLERANCE


def test_one_member_is_that_member(folder):
    found = read_release(folder)
    whole, one = build_model(found), build_model(found, ["tiny1"])
    images = np.random.default_rng(3).integers(0, 256, (5, 32, 32, 1), dtype=np.uint8)
    np.testing.assert_allclose(
        one.predict(images, verbose=0), whole.member("tiny1").predict(images, verbose=0), atol=1e-6
    )


def test_nothing_in_it_can_run(folder):
    assert {p.suffix for p in folder.iterdir()} == {".json", ".safetensors", ".md"}


def test_a_missing_file_is_named(copy):
    (copy / "tiny1.safetensors").unlink()
    with pytest.raises(ReleaseError, match=r"tiny1\.safetensors.*missing"):
        read_release(copy)


def test_one_flipped_byte_in_the_weights_is_seen(copy):
    path = copy / "tiny0.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReleaseError, match=r"tiny0\.safetensors: altered"):
        read_release(copy)


def test_weights_of_another_model_are_refused_before_anything_is_built(copy):
    _rewrite(copy, "config.json", lambda d: d["ensemble"]["members"][0].update(backbone="mobilenetv3small"))
    with pytest.raises(ReleaseError, match=r"parameters of 'tiny0' must be 939,120 to .*, got 33459"):
        read_release(copy)
    _rewrite(copy, "manifest.json", lambda d: d["parameters"].update(tiny0=939_120))
    with pytest.raises(ReleaseError, match=r"tiny0\.safetensors: 33,459 numbers, the manifest says 939,120"):
        read_release(copy)


def test_weights_of_another_head_are_refused_in_words(copy):
    _rewrite(copy, "config.json", lambda d: d["ensemble"]["members"][0].update(head="gem"))
    with pytest.raises(ReleaseError, match=r"tiny0\.safetensors is of another model"):
        build_model(read_release(copy))
    _rewrite(copy, "config.json", lambda d: d["ensemble"]["members"][0].update(head="gapp"))
    with pytest.raises(ReleaseError, match="unknown head 'gapp'; did you mean 'gap'"):
        build_model(read_release(copy))


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("config.json", lambda d: d.update(format_version=99), "newer"),
        ("config.json", lambda d: d.update(format_version="1"), "format_version"),
        ("config.json", lambda d: d["ensemble"].update(image_size=10**6), "image_size"),
        ("config.json", lambda d: d["ensemble"].update(units=4), "units"),
        ("config.json", lambda d: d["ensemble"]["members"][0].update(backbone="resnet5O"), "resnet50"),
        ("labels.json", lambda d: d["findings"].reverse(), "order"),
        ("decision.json", lambda d: d["ensemble"]["findings"].reverse(), "order"),
        ("decision.json", lambda d: d["ensemble"].update(temperature=[-1.0]), "temperature"),
        ("decision.json", lambda d: d["members"].update(ghost=d["ensemble"]), "'ghost' is no member"),
        (
            "decision.json",
            lambda d: d["ensemble"]["operating_points"]["max_f1"]["thresholds"].__setitem__(0, 1.5),
            "1.5",
        ),
        ("manifest.json", lambda d: d.update(format_version=2), "newer"),
        ("manifest.json", lambda d: d["files"].pop("tiny0.safetensors"), "tiny0.safetensors"),
        ("manifest.json", lambda d: d["files"].update({"../x": {"size": 1, "sha256": ""}}), "not a path inside"),
        ("manifest.json", lambda d: d.update(files=[]), "lists no files"),
    ],
)
def test_what_does_not_fit_is_refused(copy, name, change, says):
    _rewrite(copy, name, change)
    with pytest.raises(ReleaseError, match=says):
        read_release(copy)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_smaller_weights_say_how_far_they_move_a_logit(folder, tmp_path, dtype):
    small = convert.release_of(folder, tmp_path / "small", dtype=dtype, license="cc-by-4.0")
    found, whole = read_release(small), read_release(folder)
    assert (found.storage.dtype, found.license) == (dtype, "cc-by-4.0")
    assert (found.spec, found.decision, found.provenance) == (whole.spec, whole.decision, whole.provenance)
    size = (folder / "tiny0.safetensors").stat().st_size
    assert (small / "tiny0.safetensors").stat().st_size < 0.6 * size
    ours = golden.predict(build_model(whole), golden.images(32))
    model = build_model(found)
    moved = float(np.abs(golden.predict(model, golden.images(32)) - ours).max())
    assert 0 < moved < 0.1
    np.testing.assert_allclose(moved, found.storage.logit_error, atol=1e-5)
    assert golden.gap(found, model) < golden.TOLERANCE


def test_golden_logits_of_another_backend_are_held_against_this_one(copy):
    def as_by_another(data):
        data.update(backend="another")

    _rewrite(copy, "parity.json", as_by_another)
    found = read_release(copy)
    golden.check(found, build_model(found))  # agrees, and is not asked again
    assert len(list((home.home() / "checked").iterdir())) == 1
    _rewrite(
        copy, "parity.json", lambda d: d["logits"]["ensemble"][0].__setitem__(0, d["logits"]["ensemble"][0][0] + 0.01)
    )
    found = read_release(copy)
    with pytest.warns(UserWarning, match=r"differ by 0\.01 from those released on another"):
        golden.check(found, build_model(found))
    _rewrite(copy, "parity.json", lambda d: d["logits"]["ensemble"][0].__setitem__(0, 99.0))
    found = read_release(copy)
    with pytest.raises(ReleaseError, match="not the network that was released"):
        zoo.load(copy)


def test_the_golden_logits_of_some_members_are_their_mean(folder):
    found = read_release(folder)
    for members in (["tiny0"], ["tiny1"], ["tiny0", "tiny1"]):
        assert golden.gap(found, build_model(found, members)) < golden.TOLERANCE


def test_writing_is_whole_or_not_at_all(tmp_path, monkeypatch):
    spec = tiny_spec(1)
    target = tmp_path / "release"

    def broken(*_args):
        raise OSError("disk full")

    monkeypatch.setattr(manifest, "describe", broken)
    with pytest.raises(OSError, match="disk full"):
        write_release(target, tiny_ensemble(spec), spec, Decision(FINDINGS3))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_release_is_never_replaced(tmp_path):
    spec = tiny_spec(1)
    target = tmp_path / "precious"
    target.mkdir()
    (target / "thesis.txt").write_text("words")
    with pytest.raises(ReleaseError, match="no release"):
        write_release(target, tiny_ensemble(spec), spec, Decision(FINDINGS3))
    assert (target / "thesis.txt").read_text() == "words"


def test_install_checks_copies_and_replaces(folder, zoo_home):
    first = install.install(folder, "my-model")
    assert first == zoo_home / "releases" / "my-model"
    assert read_release(install.install(folder, "my-model")).spec == tiny_spec()
    assert [p.name for p in first.parent.iterdir()] == ["my-model"]
    for name in ("../evil", "", ".hidden", "a/b", "x" * 200):
        with pytest.raises(ValueError, match="model name"):
            install.install(folder, name)


def test_no_folder_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="no release folder"):
        read_release(tmp_path / "nowhere")
