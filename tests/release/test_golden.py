"""A release whose weights are not those that were released never loads, though every sha256 is right."""

import json
import shutil
import warnings

import numpy as np
import pytest
from builders import tiny_ensemble, tiny_release, tiny_spec
from hostile import agree, edit
from safetensors.numpy import load_file, save_file

import zoo
from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.evaluation.decision import Decision
from zoo.release import convert, golden
from zoo.release.read import read_release
from zoo.release.write import write_release
from zoo.training import devices


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def reweigh(folder, change, name="tiny0"):
    """Changes weights, and the manifest with them: no sha256 tells."""
    path = folder / f"{name}.safetensors"
    tensors = {key: value.copy() for key, value in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    agree(folder)


def exchange(tensors):
    """Two tensors of one shape: scale and offset of the same batch normalisation."""
    one = next(key for key in tensors if key.endswith("/gamma"))
    other = one.replace("/gamma", "/beta")
    tensors[one], tensors[other] = tensors[other], tensors[one]


def huge(tensors):
    tensors["head/kernel"][:] = 3e38


def negative(tensors):
    next(value for key, value in tensors.items() if key.endswith("variance"))[0] = -1e-3


def exchange_members(folder):
    one, other = folder / "tiny0.safetensors", folder / "tiny1.safetensors"
    (folder / "aside").write_bytes(one.read_bytes())
    other.replace(one)
    (folder / "aside").replace(other)
    agree(folder)


def of_another_release(folder):
    """A member with the same names and shapes that was trained to something else."""
    other = tiny_release(folder.parent / "other", seed=1)
    shutil.copyfile(other / "tiny0.safetensors", folder / "tiny0.safetensors")
    agree(folder)


@pytest.mark.parametrize("change", [exchange, of_another_release], ids=["exchanged tensors", "of another release"])
@pytest.mark.parametrize("members", [None, ["tiny0"]], ids=["all", "one member"])
def test_weights_that_do_not_belong_together_are_refused_on_the_backend_that_wrote_them(copy, change, members):
    change(copy) if change is of_another_release else reweigh(copy, change)
    for _ in range(2):  # what was refused is not remembered as good
        with pytest.raises(ReleaseError, match="not the network that was released"):
            zoo.load(copy, members=members)
    assert not (home.home() / "checked").exists()
    assert len(zoo.load(copy, members=["tiny1"]).model.members) == 1


@pytest.mark.parametrize("members", [None, ["tiny0"]], ids=["all", "one member"])
def test_weights_that_overflow_are_refused(copy, members):
    reweigh(copy, huge)
    with pytest.raises(ReleaseError, match="its logits of the golden images are not finite"):
        zoo.load(copy, members=members)


def test_a_negative_variance_is_refused_when_it_is_read_and_never_written(copy, tmp_path):
    from zoo.models.weights.files import load_safetensors, save_safetensors

    reweigh(copy, negative)
    says = "1 values of .*variance are negative"
    with pytest.raises(ReleaseError, match=says):
        zoo.load(copy)
    model = tiny_ensemble(tiny_spec(1))
    with pytest.raises(ValueError, match=f"was not loaded: {says}"):
        load_safetensors(model.members[0], copy / "tiny0.safetensors")
    variance = next(v for v in model.weights if v.path.endswith("moving_variance"))
    variance.assign(-np.ones(variance.shape))
    with pytest.raises(ValueError, match=r"was not written: .* are negative"):
        save_safetensors(model.members[0], tmp_path / "w.safetensors")


def test_members_of_one_kind_that_were_exchanged(tmp_path):
    """Their mean is the same; each alone is not what it was."""
    from zoo.names import sources

    spec = tiny_spec(2)
    alike = type(spec)(
        name=spec.name,
        members=tuple(type(m)("tiny", head="gap", alias=m.alias) for m in spec.members),
        image_size=32,
        findings=spec.findings,
    )
    write_release(tmp_path / "alike", tiny_ensemble(alike), alike, Decision(spec.findings))
    exchange_members(tmp_path / "alike")
    with pytest.raises(ReleaseError, match="not the network that was released"):
        zoo.load(tmp_path / "alike", members=["tiny1"])
    found = {check.name: check for check in sources.verify(tmp_path / "alike")}
    assert not found["parity"].ok
    assert "another network" in found["parity"].detail


def test_large_logits_may_differ_in_proportion(tmp_path, monkeypatch):
    """The rounding of float32 grows with them: those of a probe of few images reach hundreds."""
    spec = tiny_spec(1)
    model = tiny_ensemble(spec)
    kernel = next(v for v in reversed(model.weights) if v.path.endswith("kernel"))
    kernel.assign(1000 * np.asarray(kernel))
    release = write_release(tmp_path / "large", model, spec, Decision(spec.findings))
    found = read_release(release).golden
    largest = np.abs(found.logits["ensemble"]).max()
    assert largest > 50
    assert found.tolerance == pytest.approx(min(0.25, 1e-4 * largest))
    monkeypatch.setattr(golden, "gap", lambda *_: 0.9 * found.tolerance)
    with warnings.catch_warnings(action="error"):
        zoo.load(release)


def test_the_check_is_made_once_for_a_manifest_its_members_and_the_versions(copy, monkeypatch):
    checked = []
    gap = golden.gap
    monkeypatch.setattr(golden, "gap", lambda *args: checked.append(args[1]) or gap(*args))
    for members, times in ((None, 1), (None, 1), (["tiny1"], 2), (["tiny1"], 2), (["tiny0"], 3)):
        zoo.load(copy, members=members)
        assert len(checked) == times
    edit("labels.json", lambda document: document.update(note="another manifest"))(copy)
    zoo.load(copy)
    assert len(checked) == 4
    monkeypatch.setattr("keras.__version__", "99")
    zoo.load(copy)
    assert len(checked) == 5


@pytest.mark.parametrize("text", ["", "{", "1e-06\n", '{"difference": 0.0}', "[" * 10**5, "{}"])
def test_a_note_of_something_else_is_not_trusted(copy, text):
    zoo.load(copy)
    (note,) = (home.home() / "checked").iterdir()
    known = json.loads(note.read_text())
    assert known["difference"] < golden.TOLERANCE
    reweigh(copy, exchange)
    with pytest.raises(ReleaseError, match="not the network"):
        zoo.load(copy)
    note.write_text(text)
    zoo.load(copy, members=["tiny1"])
    found = read_release(copy)
    note.write_text(json.dumps({**known, "manifest_sha256": found.manifest_sha256}))  # under the name of another
    with pytest.raises(ReleaseError, match="not the network"):
        zoo.load(copy)


def test_golden_logits_of_a_member_that_are_missing_are_told_on_reading(copy):
    edit("parity.json", lambda d: d["logits"].pop("tiny1"))(copy)
    with pytest.raises(ReleaseError, match="no golden logits of 'tiny1' with 3 findings"):
        read_release(copy)


def test_a_difference_above_the_tolerance_is_warned_of_at_every_load(copy):
    edit("parity.json", lambda d: d["logits"]["ensemble"][0].__setitem__(0, d["logits"]["ensemble"][0][0] + 0.01))(copy)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"differ by 0\.01 from those released on"):
            zoo.load(copy)


def test_nothing_is_made_of_a_release_that_is_another_network(copy, tmp_path):
    reweigh(copy, exchange)
    with pytest.raises(ReleaseError, match="not the network that was released"):
        convert.release_of(copy, tmp_path / "small", dtype="float16")
    assert not (tmp_path / "small").exists()


def test_a_network_that_overflows_is_not_released(tmp_path):
    spec = tiny_spec(1)
    model = tiny_ensemble(spec)
    kernel = next(v for v in model.members[0].head.trainable_variables if v.path.endswith("kernel"))
    kernel.assign(np.full(kernel.shape, 3e38))
    with pytest.raises(ReleaseError, match="the logits of ensemble, tiny0 are not finite"):
        write_release(tmp_path / "release", model, spec, Decision(spec.findings))
    assert not (tmp_path / "release").exists()


def test_on_a_cpu_a_small_difference_is_another_network_too(tmp_path, monkeypatch):
    """An exchange of tensors may move the golden logits by little; an accelerator's arithmetic moves them as much."""
    folder = tiny_release(tmp_path / "r")
    monkeypatch.setattr(golden, "gap", lambda *_: 0.05)
    with pytest.raises(ReleaseError, match="not the network that was released"):
        zoo.load(folder)
    monkeypatch.setattr(devices, "capability", lambda: (7, 5))
    with pytest.warns(UserWarning, match=r"differ by 0\.05"):
        zoo.load(folder)
