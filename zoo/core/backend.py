"""Which Keras backend runs: chosen once, before Keras is imported."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

#: Backends that can be chosen. On Torch, networks are loaded and predict; that is not tested.
BACKENDS = ("tensorflow", "jax", "torch")

#: Backends on which everything runs and is tested.
TESTED = ("tensorflow", "jax")


def choose(name: str | None = None) -> None:
    """Sets `KERAS_BACKEND` for the Keras import to come.

    An imported Keras stays as it is. Then `name`, then the environment, then the first of TensorFlow, JAX and
    Torch that is installed (Keras' own default is TensorFlow, installed or not).

    Raises:
        ValueError: `name` is no backend, is not installed, or Keras already runs on another one.
    """
    if name is not None:
        _check(name)
        os.environ["KERAS_BACKEND"] = name
    elif "keras" not in sys.modules and not os.environ.get("KERAS_BACKEND"):
        found = next((b for b in BACKENDS if find_spec(b) is not None), None)
        if found is not None:
            os.environ["KERAS_BACKEND"] = found


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
    """The backend of the imported Keras, or None while Keras is not imported."""
    keras = sys.modules.get("keras")
    return keras.config.backend() if keras is not None and hasattr(keras, "config") else None


def require_tested(what: str) -> str:
    """Returns the backend of the imported Keras where it is TensorFlow or JAX.

    Args:
        what: What needs one of the two, as the subject of the error's sentence: "training".

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
