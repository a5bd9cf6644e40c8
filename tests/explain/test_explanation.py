"""What `explain` gives: the right place on the image, one rule for ensembles, and a model left as it was."""

import keras
import numpy as np
import pytest
from builders import FINDINGS3
from PIL import Image

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data.images.reading import read_image
from zoo.evaluation.decision import Decision
from zoo.explain.explanation import enlarge, explain, explain_batch, explain_findings, explain_images
from zoo.models import architectures
from zoo.models.classifier import Classifier
from zoo.models.ensemble import Ensemble

INDICES = [0, 1, 2, 0]
ANY_HEAD = ("gradcam", "gradcam++", "layercam")


def averages(input_shape):
    """Feature map of two channels: the brightness of each 4 x 4 block, and its darkness."""
    pixels = keras.Input(input_shape)
    x = keras.layers.AveragePooling2D(4)(pixels)
    x = keras.layers.Conv2D(2, 1, name="blocks")(x)
    return keras.Model(pixels, keras.layers.ReLU()(x))


@pytest.fixture(scope="module")
def brightness():
    """A classifier of one finding whose logit is the mean brightness above the middle grey."""
    row = architectures.Architecture("averages", averages, "tf", min_size=8)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(architectures.ARCHITECTURES, "averages", row)
        model = Classifier.from_spec(MemberSpec("averages"), 32, 1)
    kernel = np.tile([1 / 3, -1 / 3], (3, 1)).reshape(1, 1, 3, 2)
    model.backbone.network.get_layer("blocks").set_weights([kernel, np.zeros(2)])
    model.head.set_weights([np.array([[1.0], [0.0]]), np.zeros(1)])
    return model


def square_film():
    """uint8 (80, 48), dark but for a bright square of 10 x 12 pixels."""
    film = np.full((80, 48), 20, np.uint8)
    film[60:70, 24:36] = 230
    return film


@pytest.mark.parametrize("method", ["cam", *ANY_HEAD])
def test_the_map_lies_where_the_finding_is_in_the_films_own_geometry(brightness, method):
    film = square_film()
    found = explain(brightness, film, 0, method)
    assert found.heatmap.shape == found.raw.shape == found.image.shape == (80, 48)
    assert found.heatmap.dtype == found.raw.dtype == np.float32
    assert (found.heatmap.min(), found.heatmap.max()) == (0.0, 1.0)
    assert film[np.unravel_index(found.heatmap.argmax(), film.shape)] == 230
    assert found.heatmap[film == 230].sum() > 0.5 * found.heatmap.sum()
    np.testing.assert_array_equal(found.image, film)


def test_a_film_from_a_file_is_explained_as_it_is_predicted(brightness, tmp_path):
    Image.fromarray(np.kron(square_film(), np.ones((8, 8), np.uint8))).save(tmp_path / "film.jpg")
    found = explain(brightness, tmp_path / "film.jpg", 0)
    predicted = brightness.predict_on_batch(read_image(tmp_path / "film.jpg", 32)[None])[0, 0]
    assert found.heatmap.shape == (640, 384)
    assert found.logit == pytest.approx(predicted, abs=1e-5)


def test_where_nothing_speaks_for_the_finding_the_heatmap_is_empty(brightness):
    before = brightness.head.get_weights()
    brightness.head.set_weights([-before[0], before[1]])
    found = explain(brightness, square_film(), 0)
    brightness.head.set_weights(before)
    assert found.raw.min() < 0
    assert not found.heatmap.any()


def test_half_of_a_grid_is_half_of_the_film():
    enlarged = enlarge(np.array([[0.0, 1.0]], np.float32), (6, 8))
    np.testing.assert_allclose(enlarged, np.tile([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1], (6, 1)))
    grid = np.random.default_rng(0).normal(size=(4, 4)).astype("float32")
    assert enlarge(grid, (32, 64)).mean() == pytest.approx(grid.mean(), abs=1e-6)


@pytest.mark.parametrize("method", ANY_HEAD)
def test_the_ensembles_map_is_the_weighted_mean_of_its_members(ensemble, pixels, method):
    found = explain_batch(ensemble, pixels, INDICES, method)
    alone = [explain_batch(m, pixels, INDICES, method) for m in ensemble.members]
    for i, whole in enumerate(found):
        a, b, c = (own[i] for own in alone)
        assert list(whole.members) == ["tiny0", "tiny1", "tiny2"]
        np.testing.assert_allclose(whole.raw, (2 * a.raw + b.raw + c.raw) / 4, atol=1e-4)
        np.testing.assert_allclose(whole.heatmap, np.maximum(whole.raw, 0) / max(whole.raw.max(), 1e-9), atol=1e-6)
        assert whole.logit == pytest.approx((2 * a.logit + b.logit + c.logit) / 4, abs=1e-4)


def test_the_mean_of_an_ensembles_cam_and_its_biases_are_its_logit(gap, pixels):
    other = Classifier.from_spec(MemberSpec("tiny", alias="other"), 32, 3)
    whole = Ensemble([gap, other], [3, 1])
    found = explain_batch(whole, pixels, INDICES, "cam")
    bias = gap.head.get_weights()[1] * 0.75 + other.head.get_weights()[1] * 0.25
    for explanation, index in zip(found, INDICES, strict=True):
        assert explanation.raw.mean() + bias[index] == pytest.approx(explanation.logit, abs=1e-4)


def test_a_batch_gives_what_single_images_give(gap, pixels):
    batch = explain_batch(gap, pixels, INDICES, batch_size=3)  # a full batch and a filled one
    assert len(batch) == 4
    for image, index, found in zip(pixels, INDICES, batch, strict=True):
        single = explain(gap, image, index)
        np.testing.assert_allclose(found.raw, single.raw, atol=1e-4)
        np.testing.assert_allclose(found.heatmap, single.heatmap, atol=1e-5)
        assert found.logit == pytest.approx(single.logit, abs=1e-4)
        assert (found.index, found.finding, found.method) == (index, "", "gradcam")


def test_the_decision_gives_name_and_probability(gap, pixels):
    decision = Decision(FINDINGS3, (2.0,))
    found = explain(gap, pixels[1], 1, decision=decision)
    assert found.finding == FINDINGS3[1]
    assert found.probability == pytest.approx(1 / (1 + np.exp(-found.logit / 2)), abs=1e-6)
    plain = explain(gap, pixels[1], 1, findings=FINDINGS3)
    assert plain.finding == FINDINGS3[1]
    assert plain.probability == pytest.approx(1 / (1 + np.exp(-plain.logit)), abs=1e-6)


def nested(layer):
    """The layer and all layers inside it."""
    yield layer
    inner = layer.layers if isinstance(layer, keras.Model) else vars(layer).values()
    for child in (value for value in inner if isinstance(value, keras.layers.Layer)):
        yield from nested(child)


def test_the_model_is_handed_back_as_it_was(pixels):
    model = Ensemble.from_spec(EnsembleSpec("e", (MemberSpec("tiny", head="gap"),), image_size=32, findings=FINDINGS3))
    model.unfreeze_top(3)
    model.compile(keras.optimizers.Adam(), "mse")

    def state():
        layers = list(nested(model))
        return {
            "flags": [layer.trainable for layer in layers] + [v.trainable for v in model.variables],
            "policies": [layer.dtype_policy.name for layer in layers] + [keras.config.dtype_policy().name],
            "attributes": [sorted(vars(layer)) for layer in layers],
            "compiled": (model.compiled, id(model.optimizer), len(model.optimizer.variables), model.jit_compile),
            "functions": [getattr(layer, "predict_function", None) for layer in layers],
        }

    before, values = state(), [np.copy(keras.ops.convert_to_numpy(v)) for v in model.variables]
    for method in ("cam", *ANY_HEAD):
        explain_batch(model, pixels, INDICES, method)
    assert state() == before
    for variable, value in zip(model.variables, values, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), value)


def test_new_weights_and_other_trainable_layers_count_at_once(pixels):
    model = Classifier.from_spec(MemberSpec("tiny"), 32, 3)
    first = explain_batch(model, pixels, INDICES)
    model.freeze_backbone()
    rng = np.random.default_rng(0)
    model.set_weights([w + 0.1 * np.abs(rng.normal(size=w.shape)) for w in model.get_weights()])
    second = explain_batch(model, pixels, INDICES)
    logits = model.predict_on_batch(pixels)[range(4), INDICES]
    np.testing.assert_allclose([e.logit for e in second], logits, rtol=1e-5, atol=1e-4)
    assert all(abs(a.logit - b.logit) > 1e-3 for a, b in zip(first, second, strict=True))


def test_half_precision_gives_float32_maps(pixels):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = Classifier.from_spec(MemberSpec("tiny"), 32, 3)
    finally:
        keras.config.set_dtype_policy(before)
    found = explain_batch(model, pixels, INDICES, "cam")[0]
    assert found.raw.dtype == np.float32
    bias = model.head.get_weights()[1][0]
    assert found.raw.mean() + bias == pytest.approx(found.logit, abs=1e-4)


def test_no_images_no_explanations(ensemble, pixels):
    assert explain_batch(ensemble, pixels[:0], []) == []


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"indices": [0, 1]}, r"expected pixels \(n, 32, 32, 1\) and n findings, got \(4, 32, 32, 1\) and \(2,\)"),
        ({"pixels": np.zeros((4, 16, 16, 1))}, r"got \(4, 16, 16, 1\)"),
        ({"pixels": np.full((4, 32, 32, 1), np.nan)}, r"pixels must be in 0\.\.255, got nan"),
        ({"indices": [0, 1, 2, 3]}, r"column in 0\.\.2, got \[0, 1, 2, 3\]"),
        ({"indices": [0, -1, 2, 0]}, r"column in 0\.\.2"),
        ({"indices": [0.5] * 4}, r"column in 0\.\.2"),
        ({"method": "gradcm"}, r"did you mean 'gradcam'"),
        ({"method": "cam"}, r"'tiny1' has a GeMHead: use one of 'gradcam'"),
        ({"findings": ("Edema",)}, r"has 3 findings, got 1 names"),
        ({"batch_size": 0}, r"at least 1, got 0"),
        ({"decision": Decision(FINDINGS3, trained=(True, True, False))}, "'No Finding' was not trained"),
    ],
)
def test_what_cannot_be_explained_is_said_in_a_line(ensemble, pixels, arguments, match):
    arguments = {"pixels": pixels, "indices": INDICES, **arguments}
    with pytest.raises((ValueError, KeyError), match=match):
        explain_batch(ensemble, **arguments)


def test_other_models_are_refused():
    with pytest.raises(TypeError, match="Classifier or an Ensemble can be explained, got Sequential"):
        explain(keras.Sequential(), np.eye(32), 0)


@pytest.mark.parametrize("method", ANY_HEAD)
def test_findings_of_one_image_are_explained_as_one_by_one(ensemble, method):
    film = square_film()
    together = explain_findings(ensemble, film, (0, 2), method)
    for index, one in zip((0, 2), together, strict=True):
        alone = explain(ensemble, film, index, method)
        np.testing.assert_allclose(one.raw, alone.raw, atol=1e-5)
        assert one.logit == pytest.approx(alone.logit, abs=1e-5)
        assert one.index == index
    small = explain_findings(ensemble, film, (1,), method, size=40)[0]
    assert small.image.shape == small.heatmap.shape == (40, 24)
    assert explain_findings(ensemble, film, (), method) == []


def test_many_images_of_their_own_sizes_are_explained_as_each_alone(ensemble, tmp_path):
    rng, files = np.random.default_rng(5), []
    for i, shape in enumerate(((40, 30), (64, 64), (25, 50))):
        files.append(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 256, shape).astype(np.uint8)).save(files[-1])
    together = explain_images(ensemble, files, [2, 0, 1])
    for image, index, one in zip(files, (2, 0, 1), together, strict=True):
        alone = explain(ensemble, image, index)
        assert (one.image.shape, one.index) == (alone.image.shape, index)
        np.testing.assert_array_equal(one.image, alone.image)
        np.testing.assert_allclose(one.raw, alone.raw, atol=1e-6 * np.abs(alone.raw).max() + 1e-9)
        assert one.logit == pytest.approx(alone.logit, abs=1e-5)
