"""The network as a function: the same logits however it is called, and no program more than is needed."""

from threading import Barrier

import numpy as np
import pytest
from builders import tiny_ensemble, tiny_spec

from zoo.core import backend
from zoo.runtimes import network
from zoo.runtimes.runtime import FEW


@pytest.fixture(scope="module")
def model():
    return tiny_ensemble(tiny_spec())


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(1).integers(0, 256, (16, 32, 32, 1), dtype=np.uint8)


@pytest.fixture
def calls(model, monkeypatch):
    """The number of images in each call of the network by Python: one a program, or one an image outside of any."""
    seen = []
    call = type(model).call

    def counting(self, inputs, *args, **kwargs):
        seen.append(inputs.shape[0])
        return call(self, inputs, *args, **kwargs)

    monkeypatch.setattr(type(model), "call", counting)
    return seen


def test_it_gives_the_logits_of_the_model(model, pixels):
    logits = network.function(model, FEW)(pixels, 16)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, np.asarray(model.predict_on_batch(pixels)), atol=1e-5)


@pytest.mark.tensorflow_only
def test_a_few_images_are_answered_without_a_graph_and_with_its_very_bits(model, pixels, calls):
    function = network.function(model, FEW)
    first = function(pixels[:2], 2)
    assert calls == [2]
    np.testing.assert_array_equal(function(pixels[:2], 2), first)
    assert calls == [2, None]
    for n in (1, 5, 16):
        function(pixels[:n], n)
    assert calls == [2, None]  # one graph for all numbers of images


@pytest.mark.tensorflow_only
def test_many_images_are_answered_by_a_graph_at_once(model, pixels, calls):
    network.function(model, FEW)(pixels, 16)
    assert calls == [None]


@pytest.mark.tensorflow_only
def test_the_short_last_batch_of_many_goes_through_the_graph_even_as_the_first_call(model, pixels, calls):
    """A resumed run may begin with it: the operations alone differ from a trained graph by some 1e-6."""
    network.function(model, FEW)(pixels[:3], 16)
    assert calls == [None]


@pytest.mark.jax_only
def test_on_a_cpu_each_image_is_computed_alone_by_one_program(model, pixels, calls):
    model.predict_function = None  # it would be compiled already
    function = network.function(model, FEW)
    whole = function(pixels, 16)
    for full in (0, 16):
        np.testing.assert_array_equal(function(pixels[3:10], full), whole[3:10])
    assert calls == [1]


@pytest.mark.jax_only
def test_elsewhere_a_short_batch_takes_the_program_of_a_full_one(model, pixels, calls, monkeypatch):
    monkeypatch.setattr(backend, "is_jax_on_cpu", lambda: False)
    model.predict_function = None  # it would be compiled already
    function = network.function(model, FEW)
    whole = function(pixels, 16)
    np.testing.assert_array_equal(function(pixels[:3], 16), whole[:3])
    assert calls == [16]


@pytest.mark.jax_only
def test_on_a_cpu_as_many_images_are_computed_at_once_as_there_are_cores(pixels, monkeypatch):
    monkeypatch.setattr(network, "cores", lambda: 4)
    together = Barrier(4, timeout=20)

    def mean(image, full):
        together.wait()
        assert full == len(image) == 1
        return image.mean((1, 2))

    np.testing.assert_array_equal(network._each_alone(mean)(pixels[:8], 8), pixels[:8].mean((1, 2)))
