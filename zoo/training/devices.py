"""What the device that runs is good at: precision and compilation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import keras

from zoo.core.backend import require_tested
from zoo.core.errors import UsageError

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


def resolve_precision(name: str) -> Precision:
    """The dtype policy of a recipe's `precision`; "auto" asks the device.

    "auto" is float32 on a CPU (float16 is emulated there), mixed_bfloat16 on GPUs of compute capability 8.0 or more
    (Ampere) and on TPUs, mixed_float16 on older GPUs such as the T4.

    Raises:
        ValueError: Another name.
    """
    if name == "auto":
        capability = _capability()
        if capability is None:
            return "float32"
        return "mixed_bfloat16" if capability >= (8, 0) else "mixed_float16"
    if name in ("float32", "mixed_float16", "mixed_bfloat16"):
        return name  # type: ignore[return-value]
    raise UsageError(f"precision must be auto, float32, mixed_float16 or mixed_bfloat16, got {name!r}")


@contextmanager
def precision(name: str) -> Iterator[Precision]:
    """Keras' global dtype policy is `resolve_precision(name)` in the block, and what it was after it."""
    before = keras.config.dtype_policy()
    resolved = resolve_precision(name)
    keras.config.set_dtype_policy(resolved)
    try:
        yield resolved
    finally:
        keras.config.set_dtype_policy(before)


def jit_compile() -> bool | Literal["auto"]:
    """`jit_compile` for `Model.compile`: off for TensorFlow on a CPU, where XLA takes minutes and gains nothing."""
    return False if require_tested("training") == "tensorflow" and _capability() is None else "auto"


def build_graphs_quickly() -> None:
    """Leaves out TensorFlow's graph optimisers on a CPU, for the whole process.

    They rewrite the unrolled optimiser of some hundred variables for the better part of a minute and gain little:
    for the three-backbone ensemble at 64 px the first step fell from 91 to 55 s, each further one went from about
    1.6 to 1.8 s.
    """
    if keras.config.backend() == "tensorflow" and _capability() is None:
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def leave_gpu_to_the_backend() -> None:
    """Keeps TensorFlow, when it only feeds another backend, from taking that backend's GPU memory."""
    if keras.config.backend() == "tensorflow":
        return
    import tensorflow as tf

    # Devices can be hidden only until TensorFlow first uses one; `visible` is then what it was.
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")


def capability() -> tuple[int, int] | None:
    """Compute capability of the first accelerator ((99, 0) for a TPU), None on a CPU.

    Raises:
        UsageError: Keras runs on another backend than TensorFlow and JAX.
    """
    return _capability()


def _capability() -> tuple[int, int] | None:
    return _tensorflow_capability() if require_tested("training") == "tensorflow" else _jax_capability()


def _tensorflow_capability() -> tuple[int, int] | None:
    import tensorflow as tf

    if tf.config.list_logical_devices("TPU"):
        return 99, 0
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None
    return tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))


def _jax_capability() -> tuple[int, int] | None:
    import jax

    device = jax.devices()[0]
    if device.platform == "cpu":
        return None
    if device.platform == "tpu":
        return 99, 0
    major, _, minor = str(getattr(device, "compute_capability", "0.0")).partition(".")
    return int(major), int(minor or 0)
