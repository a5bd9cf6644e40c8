"""The backend is chosen once, before Keras is imported; each case without a Keras of its own."""

import os
import sys
from types import SimpleNamespace

import pytest

from zoo.core import backend
from zoo.core.errors import UsageError


@pytest.fixture
def installed(monkeypatch):
    """No Keras imported, no environment; the test says which backends are installed."""

    def run(*names, keras=None, environment=None):
        monkeypatch.setattr(backend, "find_spec", lambda name: object() if name in names else None)
        monkeypatch.delenv("KERAS_BACKEND", raising=False)
        if environment is not None:
            monkeypatch.setenv("KERAS_BACKEND", environment)
        monkeypatch.delitem(sys.modules, "keras", raising=False)
        if keras:
            config = SimpleNamespace(backend=lambda: keras)
            monkeypatch.setitem(sys.modules, "keras", SimpleNamespace(config=config))

    return run


def chosen():
    return os.environ.get("KERAS_BACKEND")


@pytest.mark.parametrize(
    ("names", "first"),
    [
        (("jax", "tensorflow", "torch"), "tensorflow"),
        (("torch", "jax"), "jax"),
        (("torch",), "torch"),
        ((), None),
    ],
)
def test_the_first_installed_is_taken(installed, names, first):
    installed(*names)
    backend.choose()
    assert chosen() == first


def test_the_environment_wins_over_what_is_installed(installed):
    installed("tensorflow", "jax", environment="jax")
    backend.choose()
    assert chosen() == "jax"


def test_an_empty_environment_variable_is_no_choice(installed):
    # Keras reads it as unset and would take TensorFlow, installed or not.
    installed("jax", environment="")
    backend.choose()
    assert chosen() == "jax"


def test_a_name_wins_over_the_environment(installed):
    installed("tensorflow", "jax", environment="tensorflow")
    backend.choose("jax")
    assert chosen() == "jax"


def test_an_imported_keras_stays_as_it_is(installed):
    installed("tensorflow", "jax", keras="jax")
    backend.choose()
    assert chosen() is None
    backend.choose("jax")
    with pytest.raises(ValueError, match="Keras already runs on 'jax': choose 'tensorflow' before Keras is imported"):
        backend.choose("tensorflow")


def test_a_name_that_is_no_backend_or_is_not_installed(installed):
    installed("jax", environment="jax")
    with pytest.raises(ValueError, match="unknown backend 'mxnet': use one of tensorflow, jax, torch"):
        backend.choose("mxnet")
    with pytest.raises(ValueError, match=r"not installed: pip install 'xrayslam-zoo\[cpu\]'"):
        backend.choose("tensorflow")
    with pytest.raises(ValueError, match=r"not installed: pip install 'xrayslam-zoo\[torch\]'"):
        backend.choose("torch")
    assert chosen() == "jax"


def test_current_is_none_until_keras_is_imported_whole(installed, monkeypatch):
    installed("jax")
    assert backend.current() is None
    monkeypatch.setitem(sys.modules, "keras", SimpleNamespace())
    assert backend.current() is None
    installed("jax", keras="jax")
    assert backend.current() == "jax"


def test_torch_is_refused_by_name_where_nothing_tests_it(installed):
    installed("torch", keras="torch")
    with pytest.raises(
        UsageError, match=r"^training needs the backend tensorflow or jax, and Keras runs on 'torch': set"
    ):
        backend.require_tested("training")
    for tested in ("tensorflow", "jax"):
        installed(tested, keras=tested)
        assert backend.require_tested("training") == tested


@pytest.mark.parametrize(
    ("machine", "before", "after"),
    [("x86_64", None, "1"), ("AMD64", None, "1"), ("x86_64", "0", "0"), ("aarch64", None, None)],
)
def test_tensorflow_is_asked_for_onednn_unless_the_user_has_chosen(installed, monkeypatch, machine, before, after):
    installed("tensorflow")
    monkeypatch.setattr(backend.os, "uname", lambda: SimpleNamespace(machine=machine))
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if before is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", before)
    backend.choose()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == after
