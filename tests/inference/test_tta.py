"""A decision fitted with views is predicted with them, by every runtime and every way to predict."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from builders import tiny_release

import zoo
from zoo.config.tta import TtaSpec
from zoo.core.errors import UsageError
from zoo.data.tta import views
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
