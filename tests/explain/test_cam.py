"""The maps against what they are by hand."""

import numpy as np
import pytest

from zoo.core.errors import UnknownNameError
from zoo.explain.cam import METHODS, cam, class_maps, gap_kernel, gradcam, gradcam_plus_plus, layercam
from zoo.explain.gradients import feature_maps, head_gradients
from zoo.models.heads import AttentionHead, GAPHead, GeMHead

INDICES = np.array([0, 1, 2, 0])


@pytest.fixture(scope="module")
def of_gap(gap, pixels):
    """Features, logits and gradients of the member with a GAP head."""
    features = feature_maps(gap.backbone, pixels)
    return features, *head_gradients(gap.head, features, INDICES)


@pytest.fixture(scope="module")
def drawn():
    """A feature map with values of both signs, and gradients."""
    rng = np.random.default_rng(0)
    return rng.normal(0.3, 1, (2, 3, 5, 4)).astype("float32"), rng.normal(0, 0.2, (2, 3, 5, 4)).astype("float32")


def test_the_gradient_of_a_mean_is_its_weight_over_the_places(gap, of_gap):
    features, _, gradients = of_gap
    weights = gap_kernel(gap.head)[:, INDICES].T / 16
    np.testing.assert_allclose(gradients, np.broadcast_to(weights[:, None, None], features.shape), atol=1e-7)


@pytest.mark.parametrize("member", range(3))
def test_the_gradient_is_the_slope_of_the_logit(ensemble, pixels, member):
    classifier = ensemble.members[member]
    features = feature_maps(classifier.backbone, pixels)
    _, gradients = head_gradients(classifier.head, features, INDICES)
    # Up and down alike, and only where there is a feature: a GeM bends at 0.
    step = 1e-2 * np.random.default_rng(1).normal(size=features.shape).astype("float32") * (features > 0.05)
    up, _ = head_gradients(classifier.head, features + step, INDICES)
    down, _ = head_gradients(classifier.head, features - step, INDICES)
    slope = (up - down)[range(4), INDICES] / 2
    np.testing.assert_allclose((gradients * step).sum(axis=(1, 2, 3)), slope, atol=2e-3 * np.abs(slope).max() + 1e-4)


def test_logits_are_those_of_prediction(gap, of_gap, pixels):
    np.testing.assert_allclose(of_gap[1], gap.predict_on_batch(pixels), atol=1e-4)


def test_the_mean_of_cam_and_the_bias_are_the_logit(gap, of_gap):
    features, logits, gradients = of_gap
    maps = class_maps(gap.head, features, gradients, INDICES, "cam")
    bias = gap.head.linear.get_weights()[1]
    np.testing.assert_allclose(maps.mean(axis=(1, 2)) + bias[INDICES], logits[range(4), INDICES], atol=1e-4)


def test_gradcam_of_a_gap_head_is_cam_over_the_number_of_places(gap, of_gap):
    features, _, gradients = of_gap
    closed = cam(features, gap_kernel(gap.head)[:, INDICES].T)
    np.testing.assert_allclose(gradcam(features, gradients), closed / 16, atol=1e-5)
    np.testing.assert_allclose(class_maps(gap.head, features, gradients, INDICES, "gradcam"), closed, atol=1e-4)


def test_gradcam_by_hand(drawn):
    features, gradients = drawn
    for i, j, k in np.ndindex(2, 3, 5):
        wanted = sum(gradients[i, :, :, f].mean() * features[i, j, k, f] for f in range(4))
        assert gradcam(*drawn)[i, j, k] == pytest.approx(wanted, abs=1e-6)


def test_layercam_by_hand(drawn):
    features, gradients = drawn
    for i, j, k in np.ndindex(2, 3, 5):
        wanted = sum(max(gradients[i, j, k, f], 0) * features[i, j, k, f] for f in range(4))
        assert layercam(*drawn)[i, j, k] == pytest.approx(wanted, abs=1e-6)


def test_gradcam_plus_plus_by_hand(drawn):
    """The paper's quotient of the second and third derivatives of exp(logit), less the factor exp(logit)."""
    features, gradients = np.abs(drawn[0]), drawn[1].astype("float64")
    gradients[0, 0, 0] = 0
    weights = np.zeros((2, 4))
    for i, f in np.ndindex(2, 4):
        for g in gradients[i, :, :, f].ravel():
            if g > 0:
                weights[i, f] += g**2 / (2 * g**2 + features[i, :, :, f].sum() * g**3) * g
    wanted = np.einsum("nrcf,nf->nrc", features, weights)
    np.testing.assert_allclose(gradcam_plus_plus(features, gradients.astype("float32")), wanted, atol=1e-5)


def test_gradcam_plus_plus_has_no_pole_where_features_are_negative():
    gradients = np.full((1, 2, 2, 1), 0.5, np.float32)
    # The formula's denominator 2 g^2 + sum(A) g^3 is 0 for a sum of -4.
    features = np.full((1, 2, 2, 1), -1.0, np.float32)
    np.testing.assert_allclose(gradcam_plus_plus(features, gradients), -1.0)


@pytest.mark.parametrize("head", [GeMHead, AttentionHead])
def test_cam_of_another_head_names_the_methods_that_work(head):
    with pytest.raises(ValueError, match=r"'mine' has a \w+: use one of 'gradcam', 'gradcam\+\+', 'layercam'"):
        gap_kernel(head(3), "mine")


def test_cam_is_refused_to_a_subclass_that_pools_in_its_own_way():
    class Maximum(GAPHead):
        def pool(self, features):
            return features.max(axis=(1, 2))

    with pytest.raises(ValueError, match="Maximum"):
        gap_kernel(Maximum(3))


def test_an_unknown_method_names_the_closest():
    with pytest.raises(UnknownNameError, match=r"did you mean 'gradcam'"):
        class_maps(None, None, None, None, "grad-cam")
    assert METHODS == ("cam", "gradcam", "gradcam++", "layercam")
