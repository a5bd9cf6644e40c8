from typing import Any

import keras
import numpy as np
import pytest

from zoo.config.specs import MemberSpec
from zoo.models.backbones import Backbone, leaf_layers
from zoo.models.classifier import Classifier
from zoo.models.freezing import unfreeze_top
from zoo.models.weights.files import uninitialized


@pytest.fixture
def classifier(fill: Any) -> Classifier:
    return fill(Classifier.from_spec(MemberSpec("tiny", batch_norm_momentum=0.5), 16, 3))


@pytest.mark.parametrize(
    "name, layers, with_weights, batch_norms, share",
    [
        ("resnet50", 175, 30, 15, 0.720),
        ("densenet121", 427, 28, 14, 0.155),
        ("efficientnetb0", 235, 28, 11, 0.628),  # the two in front of the stem are cut off
        ("efficientnetb3", 382, 28, 11, 0.471),
    ],
)
def test_the_top_50_are_counted_on_the_network_itself(
    name: str, layers: int, with_weights: int, batch_norms: int, share: float
) -> None:
    with uninitialized():
        backbone = Backbone(name, 32)
    top = unfreeze_top(backbone, 50)
    assert len(backbone.network.layers) == layers
    assert (top.layers, top.with_weights, top.batch_norms) == (50, with_weights, batch_norms)
    assert top.share == pytest.approx(share, abs=5e-4)
    trained = backbone.trainable_weights
    assert 0 < len(trained) < len(backbone.weights) / 4
    # Batch norms stay frozen, so 28 - 11 = 17 layers train, each with a kernel and perhaps a bias.
    assert with_weights - batch_norms <= len(trained) <= 2 * (with_weights - batch_norms)
    unfreeze_top(backbone, 50, batch_norm=True)
    assert len(backbone.trainable_weights) == len(trained) + 2 * batch_norms


def _statistics(classifier: Classifier) -> dict[str, np.ndarray]:
    norms = [x for x in leaf_layers(classifier.backbone.network) if isinstance(x, keras.layers.BatchNormalization)]
    return {x.name: keras.ops.convert_to_numpy(x.moving_mean) for x in norms}


def _train(classifier: Classifier, pixels: Any) -> list[str]:
    """One step; the names of the batch norms whose statistics moved."""
    before = _statistics(classifier)
    classifier.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    classifier.fit(pixels(8, 16), np.ones((8, 3), "float32"), batch_size=8, verbose=0)
    after = _statistics(classifier)
    return [name for name in before if not np.array_equal(before[name], after[name])]


def test_freezing_stops_the_statistics_of_batch_norms(classifier: Classifier, pixels: Any) -> None:
    assert classifier.freeze_backbone().parameters == 0
    assert [v.path.rpartition("/")[2] for v in classifier.trainable_weights] == ["kernel", "bias"]
    assert _train(classifier, pixels) == []


def test_unfrozen_layers_move_them(classifier: Classifier, pixels: Any) -> None:
    classifier.freeze_backbone()
    assert classifier.unfreeze_all().share == 1.0
    assert _train(classifier, pixels) == ["stem_bn", "down1_bn", "block_bn", "down2_bn"]


def test_batch_norms_of_the_top_train_only_when_asked(classifier: Classifier, pixels: Any) -> None:
    # From the top: dropout, relu, batch norm, convolution, add, drop path, relu, batch norm.
    top = classifier.unfreeze_top(8)
    assert (top.with_weights, top.batch_norms) == (3, 2)
    assert _train(classifier, pixels) == []
    classifier.unfreeze_top(8, batch_norm=True)
    assert _train(classifier, pixels) == ["block_bn", "down2_bn"]


def test_all_but_the_batch_norms(classifier: Classifier, pixels: Any) -> None:
    classifier.unfreeze_all(batch_norm=False)
    assert _train(classifier, pixels) == []


@pytest.mark.parametrize("n", [-1, 1000])
def test_more_layers_than_there_are(classifier: Classifier, n: int) -> None:
    with pytest.raises(ValueError, match=f"'tiny' has 16 layers, cannot unfreeze the top {n}"):
        classifier.unfreeze_top(n)


def test_what_was_unfrozen_reads_as_a_line(classifier: Classifier) -> None:
    assert str(classifier.unfreeze_top(3)) == (
        "3 layers unfrozen, 1 with weights, 1 of them batch norm; 0.8% of the parameters"
    )
