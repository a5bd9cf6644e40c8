"""Conversion of published weights: the right variables, and clear errors for wrong files."""

import numpy as np
import pytest
from published_files import densenet

from zoo.core.errors import UnknownNameError, WeightsError
from zoo.models.ports import kinds
from zoo.models.ports.convert import convert
from zoo.models.ports.layouts import batch_norm, depthwise


def test_a_densenet_is_recognised_and_each_variable_has_its_axes():
    tensors = densenet()
    found = convert(tensors, findings=("A", "B", "C"))
    assert found.port.name == "timm-densenet121"
    assert found.spec("x").findings == ("A", "B", "C")
    assert len(found.weights) == 604 + 2
    kernel = found.weights["backbone/conv1_conv/kernel"]
    np.testing.assert_array_equal(kernel[2, 5, 1, 40], tensors["features.conv0.weight"][40, 1, 2, 5])
    np.testing.assert_array_equal(found.weights["head/kernel"], tensors["classifier.weight"].T)
    assert found.unused == tuple(n for n in tensors if n.endswith("num_batches_tracked"))


def test_the_names_and_shapes_are_those_of_the_backbone():
    from zoo.models.backbones import Backbone
    from zoo.models.weights.files import build_uninitialized, named_weights

    backbone = build_uninitialized(lambda: Backbone("densenet121", 224))
    found = convert(densenet(), findings=("A", "B", "C")).weights
    shapes = {f"backbone/{name}": tuple(v.shape) for name, v in named_weights(backbone).items()}
    assert shapes == {name: v.shape for name, v in found.items() if name.startswith("backbone/")}


def test_the_network_is_found_behind_any_prefix():
    plain = convert(densenet(), findings=("A", "B", "C"))
    behind = convert(densenet(prefix="module.net."), findings=("A", "B", "C"))
    np.testing.assert_array_equal(plain.weights["head/kernel"], behind.weights["head/kernel"])


def test_batch_norms_with_another_epsilon_give_the_same_values():
    gamma, variance, x = np.float32([1.5, -2.0]), np.float32([0.0, 3.0]), np.float32([1e-3, 0.5])
    ours = batch_norm("a", "b", 1.001e-5)[0].make(gamma, variance)
    np.testing.assert_allclose(ours * x / np.sqrt(variance + 1.001e-5), gamma * x / np.sqrt(variance + 1e-5), rtol=1e-6)


def test_a_depthwise_kernel_keeps_its_channel():
    kernel = np.arange(24, dtype="float32").reshape(4, 1, 2, 3)
    assert depthwise("a", "b")[0].make(kernel)[1, 2, 3, 0] == kernel[3, 0, 1, 2]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("features.norm5.bias"), "incomplete: 1 missing, features.norm5.bias"),
        (lambda t: t.update({"features.extra.weight": np.zeros(3)}), "does not have: features.extra.weight"),
        (lambda t: t["features.norm5.bias"].fill(np.nan), "NaN or infinite: backbone/bn/beta"),
        (lambda t: t.pop("classifier.weight"), "unknown kind of weights: 726 tensors"),
    ],
)
def test_a_wrong_file_is_refused_in_one_clear_line(change, message):
    tensors = densenet()
    change(tensors)
    with pytest.raises(WeightsError, match=message) as caught:
        convert(tensors, findings=("A", "B", "C"))
    assert "\n" not in str(caught.value)


def test_outputs_need_names_and_as_many():
    with pytest.raises(WeightsError, match="3 outputs without names"):
        convert(densenet())
    with pytest.raises(WeightsError, match="have 3 outputs, the findings are 2"):
        convert(densenet(), findings=("A", "B"))


def test_an_ambiguous_file_names_the_kinds_it_could_be(monkeypatch):
    row = kinds.PORTS["timm-densenet121"]
    monkeypatch.setitem(kinds.PORTS, "twin", row)
    with pytest.raises(WeightsError, match=r"ambiguous weights: .* timm-densenet121, timm-densenet121"):
        convert(densenet(), findings=("A", "B", "C"))


def test_an_unknown_kind_names_the_closest():
    with pytest.raises(UnknownNameError, match="did you mean 'timm-densenet121'"):
        convert({}, kind="timm-densenet12")
