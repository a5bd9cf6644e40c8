"""The start at which every residual block is the identity."""

import keras
import numpy as np
import pytest

from zoo.config.specs import MemberSpec
from zoo.core.errors import RecipeError, UsageError
from zoo.models.backbones import Backbone
from zoo.models.classifier import Classifier
from zoo.models.residuals import silence_branches
from zoo.models.weights.files import uninitialized


def silent(network):
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    return {n.name for n in norms if not np.any(keras.ops.convert_to_numpy(n.gamma))}


@pytest.mark.parametrize(
    "name, blocks, ends",
    [
        ("resnet50", 16, {"conv2_block1_3_bn", "conv5_block3_3_bn"}),  # not the projections, conv2_block1_0_bn
        ("efficientnetb3", 19, {"block1b_project_bn", "block7b_project_bn"}),  # 26 blocks, of which 7 add nothing
    ],
)
def test_the_last_norm_of_each_branch_is_silenced(name, blocks, ends):
    with uninitialized():
        network = Backbone(name, 32).network
    assert silence_branches(network) == blocks == len(silent(network))
    assert ends < silent(network)
    assert not any(norm.endswith(("_0_bn", "block2a_project_bn")) for norm in silent(network))


def test_a_network_without_residual_blocks_is_an_error():
    inputs = keras.Input((4,))
    with pytest.raises(UsageError, match="plain: no residual block ends in a batch norm"):
        silence_branches(keras.Model(inputs, keras.layers.Dense(2)(inputs), name="plain"))


def test_only_training_starts_so():
    spec = MemberSpec("tiny", zero_residuals=True)
    assert len(silent(Classifier.from_spec(spec, 16, 14, start=True).backbone.network)) == 1
    assert not silent(Classifier.from_spec(spec, 16, 14).backbone.network)


def test_weights_that_were_trained_are_not_changed():
    with pytest.raises(RecipeError, match="zero_residuals changes random weights, but it starts from 'imagenet'"):
        MemberSpec("resnet50", weights="imagenet", zero_residuals=True)
