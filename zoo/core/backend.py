"""Chooses the Keras backend, once and before Keras is imported."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

#: Backends that can be chosen. On Torch, only loading and prediction work, and they are not tested.
BACKENDS = ("tensorflow", "jax", "torch")

#: Backends on which everything works and is tested.
TESTED = ("tensorflow", "jax")


def choose(name: str | None = None) -> None:
    """Sets `KERAS_BACKEND` before Keras is imported.

    Without `name`, an existing `KERAS_BACKEND` stays; otherwise the first installed backend of TensorFlow, JAX and
    Torch is chosen (Keras itself defaults to TensorFlow even if it is not installed). If Keras is already imported,
    nothing changes.

    TensorFlow is asked for the kernels of oneDNN, unless `TF_ENABLE_ONEDNN_OPTS` says otherwise. By itself it uses them
    only where the processor has AVX-512 VNNI or newer. On one without (AMD EPYC, Zen 3) a training step at 64 px takes
    0.74 s of processor time with them and 2.22 s without on ResNet50, 0.56 and 0.80 s on DenseNet121, 0.73 and 0.55 s
    on EfficientNetB3.

    Args:
        name: A name of `BACKENDS`, or None.

    Raises:
        UsageError: `name` is unknown or not installed, or Keras already runs on another backend.

    >>> choose()
    >>> choose("theano")
    Traceback (most recent call last):
    zoo.core.errors.UsageError: unknown backend 'theano': use one of tensorflow, jax, torch
    """
    if name is not None:
        _check(name)
        os.environ["KERAS_BACKEND"] = name
    elif "keras" not in sys.modules and not os.environ.get("KERAS_BACKEND"):
        found = next((b for b in BACKENDS if find_spec(b) is not None), None)
        if found is not None:
            os.environ["KERAS_BACKEND"] = found
    # `platform.machine` says the same, and takes a tenth of the time in which the package is imported.
    machine = os.uname().machine if hasattr(os, "uname") else os.environ.get("PROCESSOR_ARCHITECTURE")
    if machine in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def _check(name: str) -> None:
    from zoo.core.errors import UsageError  # only here: importing the package stays free

    if name not in BACKENDS:
        raise UsageError(f"unknown backend {name!r}: use one of {', '.join(BACKENDS)}")
    running = current()
    if running is not None and running != name:
        raise UsageError(f"Keras already runs on {running!r}: choose {name!r} before Keras is imported")
    if find_spec(name) is None:
        extra = "cpu" if name == "tensorflow" else name
        raise UsageError(f"backend {name!r} is not installed: pip install 'xrayslam-zoo[{extra}]'")


def current() -> str | None:
    """The backend of Keras, or None if Keras is not imported.

    >>> import keras
    >>> current() == keras.config.backend()
    True
    """
    keras = sys.modules.get("keras")
    return keras.config.backend() if keras is not None and hasattr(keras, "config") else None


def is_jax_on_cpu() -> bool:
    """Says whether Keras runs on JAX and JAX on a CPU; imports JAX if so.

    >>> isinstance(is_jax_on_cpu(), bool)
    True
    """
    if current() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"


def require_tested(what: str) -> str:
    """Returns the backend of the imported Keras, and refuses others than TensorFlow and JAX.

    Args:
        what: The step that needs one of the two, as the subject of the error message: "training".

    Raises:
        UsageError: Keras is not imported, or runs on another backend.

    Example:
        >>> import keras
        >>> require_tested("training") == keras.config.backend()
        True
    """
    from zoo.core.errors import UsageError  # only here: importing the package stays free

    running = current()
    if running not in TESTED:
        raise UsageError(
            f"{what} needs the backend {' or '.join(TESTED)}, and Keras runs on {running!r}: set KERAS_BACKEND before "
            "Keras is imported, or pass --backend"
        )
    return running
