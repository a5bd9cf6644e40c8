"""File formats that can run code or crash the process when a file is opened."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

#: Extensions of files that can run code or crash the process when opened. No release needs them.
_PICKLES = {".bin", ".ckpt", ".dill", ".joblib", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"}
_MODELS = {".h5", ".hdf5", ".keras", ".onnx", ".pb"}
_PROGRAMS = {".dll", ".dylib", ".exe", ".ps1", ".py", ".pyc", ".pyd", ".sh", ".so"}
UNSAFE = frozenset(_PICKLES | _MODELS | _PROGRAMS | {".tar", ".zip"})


def unsafe_alone(names: Iterable[str]) -> list[str]:
    """Lists files that may hold weights in unsafe formats, unless some file holds weights in a safe format.

    >>> unsafe_alone(["model.PKL", "README.md"]), unsafe_alone(["model.pkl", "model.safetensors"])
    (['model.PKL'], [])
    """
    names = list(names)
    safe = any(name.endswith(".safetensors") for name in names)
    return [] if safe else [name for name in names if PurePosixPath(name).suffix.lower() in _PICKLES | _MODELS]
