"""How many devices a run trains on: each step, they share one batch and make the step that one device would make.

The batch is split by rows, and its order and augmentation are those of one device. On JAX a step is a function of the
whole batch, whose arrays Keras lays over the devices (`keras.distribution.DataParallel`); on TensorFlow each device
computes its rows, and `mirrored` makes one step of theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import keras

from zoo.core.backend import require_tested
from zoo.core.counting import counted
from zoo.core.errors import UsageError
from zoo.training import processes
from zoo.training.recipe import Recipe


def prepare(devices: int | Literal["all"]) -> None:
    """Joins the other processes of the run, if there are any, and divides a CPU into as many devices as are missing.

    Call it before the backend is first used; later, nothing can be divided. The parts of a CPU share its cores: they
    show that a recipe trains on several devices, and are not faster. GPUs are not divided.

    Args:
        devices: As in the recipe; nothing is divided for 1 and "all".

    Raises:
        UsageError: The other processes cannot be joined.
    """
    if devices != "all" and devices > 1:
        _divide_cpu(devices)
    processes.join(devices)


def _divide_cpu(devices: int) -> None:
    others = processes.told()
    own = devices // ((others and others.count) or 1)
    with suppress(RuntimeError):  # in use already: `sharing` counts what there is
        if require_tested("training") == "tensorflow":
            import tensorflow as tf

            parts = [tf.config.LogicalDeviceConfiguration()] * devices
            tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
        elif own > 1 and "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
            import jax

            jax.config.update("jax_num_cpu_devices", own)


@contextmanager
def sharing(recipe: Recipe) -> Iterator[int]:
    """Context in which models are trained on the recipe's devices; yields their number.

    Raises:
        UsageError: There are fewer.
        RecipeError: The batch size of a stage is no multiple of their number.
    """
    shared = count(recipe.devices)
    recipe.check_devices(shared)
    if shared == 1 or keras.config.backend() != "jax":
        yield shared
        return
    devices = keras.distribution.list_devices()[:shared]
    with keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False).scope():
        yield shared


def count(wanted: int | Literal["all"]) -> int:
    """Returns the number of devices for a recipe's `devices`.

    Raises:
        UsageError: There are fewer.

    Example:
        >>> count(1)
        1
    """
    if wanted == 1:
        return 1
    kind, found = _tensorflow_devices() if require_tested("training") == "tensorflow" else _jax_devices()
    if wanted != "all" and wanted > found:
        raise UsageError(
            f"the recipe wants devices={wanted}, and {keras.config.backend()} finds {counted(found, kind)}"
        )
    if processes.count() > 1 and wanted not in ("all", found):
        raise UsageError(
            f"the recipe wants devices={wanted}, and the {processes.count()} processes of this run have {found}: use "
            "all of them"
        )
    return found if wanted == "all" else wanted


def named(shared: int) -> str:
    """Names the devices of a run, as its checkpoints know them.

    Example:
        >>> named(2)
        '2 devices'
    """
    together = f" of {counted(processes.count(), 'process', 'processes')}" if processes.count() > 1 else ""
    return f"{counted(shared, 'device')}{together}"


def _tensorflow_devices() -> tuple[str, int]:
    import tensorflow as tf

    gpus = tf.config.list_logical_devices("GPU")
    return ("GPU", len(gpus)) if gpus else ("CPU", len(tf.config.list_logical_devices("CPU")))


def _jax_devices() -> tuple[str, int]:
    import jax

    return jax.devices()[0].platform.upper(), jax.device_count()
