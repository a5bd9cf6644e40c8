"""Starting weights for training: the ImageNet files published by Keras, or a local file."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from zoo.core.errors import WeightsError
from zoo.core.files import whole_file
from zoo.core.home import find_release, home
from zoo.models.architectures import Architecture
from zoo.models.backbones import Backbone
from zoo.models.weights.files import load_safetensors
from zoo.models.weights.header import read_header

#: The pixel normalisation in the EfficientNetV1 files: mean and *deviation*, stored under the name of a variance. With
#: the Rescaling layer that Keras adds for them this is our "torch" preprocessing
#: (github.com/tensorflow/tensorflow/issues/49930).
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])

_Saved = list[tuple[str, list[Any]]]


def load_pretrained(backbone: Backbone, source: str | Path) -> None:
    """Sets all weights of a backbone.

    Args:
        backbone: The backbone to change.
        source: "imagenet" (the file published by Keras, downloaded once and checked by its hash), or the path of a
            published Keras `.h5` file without the classification layer ("notop"), a `.weights.h5` file of a
            `Backbone`, a `.safetensors` file of a `Backbone` or `Classifier`, or the name of an installed release of
            one member.

    Raises:
        WeightsError: The file is missing, cannot be downloaded, is damaged or belongs to another architecture.
    """
    require(backbone.architecture, source)
    path = fetch_imagenet(backbone.architecture) if str(source) == "imagenet" else _path_of(source)
    if path.suffix == ".safetensors":
        load_safetensors(backbone, path, _prefix(path))
        return
    if path.suffix not in (".h5", ".hdf5"):
        raise WeightsError(f"{backbone.name}: weights file {path} must end in .h5 or .safetensors")
    try:
        with h5py.File(path) as file:
            root = file.get("model_weights", file)
            if _strings(root, "layer_names"):
                _load_published(backbone, root, path)
                return
        backbone.load_weights(path)
    except (OSError, KeyError, ValueError) as error:
        if isinstance(error, WeightsError):
            raise
        name, reason = backbone.architecture.name, " ".join(str(error).split())[:300]
        raise WeightsError(f"{path} is not a readable weights file of {name}: {reason}") from error


def require(architecture: Architecture, source: str | Path) -> None:
    """Checks that there are such weights for an architecture; reads and downloads nothing.

    Raises:
        WeightsError: There are no published ImageNet weights, or no such file.
    """
    name = architecture.name
    if str(source) == "imagenet":
        if not architecture.imagenet_url:
            raise WeightsError(f"{name}: there are no published ImageNet weights; use weights=None or a path")
    elif not (path := _path_of(source)).is_file():
        raise WeightsError(f"{name}: no weights file at {path}; weights is 'imagenet', a path, or None")


def _path_of(source: str | Path) -> Path:
    """The path of a file, or of the weights of an installed release of one member."""
    path = Path(source).expanduser()
    if isinstance(source, str) and "/" not in source and not path.is_file():
        release = find_release(source)
        files = release.glob("*.safetensors") if release else ()
        held = [file for file in files if file.stem not in ("parity", "trained_on", "gate", "tested")]
        if len(held) == 1:
            return held[0]
    return path


def fetch_imagenet(architecture: Architecture) -> Path:
    """Returns the path of the published ImageNet file of an architecture, downloading it if necessary.

    Looks in `ZOO_HOME/pretrained` and in the Keras cache (`KERAS_HOME/models`), then downloads to the former.

    Raises:
        WeightsError: There is no such file, it cannot be downloaded, or it has another hash.
    """
    require(architecture, "imagenet")
    name, url = architecture.name, architecture.imagenet_url
    file = url.rpartition("/")[2]
    path = home() / "pretrained" / file
    theirs = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "models" / file
    if theirs.is_file() and not path.exists() and _hash(theirs, architecture) == architecture.imagenet_hash:
        return theirs
    if not path.exists():
        _download(url, path, architecture)
    found = _hash(path, architecture)
    if found != architecture.imagenet_hash:
        raise WeightsError(
            f"{name}: {path} is not the published file (hash {found}, expected {architecture.imagenet_hash}): "
            f"delete it, or pass it as a path if you mean it"
        )
    return path


def _download(url: str, path: Path, architecture: Architecture) -> None:
    advice = f"get {path.name} from {url} on another machine, then pass its path as weights or place it at {path}"
    with whole_file(path) as new:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer, new.open("wb") as out:
                while block := answer.read(1 << 20):
                    out.write(block)
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise WeightsError(f"{architecture.name}: no ImageNet weights ({reason}): {advice}") from error
        found = _hash(new, architecture)
        if found != architecture.imagenet_hash:
            raise WeightsError(
                f"{architecture.name}: what came from {url} has hash {found}, expected {architecture.imagenet_hash}: "
                f"try again, or {advice}"
            )


def _hash(path: Path, architecture: Architecture) -> str:
    kind = "md5" if len(architecture.imagenet_hash) == 32 else "sha256"
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _prefix(path: Path) -> str:
    """Prefix of the names of the backbone weights: "backbone/" in the file of a whole classifier, else none."""
    return "backbone/" if any(key.startswith("head/") for key in read_header(path)) else ""


def _load_published(backbone: Backbone, root: h5py.Group, path: Path) -> None:
    """Loads the old Keras layout: layers and weights in order, with names that differ between Keras versions."""
    saved: _Saved = []
    for layer in _strings(root, "layer_names"):
        if arrays := [root[layer][weight] for weight in _strings(root[layer], "weight_names")]:
            saved.append((layer, arrays))
    if backbone.architecture.stem and saved and saved[0][0].startswith("normalization"):
        # Our preprocessing has no weights; the values in the file must agree with it.
        _check_normalization(saved.pop(0)[1], path)
    wanted = [(layer.name, _in_file_order(layer)) for layer in backbone.network.layers if layer.weights]
    _require_same_layers(saved, wanted, backbone, path)
    values = [np.asarray(array) for _, arrays in saved for array in arrays]
    if not all(np.isfinite(value).all() for value in values):
        raise WeightsError(f"{path} was not loaded: it holds values that are NaN or infinite")
    for variable, value in zip([v for _, variables in wanted for v in variables], values, strict=True):
        variable.assign(value)


def _in_file_order(layer: keras.layers.Layer) -> list[Any]:
    """Trainable weights first, regardless of what is frozen at the moment."""
    return sorted(layer.weights, key=lambda v: v.name.startswith("moving_"))


def _check_normalization(arrays: Sequence[Any], path: Path) -> None:
    mean, variance = (np.asarray(array, "float64").ravel() for array in arrays[:2])
    same = np.allclose(mean, _MEAN, atol=1e-3) and any(
        np.allclose(variance, expected, atol=1e-3) for expected in (_DEVIATION, _DEVIATION**2)
    )
    if not same:
        raise WeightsError(
            f"{path} expects other pixel values: it normalises with mean {mean.round(3).tolist()} and variance "
            f"{variance.round(3).tolist()}, not ImageNet's; register a backbone with that preprocessing for it"
        )


def _require_same_layers(saved: _Saved, wanted: _Saved, backbone: Backbone, path: Path) -> None:
    for (theirs, arrays), (ours, variables) in zip(saved, wanted, strict=False):
        found, expected = ([tuple(x.shape) for x in part] for part in (arrays, variables))
        if found != expected:
            difference = f"the file's layer {theirs!r} has shapes {found}, ours {ours!r} has {expected}"
            break
    else:
        rest = [name for name, _ in saved[len(wanted) :]] or [name for name, _ in wanted[len(saved) :]]
        if not rest:
            return
        difference = f"{'the file' if len(saved) > len(wanted) else 'ours'} goes on with {', '.join(rest[:4])}"
    raise WeightsError(
        f"{path} does not belong to {backbone.architecture.name}: it has {len(saved)} layers with weights, the "
        f'backbone {len(wanted)}; {difference} (use the file without the classification layer, "notop")'
    )


def _strings(group: h5py.Group, name: str) -> list[str]:
    """A list of names in the attributes of a group; Keras splits long ones into `name0`, `name1`..."""
    parts = [group.attrs[name]] if name in group.attrs else []
    while f"{name}{len(parts)}" in group.attrs and name not in group.attrs:
        parts.append(group.attrs[f"{name}{len(parts)}"])
    return [n.decode() if isinstance(n, bytes) else str(n) for part in parts for n in part]
