"""Precision and compilation that suit the device Keras runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import keras

from zoo.core.backend import require_tested
from zoo.core.errors import UsageError

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


def resolve_precision(name: str) -> Precision:
    """Returns the Keras dtype policy for a recipe's `precision`.

    "auto" is float32 on a CPU (where float16 is emulated), mixed_bfloat16 on GPUs of compute capability 8.0 or more
    (Ampere) and on TPUs, and mixed_float16 on older GPUs such as the T4.

    Raises:
        ValueError: `name` is none of the policies.

    Example:
        >>> resolve_precision("mixed_float16")
        'mixed_float16'
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
    """Sets Keras' global dtype policy to `resolve_precision(name)` inside the block and restores it afterwards."""
    before = keras.config.dtype_policy()
    resolved = resolve_precision(name)
    keras.config.set_dtype_policy(resolved)
    try:
        yield resolved
    finally:
        keras.config.set_dtype_policy(before)


def jit_compile(count: int = 1) -> bool | Literal["auto"]:
    """Returns `jit_compile` for `Model.compile` on `count` devices.

    Off for TensorFlow on a CPU, where XLA takes minutes to no benefit, and on several devices: replicas of a
    MirroredStrategy speak to each other in the middle of a step, which XLA cannot compile.
    """
    off = require_tested("training") == "tensorflow" and (count > 1 or _capability() is None)
    return False if off else "auto"


def build_graphs_quickly() -> None:
    """Switches off TensorFlow's graph optimization on a CPU, for the whole process.

    It spends most of a minute on the optimizer's graph of several hundred variables and gains little. Without it, the
    first step of the three-backbone ensemble at 64 px takes 55 s instead of 91 s, and each further step about 1.8 s
    instead of 1.6 s.
    """
    if keras.config.backend() == "tensorflow" and _capability() is None:
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})


def leave_gpu_to_the_backend() -> None:
    """Hides the GPUs from TensorFlow if it only loads data for another backend, which needs their memory."""
    if keras.config.backend() == "tensorflow":
        return
    import tensorflow as tf

    # Devices can be hidden only before TensorFlow first uses one.
    if tf.config.get_visible_devices("GPU"):
        tf.config.set_visible_devices([], "GPU")


def capability() -> tuple[int, int] | None:
    """Returns the compute capability of the first accelerator ((99, 0) for a TPU), or None on a CPU.

    Raises:
        UsageError: Keras runs on a backend other than TensorFlow and JAX.
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


def gpus() -> tuple[str, ...]:
    """Names of the GPUs that processes may share out among them, as in `CUDA_VISIBLE_DEVICES`; () on a CPU.

    Raises:
        UsageError: The device is a TPU, which only one process can use.
    """
    found = _capability()
    if found is None:
        return ()
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        tpu, count = bool(tf.config.list_logical_devices("TPU")), len(tf.config.list_physical_devices("GPU"))
    else:
        import jax

        tpu, count = jax.devices()[0].platform == "tpu", len(jax.devices())
    if tpu:
        raise UsageError("members='parallel' needs processes of their own, and a TPU serves one: use 'separate'")
    visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return tuple(visible) if len(visible) == count else tuple(map(str, range(count)))
