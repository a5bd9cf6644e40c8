"""int8 may stand in for float32 only within two limits, measured on images that it was not calibrated on."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from builders import FINDINGS3, tiny_spec
from exported import export_facts, loss

from zoo.config.tta import TtaSpec
from zoo.core.errors import ReleaseError, SplitError
from zoo.core.progress import Silent
from zoo.data.phantoms.drawing import make_phantoms
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.export.int8 import acceptance, making
from zoo.release import exports
from zoo.release.manifest import write_json


def decision(*cuts):
    return Decision(FINDINGS3, (1.0,), {"half": OperatingPoint(cuts or (0.5, 0.5, None), Origin("half"))}, "half")


# The limits


@pytest.mark.parametrize(
    "auc, kept, reasons",
    [
        (0.002, 0.99, 0),
        (-0.1, 1.0, 0),
        (0.0021, 1.0, 1),
        (0.0, 0.9899, 1),
        (0.01, 0.5, 2),
        (float("nan"), 1.0, 1),
        (float("nan"), float("nan"), 2),
    ],
)
def test_at_most_so_much_may_be_lost(auc, kept, reasons):
    assert len(exports.beyond(loss(auc, kept))) == reasons


def test_a_stated_loss_beyond_the_limits_is_refused(tmp_path):
    good, bad = loss(0.0, 1.0), loss(0.01, 1.0)
    exports.check_accepted(export_facts({"float32": good}), tmp_path)
    for runs in ({"float32": bad}, {"float32": good, "bfloat16": bad}, None):
        with pytest.raises(ReleaseError, match="accept"):
            exports.check_accepted(export_facts(runs), tmp_path)


@pytest.mark.parametrize("difference, temperature", [(1e6, 1.0), (5.1, 2.0), (float("nan"), 1.0)])
def test_a_release_may_not_allow_itself_any_logit(tmp_path, difference, temperature):
    facts = export_facts({"float32": loss(0.0, 1.0)})
    check = replace(facts.check, difference=difference)
    with pytest.raises(ReleaseError, match=r"a logit of int8 differs by .* more than 10: use precision"):
        exports.check_accepted(replace(facts, check=check, temperature=(temperature,)), tmp_path)


@pytest.mark.parametrize("wrong", ["0.001", None, True])
def test_a_loss_that_is_no_number_is_refused_where_it_is_read(tmp_path, wrong):
    document = export_facts({"float32": loss(0.0, 1.0)}).to_json()
    write_json(tmp_path / "export.json", document)
    assert exports.read(tmp_path, {}).facts == export_facts({"float32": loss(0.0, 1.0)})
    document["acceptance"]["runs"]["float32"]["auc_loss"]["value"] = wrong
    write_json(tmp_path / "export.json", document)
    with pytest.raises(ReleaseError, match=r"acceptance\.runs\.float32\.auc_loss\.value"):
        exports.read(tmp_path, {})
    document["acceptance"]["runs"] = {"bfloat16": document["acceptance"]["runs"]["float32"]}
    write_json(tmp_path / "export.json", document)
    with pytest.raises(ReleaseError, match=r"'float32' is missing|auc_loss\.value"):
        exports.read(tmp_path, {})


# What was lost


def test_the_share_of_decisions_that_stay_by_hand():
    plain = np.array([[1.0, -1, 5], [2.0, 1, -5]])  # positive: yes no; yes yes; the third finding has no threshold
    moved = np.array([[0.1, 0.1, -5], [2.0, 1, 5]])  # one of four decisions turns
    assert acceptance.share_kept(decision(), plain, moved) == 0.75
    assert acceptance.share_kept(decision(), plain, plain) == 1.0


def test_the_loss_of_auc_by_hand():
    found = SimpleNamespace(spec=tiny_spec(), decision=decision())
    table = pd.DataFrame({"Patient_ID": list("abcd"), "Image_name": list("wxyz")})
    table[list(FINDINGS3)] = [[0, 0, 1], [0, 1, 1], [1, 0, 0], [1, 1, 0]]
    plain = np.array([[-2.0, -2, 2], [-1, 1, 1], [1, -1, -1], [2, 2, -2]])
    int8 = plain.copy()
    int8[[1, 2], 0] = plain[[2, 1], 0]  # two images change places: 3 of 4 pairs stay in order, two decisions turn
    lost = acceptance.loss(found, table, plain, int8, "test")
    assert lost.auc == 1.0
    assert lost.auc_int8 == pytest.approx((0.75 + 1 + 1) / 3)
    assert lost.auc_loss.value == pytest.approx(0.25 / 3)
    assert lost.decisions_kept.value == 0.75
    assert lost.decisions_kept.n == 8
    assert lost.largest_difference == 2.0


def test_a_decision_without_thresholds_cannot_be_kept():
    found = SimpleNamespace(spec=tiny_spec(), decision=decision(None, None, None))
    table = pd.DataFrame({"Patient_ID": list("ab"), "Image_name": list("wx")})
    table[list(FINDINGS3)] = [[0, 0, 1], [1, 1, 0]]
    logits = np.array([[0.0, 1, 2], [1, 2, 3]])
    with pytest.raises(ValueError, match="thresholds"):
        acceptance.loss(found, table, logits, logits, "test")


# The images


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    make_phantoms(folder, 40, size=48, n_test=0, broken=0)
    return folder


def test_images_of_a_split_are_calibrated_on_validation_and_compared_on_test(data, tmp_path):
    names = pd.read_csv(data / "train2.csv")["Image_name"].tolist()
    parts = {"train": names[:10], "validation": names[10:25], "test": names[25:]}
    facts = {part: {"images": images} for part, images in parts.items()}
    (tmp_path / "split.json").write_text(json.dumps({"hash": "5" * 64, "parts": facts}))
    images = acceptance.choose_images(data, "competition", tmp_path / "split.json")
    of = lambda table: {*table["Image_name"]}  # noqa: E731
    assert of(images.compared) == {*parts["test"]}
    assert of(images.calibration) | of(images.tuning) == {*parts["validation"]}
    assert not of(images.calibration) & of(images.tuning)
    assert (images.part, images.split_hash, images.notes) == ("test", "5" * 64, ())


def test_without_a_split_no_patient_is_on_both_sides_and_the_reader_is_told(data):
    images = acceptance.choose_images(data, "competition")
    ours = {*images.calibration["Patient_ID"], *images.tuning["Patient_ID"]}
    assert not ours & {*images.compared["Patient_ID"]}
    assert images.part == "all"
    assert "not known" in images.notes[0]


def test_too_few_images_are_refused(tmp_path):
    make_phantoms(tmp_path, 2, size=48, n_test=0, broken=0)
    with pytest.raises(SplitError, match="at least 2"):
        acceptance.choose_images(tmp_path, "competition")


def test_what_is_compared_is_the_mean_over_the_views_of_the_decision(monkeypatch):
    class Left:
        """The logit is the brightness of the left edge."""

        name, precision, batch_size = "openvino", "float32", 1

        def __init__(self, *_, **__):
            pass

        def logits(self, pixels, full=0):
            return pixels[:, :, 0].astype(np.float32).mean(axis=(1, 2))[:, None]

    pixels = np.zeros((1, 4, 4, 1), np.uint8)
    pixels[:, :, 0], pixels[:, :, -1] = 10, 30
    compared = {}

    def read(found, table, progress, what, compute):
        logits = {name: run(pixels) for name, run in compute.items()}
        return making._Read(table, pixels, logits, ())

    def held(found, table, plain, int8, part):
        compared["both"] = plain.item(), int8.item()
        return loss(0.0, 1.0)

    monkeypatch.setattr(making, "OpenVinoRuntime", Left)
    monkeypatch.setattr(making, "native", lambda: ("float32",))
    monkeypatch.setattr(making, "_read", read)
    monkeypatch.setattr(making.acceptance, "loss", held)
    table = pd.DataFrame({"Image_name": ["a"]})
    images = acceptance.Images(table, table, table, "test")
    for tta, expected in ((None, 10.0), (TtaSpec(flip_left_right=True), 20.0)):
        found = SimpleNamespace(decision=replace(decision(), tta=tta))
        making._compare(found, Path(), Left(), images, Silent())
        assert compared["both"] == (expected, expected)
