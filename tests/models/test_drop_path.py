"""Stochastic depth: the rates of the paper's linear rule, and what a dropped path does to an image."""

import keras
import numpy as np
import pytest

from zoo.config.specs import MemberSpec
from zoo.core.errors import RecipeError, UsageError
from zoo.models.architectures import get
from zoo.models.backbones import Backbone
from zoo.models.classifier import Classifier
from zoo.models.vit import vit
from zoo.models.weights.files import named_weights, uninitialized


def rates(network):
    return [x.rate for x in network.layers if isinstance(x, keras.layers.Dropout) and x.noise_shape is not None]


def test_a_member_has_the_rate_that_its_spec_names_and_keeps_it_in_its_configuration():
    with uninitialized():
        model = Classifier.from_spec(MemberSpec("tiny", drop_path=0.4), 16, 3)
    assert rates(model.backbone.network) == [0.4]
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert rates(again.backbone.network) == [0.4]
    assert rates(Backbone("tiny", 16).network) == [0.1]
    assert rates(Backbone("tiny", 16, drop_path=0.0).network) == [0.0]


@pytest.mark.parametrize("rate", [0.05, 0.0])
def test_efficientnet_rates_rise_linearly_to_the_last_block(rate):
    with uninitialized():
        own, changed = Backbone("efficientnetb0", 32), Backbone("efficientnetb0", 32, drop_path=rate)
    # B0 has 16 blocks; those that are not the first of their stage have a shortcut. Keras gives block b the rate
    # drop_connect_rate * b / blocks.
    with_shortcut = [2, 4, 6, 7, 9, 10, 12, 13, 14]
    np.testing.assert_allclose(rates(own.network), [0.2 * b / 16 for b in with_shortcut])
    np.testing.assert_allclose(rates(changed.network), [rate * b / 16 for b in with_shortcut])
    assert list(named_weights(own)) == list(named_weights(changed))


def test_convnext_receives_the_layers_and_keeps_its_weights():
    with uninitialized():
        own, changed = (Backbone("convnexttiny_unnormed", 32, drop_path=rate) for rate in (None, 0.17))
    assert rates(own.network) == []
    np.testing.assert_allclose(rates(changed.network), np.linspace(0, 0.17, 18)[1:])  # the first block has no layer
    assert list(named_weights(own)) == list(named_weights(changed))


def test_both_branches_of_a_transformer_drop_paths():
    with uninitialized():
        own, changed = (
            vit((32, 32, 3), patch=16, width=8, heads=2, trained=2, depth=3, drop_path=rate) for rate in (0.0, 0.2)
        )
    assert rates(own) == []
    np.testing.assert_allclose(rates(changed), [0.1, 0.1, 0.2, 0.2])


def test_a_path_is_dropped_for_whole_images_and_scaled_where_it_is_kept():
    network = Backbone("tiny", 16, drop_path=0.75).network
    path = network.get_layer("block_drop_path")
    out = keras.ops.convert_to_numpy(path(np.ones((4000, 2, 2, 3), "float32"), training=True))
    per_image = out.reshape(4000, -1)
    assert np.all(per_image == per_image[:, :1])
    assert set(np.unique(out)) == {0.0, 4.0}
    assert abs(np.mean(per_image[:, 0] == 0) - 0.75) < 0.03
    assert np.all(keras.ops.convert_to_numpy(path(np.ones((4, 2, 2, 3), "float32"), training=False)) == 1)


def test_what_cannot_be_done_is_refused_before_a_network_is_built(monkeypatch):
    monkeypatch.setattr(keras.applications, "DenseNet121", lambda **_: pytest.fail("it was built"))
    with pytest.raises(UsageError, match="'densenet121' has no stochastic depth"):
        Backbone("densenet121", 32, drop_path=0.1)
    with pytest.raises(RecipeError, match="drop_path must be in"):
        MemberSpec("tiny", drop_path=1.0)
    assert get("efficientnetb3").drop_path == 0.2
