"""A decision fitted with views is predicted with them, by every runtime and every way to predict."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from builders import tiny_release

import zoo
from zoo.config.tta import TtaSpec
from zoo.core.errors import UsageError
from zoo.data.tta import over_the_image, views
from zoo.evaluation.decision import Decision, probabilities
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision
from zoo.evaluation.tta import effect_of_tta, tta_note

SPEC = TtaSpec(flip_left_right=True, scales=(1.1,))
LIBRARY = {"openvino": "openvino", "onnx": "onnxruntime"}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return zoo.load(tiny_release(tmp_path_factory.mktemp("tta") / "release"))


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(3).integers(0, 256, (5, 32, 32), dtype=np.uint8)


def with_views(model):
    return model.with_decision(replace(model.decision, tta=SPEC))


def by_hand(model, pixels):
    each = [model.runtime.logits(view) for view in views(pixels[..., None], SPEC)]
    assert len(each) == 3
    return np.mean(each, axis=0)


def test_predictions_are_of_the_mean_of_the_logits_of_the_views(model, pixels):
    averaged = with_views(model)
    expected = by_hand(model, pixels)
    assert np.abs(expected - model.runtime.logits(pixels[..., None])).max() > 1e-3
    (batch,) = averaged.stream(pixels)
    np.testing.assert_allclose(batch.logits, expected, atol=1e-4)
    np.testing.assert_allclose(averaged.predict(pixels), probabilities(expected, model.decision), atol=1e-5)
    np.testing.assert_allclose(averaged.predict(pixels, calibrated=False), probabilities(expected), atol=1e-5)
    np.testing.assert_allclose(averaged.predict(pixels, batch_size=2), averaged.predict(pixels), atol=1e-5)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_other_runtimes_average_over_the_same_views(tmp_path, pixels, runtime):
    pytest.importorskip("onnx")
    pytest.importorskip(LIBRARY[runtime])
    folder = tiny_release(tmp_path / "release")
    keras = zoo.load(folder)
    other = with_views(zoo.load(folder, runtime=runtime))
    np.testing.assert_allclose(other.predict(pixels), with_views(keras).predict(pixels), atol=1e-4)


def test_the_service_averages_too(model, pixels):
    pytest.importorskip("prometheus_client")
    from zoo.service.engine import Engine
    from zoo.service.metrics import Metrics
    from zoo.service.settings import Settings

    engine = Engine(with_views(model), Settings(), Metrics())
    found = engine.predictor.averaging.logits(pixels[..., None], 8)
    np.testing.assert_allclose(found, by_hand(model, pixels), atol=1e-4)


def test_the_views_are_stored_with_the_decision_and_sent_with_the_model(model):
    averaged = with_views(model)
    again = Decision.from_dict(averaged.decision.to_dict(), model.labels)
    assert again == averaged.decision
    assert "tta" not in model.decision.to_dict() or model.decision.to_dict()["tta"] is None
    assert pickle.loads(pickle.dumps(averaged)).tta == SPEC
    assert pickle.loads(pickle.dumps(model.with_tta(SPEC))).tta == SPEC


def test_other_views_than_the_decisions_have_no_decision_until_one_is_fitted(model, pixels):
    averaged = with_views(model)
    assert averaged.with_tta(SPEC).decision == averaged.decision
    plain = averaged.with_tta(None)
    assert (plain.tta, plain.decision) == (None, None)
    np.testing.assert_allclose(plain.predict(pixels), model.predict(pixels, calibrated=False), atol=1e-5)
    with pytest.raises(UsageError, match="no thresholds"):
        plain.findings(pixels)
    labels = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1], [0, 1, 0], [1, 1, 0]])
    for of in (averaged, plain):
        scores = of.scores(pixels, labels)
        assert scores.tta == of.tta
        assert fit_decision(scores, calibration="none").tta == of.tta
    assert averaged.tta == SPEC  # the copy did not change it


def test_the_effect_is_paired_and_stated():
    rng = np.random.default_rng(1)
    labels = (rng.random((200, 2)) < 0.4).astype(int)
    clean = 2.0 * labels - 1
    alone = Scores(clean + rng.normal(0, 2, clean.shape), labels, ("Edema", "Mass"), "validation")
    averaged = replace(alone, logits=clean + rng.normal(0, 0.7, clean.shape), tta=SPEC)
    decision = fit_decision(averaged)
    found = effect_of_tta(averaged, alone, decision)
    assert found.log_loss_low <= found.log_loss <= found.log_loss_high < 0
    assert 0 < found.auc_low <= found.auc <= found.auc_high
    same = effect_of_tta(averaged, replace(averaged, tta=None), decision)
    assert (same.auc, same.n) == (0.0, 200)
    (said,) = tta_note(replace(decision, tta_effect=found))
    assert "3 views: the image, mirrored, scale 1.1; 3 times the work" in said
    assert f"the mean AUC by {found.auc:+.4f} [{found.auc_low:+.4f}, {found.auc_high:+.4f}]" in said


def test_a_map_of_each_view_is_laid_back_over_the_image():
    spec = TtaSpec(True, scales=(1.25, 0.8), shifts=(0.1,))
    rows, columns = np.mgrid[:40, :40]
    blob = 255 * np.exp(-((rows - 17) ** 2 + (columns - 25) ** 2) / 30.0)
    seen = [view[0, ..., 0].astype(np.float32) for view in views(np.rint(blob).astype(np.uint8)[None, ..., None], spec)]
    assert len(seen) == spec.count == 8
    peaks = {np.unravel_index(view.argmax(), view.shape) for view in seen}
    assert len(peaks) == 8  # each view shows it elsewhere
    laid = over_the_image(seen, spec, (40, 40))
    assert np.unravel_index(laid.argmax(), laid.shape) == (17, 25)
    # The enlarged view shows it on 1.25^2 of the area, the reduced one on 0.8^2.
    np.testing.assert_allclose(laid, blob * (6 + 1.25**2 + 0.8**2) / 8, atol=5)
    # Maps of any size: here of an image twice as wide as the network's.
    wide = over_the_image([np.repeat(view, 2, axis=1) for view in seen], spec, (40, 40))
    np.testing.assert_allclose(wide.sum(), 2 * laid.sum(), rtol=0.02)


def test_what_a_view_does_not_show_gets_nothing_from_it():
    spec = TtaSpec(shifts=(0.25,))
    laid = over_the_image([np.ones((8, 8), np.float32)] * 5, spec, (8, 8))
    assert laid[4, 4] == 1.0
    np.testing.assert_allclose(laid[0, 4], 4 / 5)  # the view that is moved up has lost the first rows
    np.testing.assert_allclose(laid[0, 0], 3 / 5)


def test_an_explanation_is_of_the_logit_that_is_predicted(model, pixels):
    flip = TtaSpec(flip_left_right=True)
    mirrored = model.with_decision(replace(model.decision, tta=flip))
    image, finding = pixels[0], model.labels[0]
    found, plain = mirrored.explain(image, finding), model.explain(image, finding)
    other = model.explain(np.ascontiguousarray(image[:, ::-1]), finding)
    assert abs(found.logit - plain.logit) > 1e-4
    assert found.logit == pytest.approx((plain.logit + other.logit) / 2, abs=1e-5)
    assert found.probability == pytest.approx(mirrored.predict(image)[0, 0], abs=1e-5)
    np.testing.assert_allclose(found.raw, (plain.raw + other.raw[:, ::-1]) / 2, atol=1e-5)
    np.testing.assert_array_equal(found.members["tiny0"], plain.members["tiny0"])
    undecided = model.with_tta(flip).explain(image, finding)
    assert undecided.logit == pytest.approx(found.logit, abs=1e-6)
    assert undecided.probability == pytest.approx(model.with_tta(flip).predict(image)[0, 0], abs=1e-5)
