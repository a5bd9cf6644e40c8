import keras
import numpy as np
import pytest

from zoo.core.errors import UsageError
from zoo.explain.gradients import feature_maps, head_gradients
from zoo.training import devices


def test_policy_is_set_in_the_block_and_restored_after_an_error():
    before = keras.config.dtype_policy().name

    def fails():
        with devices.precision("mixed_bfloat16") as resolved:
            assert resolved == keras.config.dtype_policy().name == "mixed_bfloat16"
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert keras.config.dtype_policy().name == before


@pytest.mark.parametrize(
    ("capability", "expected"),
    [(None, "float32"), ((7, 5), "mixed_float16"), ((8, 0), "mixed_bfloat16"), ((99, 0), "mixed_bfloat16")],
)
def test_auto_is_what_the_device_is_good_at(monkeypatch, capability, expected):
    monkeypatch.setattr(devices, "_capability", lambda: capability)
    assert devices.resolve_precision("auto") == expected
    assert devices.resolve_precision("float32") == "float32"


def test_unknown_precision_names_the_known():
    with pytest.raises(ValueError, match=r"mixed_bfloat16, got 'float8'"):
        devices.resolve_precision("float8")


def test_xla_is_off_for_tensorflow_on_a_cpu_alone(monkeypatch):
    monkeypatch.setattr(devices, "_capability", lambda: None)
    assert devices.jit_compile() == (False if keras.config.backend() == "tensorflow" else "auto")
    monkeypatch.setattr(devices, "_capability", lambda: (8, 0))
    assert devices.jit_compile() == "auto"


def test_this_machine_has_an_answer():
    capability = devices._capability()
    assert capability is None or capability >= (0, 0)


def test_training_and_explanations_on_torch_end_with_one_line(monkeypatch):
    monkeypatch.setattr(keras.config, "backend", lambda: "torch")
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    calls = {
        "training": (devices.capability, devices.jit_compile, lambda: devices.resolve_precision("auto")),
        "an explanation": (
            lambda: feature_maps(None, pixels),
            lambda: head_gradients(None, pixels, np.zeros(1, int)),
        ),
    }
    for what, functions in calls.items():
        for function in functions:
            with pytest.raises(
                UsageError, match=f"^{what} needs the backend tensorflow or jax, and Keras runs on 'torch'"
            ):
                function()
    assert devices.resolve_precision("float32") == "float32"
