"""Reads the tensors of a weights file of any of the formats that others publish; nothing in it is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.errors import WeightsError
from zoo.core.file_kinds import looks_like
from zoo.models.weights import h5
from zoo.models.weights.header import read_header

#: Largest file that is read.
MAX_BYTES = 4_000_000_000


@dataclass(frozen=True)
class WeightsFile:
    """The contents of a weights file.

    Attributes:
        tensors: Name -> value.
        attributes: Plain values beside the tensors, such as `op_threshs`; {} for formats that have none.
        others: Names and kinds of what else was beside the network and was not read, such as "optimizer (a dict)".
    """

    tensors: Mapping[str, np.ndarray]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    others: tuple[str, ...] = ()


def read(path: str | Path) -> WeightsFile:
    """Reads a safetensors file, a PyTorch file (zip or legacy) or a Keras `.h5` file.

    Raises:
        WeightsError: No such file, another format, damaged, too large, or with contents that are not plain tensors.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    if path.stat().st_size > MAX_BYTES:
        raise WeightsError(f"{path}: {path.stat().st_size:,} bytes are too many (at most {MAX_BYTES:,})")
    if path.suffix == ".safetensors":
        return WeightsFile(_safetensors(path))
    if looks_like(path).startswith("an HDF5 file"):
        return WeightsFile(_floats(h5.tensors(path)))
    from zoo.models.weights.torch_file import read_torch

    found = read_torch(path)
    return WeightsFile(_floats(found.tensors), found.attributes, found.others)


def _safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    read_header(path)  # refuses a damaged or hostile file before its contents are read
    return _floats(load_file(path))


def _floats(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Floating point as float32, which our networks use."""
    return {
        name: value.astype("float32") if value.dtype.kind in "fV" and value.dtype != np.float32 else value
        for name, value in tensors.items()
    }
