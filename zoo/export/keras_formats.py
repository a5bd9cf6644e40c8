"""The formats that Keras itself writes through TensorFlow: in a child process, whatever backend runs here.

python -m zoo.export.keras_formats     (the order as JSON on standard input)
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.errors import ExportError, MissingExtraError, ReleaseError
from zoo.release.build import build_model
from zoo.release.export_facts import GraphFacts
from zoo.release.folder import ReleaseFolder
from zoo.release.read import read_release

#: Format -> name of its file or folder in the export's folder.
FILES = {"litert": "model.tflite", "saved_model": "saved_model"}

#: Seconds after which the child is stopped: LiteRT takes a minute for three backbones on an idle machine.
TIMEOUT_S = 3600.0

#: Exit status of a child whose last line of output is the reason of its failure.
_REFUSED = 3


def convert(found: ReleaseFolder, facts: GraphFacts, folder: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Writes a LiteRT file or a SavedModel; returns a function that runs it.

    Args:
        found: The release, with the weights of the export's members.
        facts: What `export.json` will say.
        folder: Folder for the files.

    Raises:
        ExportError: The child failed; states its reason.
        ImportError: TensorFlow is not installed.
    """
    if find_spec("tensorflow") is None:
        raise MissingExtraError(f"format {facts.format!r}", "TensorFlow", "cpu")
    order = {
        "release": str(found.folder.absolute()),
        "root": str(found.root.absolute()) if found.root else None,
        "folder": str(folder.absolute()),
        **{key: getattr(facts, key) for key in ("format", "members", "temperature")},
    }
    _child({**order, "images": None})

    def run(images: np.ndarray) -> np.ndarray:
        with tempfile.TemporaryDirectory() as own:
            np.save(Path(own) / "images.npy", images)
            _child({**order, "images": own})
            return np.load(Path(own) / "logits.npy")

    return run


def _child(order: Mapping[str, Any]) -> None:
    env = os.environ | {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "zoo.export.keras_formats"]
    try:
        done = subprocess.run(
            command, input=json.dumps(order), capture_output=True, encoding="utf-8", errors="replace",
            timeout=TIMEOUT_S, env=env, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise ExportError(f"format {order['format']!r}: TensorFlow was stopped after {TIMEOUT_S:g} s") from None
    if done.returncode == 0:
        return
    lines = (done.stdout if done.returncode == _REFUSED else done.stderr).strip().splitlines()
    reason = lines[-1][:300] if lines else "no reason given"
    raise ExportError(f"format {order['format']!r} was not written: {reason} (status {done.returncode} of the child)")


# The functions below run in the child.


def main() -> int:
    """Writes the files, or runs them. Returns the exit status; a failure's reason is one line on standard output."""
    order = json.load(sys.stdin)
    path = Path(order["folder"]) / FILES[order["format"]]
    try:
        if order["images"] is None:
            _write(order, path)
        else:
            images = np.load(Path(order["images"]) / "images.npy")
            run = _run_litert if order["format"] == "litert" else _run_saved_model
            np.save(Path(order["images"]) / "logits.npy", run(path, images))
    except (OSError, ValueError, TypeError, RuntimeError, ReleaseError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        sys.stdout.write(f"\n{reason[:300]}\n")
        return _REFUSED
    return 0


def _write(order: Mapping[str, Any], path: Path) -> None:
    import keras

    root = Path(order["root"]) if order["root"] else None
    found = read_release(order["release"], order["members"], root=root)
    network = build_model(found, order["members"])
    size = found.spec.image_size
    pixels = keras.Input((size, size, 1), dtype="uint8", name="pixels")
    logits = network(keras.ops.cast(pixels, "float32"))
    scaled = keras.layers.Rescaling(1 / np.asarray(order["temperature"], "float32"), name="logits")(logits)
    format = {"litert": "litert", "saved_model": "tf_saved_model"}[order["format"]]
    # As text: Keras 3.14 takes no Path for "litert".
    keras.Model(pixels, scaled).export(str(path), format=format, verbose=False)


def _run_litert(path: Path, images: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    runner = tf.lite.Interpreter(str(path)).get_signature_runner()
    (name,) = runner.get_input_details()
    return np.concatenate([next(iter(runner(**{name: image[None]}).values())) for image in images])


def _run_saved_model(path: Path, images: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))  # its variables live as long as it does
    return np.asarray(loaded.serve(images))


if __name__ == "__main__":
    sys.exit(main())
