"""int8 is made with images, kept only where it was accepted, and then travels with the release."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release

import zoo
from zoo.cli import main
from zoo.config.specs import to_dict
from zoo.core.errors import ReleaseError, SplitError
from zoo.data.phantoms.drawing import make_phantoms
from zoo.export.int8 import acceptance
from zoo.release import exports, layout
from zoo.release.build import build_model
from zoo.release.export_facts import Figure
from zoo.release.read import read_release

EXTRA = "pip install 'xrayslam-zoo[serve]'"
for _library in ("openvino", "onnx", "nncf"):
    pytest.importorskip(_library, reason=EXTRA)

from zoo.export import exporting, formats  # noqa: E402
from zoo.export.int8 import making, sensitivity  # noqa: E402
from zoo.runtimes import openvino_runtime  # noqa: E402
from zoo.runtimes.openvino_runtime import core  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    make_phantoms(folder, 48, size=48, n_test=0, broken=1)
    return folder


@pytest.fixture(scope="module")
def lenient():
    """The limits stand in one place; with them wide open, what follows does not hang on a random network's luck."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exports, "MAX_AUC_LOSS", 1.0)
        patch.setattr(exports, "MIN_DECISIONS_KEPT", 0.0)
        patch.setattr(making, "_AIM", 0.0)
        # The same on any CPU.
        for module in (making, openvino_runtime):
            patch.setattr(module, "native", lambda: frozenset({"float32", "int8"}))
        yield


@pytest.fixture(scope="module")
def carried(data, tmp_path_factory, lenient):
    """A release that carries an int8 export, and what came of making it."""
    folder = tiny_release(tmp_path_factory.mktemp("int8") / "release")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_HOME", str(folder.parent / "home"))
        return folder, making.export_int8(read_release(folder), data)


def test_the_release_carries_it_and_loads_it(carried, data):
    folder, outcome = carried
    assert outcome.accepted
    assert outcome.carried == folder
    assert read_release(folder).exports == (layout.INT8,)
    ours = zoo.load(folder, runtime="openvino", precision="int8")
    assert "openvino int8" in repr(ours)
    plain, got = (model.runtime.logits(exporting.fresh_images(32)) for model in (zoo.load(folder), ours))
    stated = outcome.export.facts.check.difference  # these images are in it
    assert outcome.export.temperature == (1.0,)
    assert 0 < np.abs(plain - got).max() <= 1.001 * stated
    assert ours.predict([str(next((data / "train2").iterdir()))]).shape == (1, 3)


def test_what_was_measured_is_kept_with_it(carried):
    folder, outcome = carried
    facts = json.loads((folder / "exports" / layout.INT8 / layout.FACTS).read_text())
    assert facts["acceptance"] == to_dict(outcome.acceptance)
    assert facts["acceptance"]["limits"].keys() == {"auc_loss", "decisions_kept"}
    assert facts["acceptance"]["compared"]["films"] + facts["acceptance"]["calibration"]["films"] <= 48
    run = facts["acceptance"]["runs"]["float32"]
    assert {"value", "low", "high", "n"} <= run["auc_loss"].keys()
    assert any("could not be read" in note or "not known" in note for note in facts["acceptance"]["notes"])
    assert any("macro AUC" in line and "decisions stay" in line for line in outcome.lines())


def test_some_layers_are_int8_and_heads_are_not(carried):
    folder, outcome = carried
    model = core().read_model(folder / "exports" / layout.INT8 / "model.xml")
    names = [op.get_friendly_name() for op in sensitivity.quantised_layers(model)]
    assert names
    assert not [name for name in names if "/head/" in name or "/preprocessing/" in name]
    assert not {*names} & {*outcome.acceptance.in_float}


@pytest.mark.parametrize("name", ["model.xml", "model.bin", layout.FACTS])
def test_an_altered_byte_is_refused(carried, tmp_path, name):
    folder = shutil.copytree(carried[0], tmp_path / "release")
    path = folder / "exports" / layout.INT8 / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ReleaseError):
        zoo.load(folder, runtime="openvino", precision="int8")


def test_members_apart_have_no_int8(carried):
    with pytest.raises(ReleaseError, match="all members together"):
        zoo.load(carried[0], runtime="openvino", precision="int8", members=["tiny0"])


# What is refused


def test_too_great_a_loss_is_refused_and_nothing_is_written(data, tmp_path, monkeypatch, capsys):
    folder = tiny_release(tmp_path / "release")
    before = sorted(p.name for p in folder.rglob("*"))
    monkeypatch.setattr(exports, "MIN_DECISIONS_KEPT", 0.99)
    honest = acceptance.loss

    def lossy(*a, **k):
        return replace(honest(*a, **k), decisions_kept=Figure(0.5, 0.4, 0.6, 9))

    monkeypatch.setattr(acceptance, "loss", lossy)
    command = ["export", str(folder), "--format", "openvino", "--precision", "int8", "--data", str(data)]
    assert main(command) == 1
    said = capsys.readouterr()
    assert "50.00 % of decisions stay, fewer than 99 %" in said.out
    assert "int8 is refused; nothing was written" in said.err
    assert sorted(p.name for p in folder.rglob("*")) == before
    with pytest.raises(ReleaseError, match="no accepted int8 export"):
        zoo.load(folder, runtime="openvino", precision="int8")


def test_the_split_of_another_run_is_refused(data, tmp_path):
    split = {"hash": "6" * 64}
    folder = tiny_release(tmp_path / "release", provenance={"split": {"hash": "5" * 64}})
    names = pd.read_csv(data / "train2.csv")["Image_name"].tolist()
    parts = {"validation": {"images": names[:20]}, "test": {"images": names[20:]}}
    (tmp_path / "split.json").write_text(json.dumps({**split, "parts": parts}))
    with pytest.raises(SplitError, match="not its run"):
        making.export_int8(read_release(folder), data, trained_on=tmp_path / "split.json")


# Layers given back


def test_layers_given_back_compute_what_they_did(carried):
    images = exporting.fresh_images(32, 3)
    quantised, plain = core().read_model(carried[0] / "exports" / layout.INT8 / "model.xml"), plain_of(carried[0])
    first, *others = sensitivity.runs(quantised)
    rest = [name for names in others for name in names]
    some, every = (sensitivity.give_back(quantised, plain, names) for names in (first, [*first, *rest]))
    assert [op.get_friendly_name() for op in sensitivity.quantised_layers(some)] == rest
    assert not list(sensitivity.quantised_layers(every))
    exact, before, between, after = (outputs(model, images) for model in (plain, quantised, some, every))
    assert len({values.tobytes() for values in (exact, before, between)}) == 3
    # What int8 was moved by in the end stays.
    moved = next(op for op in every.get_ops() if op.get_friendly_name() == "moved").input_value(1).get_node().data
    assert np.abs(moved).max() > 1e-3
    np.testing.assert_allclose(after, exact + moved, rtol=1e-4, atol=1e-4)


def test_logits_are_moved_to_where_float32_has_them_in_the_mean(carried, data):
    """Over the images that this was measured on; of one that cannot be read the logits are NaN."""
    images = acceptance.choose_images(data, "competition")
    paths = [*images.calibration["Image_path"], *images.tuning["Image_path"]]
    exact, ours = (
        np.concatenate([batch.logits for batch in zoo.load(carried[0], **how).stream(paths)])
        for how in ({}, {"runtime": "openvino", "precision": "int8"})
    )
    assert np.abs(np.nanmean(ours - exact, axis=0)).max() < 1e-4 < np.nanmax(np.abs(ours - exact))


def test_moved_logits_keep_their_name(carried):
    plain, by = plain_of(carried[0]), np.array([0.5, -1.0, 0.0])
    moved, images = sensitivity.change_logits(plain.clone(), "add", by), exporting.fresh_images(32, 2)
    np.testing.assert_allclose(outputs(moved, images), outputs(plain, images) + by, rtol=1e-5, atol=1e-5)
    divided = sensitivity.change_logits(plain.clone(), "divide", np.array([1.7]))
    np.testing.assert_allclose(outputs(divided, images), outputs(plain, images) / 1.7, rtol=1e-5, atol=1e-5)
    for changed in (moved, divided):
        assert changed.output(0).get_names() == plain.output(0).get_names() != set()


def test_layers_that_err_most_go_first_and_one_run_stays(carried):
    folder, _ = carried
    quantised = core().read_model(folder / "exports" / layout.INT8 / "model.xml")
    steps = []

    def error(model):
        return float(len(list(sensitivity.quantised_layers(model))))

    def kept(model):
        return 1 - error(model) / 100

    plain, runs = plain_of(folder), sensitivity.runs(quantised)
    best = sensitivity.restore(quantised, plain, error, kept, 1.0, lambda: steps.append(1))
    assert len(steps) == len(runs)
    # All but the run that gains least, and never all of it.
    assert error(best) == min(len(run) for run in runs) > 0
    few = sensitivity.restore(quantised, plain, error, kept, kept(quantised) + 1e-9)
    assert error(few) == error(quantised) - max(len(run) for run in runs)


def test_layers_that_gain_nothing_stay_and_the_best_network_is_returned(carried):
    folder, _ = carried
    quantised = core().read_model(folder / "exports" / layout.INT8 / "model.xml")
    plain, runs = plain_of(folder), sensitivity.runs(quantised)
    assert len(runs) >= 4

    def given_back(model):
        ours = {op.get_friendly_name() for op in sensitivity.quantised_layers(model)}
        return [run[0] not in ours for run in runs]

    # The first and second run gain, the third makes it worse, and the others change nothing.
    def error(model):
        first, second, third, *_ = given_back(model)
        return 10 - 3 * first - 2 * second + third

    def decisions(shares):
        return lambda model: shares.get(sum(given_back(model)), 0.0)

    best = sensitivity.restore(quantised, plain, error, decisions({0: 0.5, 1: 0.8, 2: 0.6}), 0.9)
    assert given_back(best) == [True] + [False] * (len(runs) - 1)
    best = sensitivity.restore(quantised, plain, error, decisions({0: 0.5, 1: 0.4, 2: 0.8, 3: 1.0}), 0.9)
    assert given_back(best) == [True, True] + [False] * (len(runs) - 2)
    # Where nothing helps, int8 stays as it was.
    best = sensitivity.restore(quantised, plain, error, decisions({0: 0.5, 1: 0.4, 2: 0.4}), 0.9)
    assert best is quantised
    worse = sensitivity.restore(quantised, plain, lambda model: float(sum(given_back(model))), decisions({}), 0.9)
    assert worse is quantised


@pytest.mark.parametrize("temperature", [[1.7], [0.5, 1.0, 4.0]])
def test_int8_exports_of_earlier_versions_are_still_read(carried, temperature, tmp_path):
    """They divided their logits by the release's temperature, and said so."""
    folder, outcome = carried
    model = core().read_model(folder / "exports" / layout.INT8 / "model.xml")
    formats.save_openvino(
        sensitivity.change_logits(model, "divide", np.array(temperature)), tmp_path, outcome.export.facts
    )
    images = exporting.fresh_images(32, 3)
    expected = zoo.load(folder, runtime="openvino", precision="int8").runtime.logits(images)
    # int8 alone: the rest may be in another number type in what is loaded.
    ours = openvino_runtime.OpenVinoRuntime(tmp_path / "model.xml", "int8", divisor=temperature)
    np.testing.assert_allclose(ours.logits(images), expected, rtol=1e-5, atol=1e-5)


def test_an_export_to_a_folder_has_the_temperature_inside(data, tmp_path, lenient, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    folder = tiny_release(tmp_path / "release")
    made = making.export_int8(read_release(folder), data, tmp_path / "out").export
    copied = exports.read(tmp_path / "out")
    assert (made.temperature, copied.temperature) == ((1.0,), (1.7,))
    assert "divided by the temperature" in copied.facts.output.values
    images = exporting.fresh_images(32, 3)
    ours, theirs = (outputs(core().read_model(export.folder / "model.xml"), images) for export in (made, copied))
    np.testing.assert_allclose(theirs, ours / 1.7, rtol=1e-5, atol=1e-5)
    carried = exports.check_carried
    found = read_release(folder)
    assert carried(found.folder, found.files, found.spec, found.decision.temperature).temperature == (1.0,)


def outputs(model, images):
    compiled = core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.concatenate([compiled(image[None])[0] for image in images])


def plain_of(folder):
    found = read_release(folder)
    facts = exporting.describe(found, "openvino", "int8", None, 1, calibrated=False)
    return formats.to_openvino(formats.graph_of(build_model(found), facts), 1)
