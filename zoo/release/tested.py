"""The scores of a release on the test part of its training data: what a running site is compared with.

The file holds the logits of images that neither weights nor decision were fitted on, the number of each one's patient,
and the word of the quality checks. It holds no names, and its rows are in random order.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from zoo.core.counting import counted
from zoo.core.errors import ReleaseError
from zoo.gate.verdict import Quality
from zoo.models.weights.header import read_release_header

FILE = "tested.safetensors"

#: Largest number of images, of logits, and of bytes of the file with its header.
MAX_IMAGES, MAX_LOGITS = 20_000, 2**20
MAX_BYTES = 4 * MAX_LOGITS + 5 * MAX_IMAGES + 2**16

#: What a number in `quality` stands for: all words of the quality checks.
QUALITIES: tuple[Quality, ...] = ("ok", "doubtful", "rejected", "unknown")


@dataclass(frozen=True, eq=False)
class OwnScores:
    """Scores of images of the test part.

    Attributes:
        logits: float32 (n, k), of the released network before calibration, with the views of its decision.
        patients: int32 (n,), a number for each patient.
        quality: uint8 (n,), the place of the word of the quality checks in `QUALITIES`.
    """

    logits: np.ndarray
    patients: np.ndarray
    quality: np.ndarray

    def write(self, folder: Path) -> None:
        """Writes the file in the folder of a release."""
        save_file({"logits": self.logits, "patients": self.patients, "quality": self.quality}, folder / FILE)

    def __str__(self) -> str:
        images, patients = counted(len(self.logits), "image"), counted(len(np.unique(self.patients)), "patient")
        return f"{images} of {patients} of the test part"


def choose(patients: np.ndarray, findings: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Chooses the images that a release keeps scores of: all, or those of whole patients at random.

    Args:
        patients: (n,) patient of each image.
        findings: Number of logits of an image.
        seed: Of the choice and the order.

    Returns:
        The positions of the images in random order, int64, and the number of each one's patient, int32.

    >>> rows, numbers = choose(np.array(["a", "b", "a"]), 14)
    >>> sorted(rows.tolist()), len(set(numbers.tolist()))
    ([0, 1, 2], 2)
    """
    rng, most = np.random.default_rng(seed), min(MAX_IMAGES, MAX_LOGITS // findings)
    names, whose = np.unique(patients, return_inverse=True)
    place = rng.permutation(len(names))[whose]
    rows = rng.permutation(len(patients))
    sizes = np.bincount(place, minlength=len(names))
    rows = rows[place[rows] < np.searchsorted(np.cumsum(sizes), most, side="right")]
    return rows, place[rows].astype(np.int32)


def read(folder: Path, findings: int) -> OwnScores:
    """Reads the file in the folder of a release; its size was checked before.

    Raises:
        ReleaseError: It holds other tensors, types or shapes, numbers that are not finite, or unknown words.
    """
    path = folder / FILE
    header = read_release_header(path)
    found = {name: (tensor.dtype, tuple(tensor.shape)) for name, tensor in header.items()}
    n = next(iter(found.get("patients", ("", ()))[1]), 0)
    wanted = {"logits": ("F32", (n, findings)), "patients": ("I32", (n,)), "quality": ("U8", (n,))}
    if found != wanted or not 0 < n <= MAX_IMAGES:
        said = ", ".join(f"{name[:40]} {dtype} {shape}" for name, (dtype, shape) in [*found.items()][:3])
        raise ReleaseError(
            f"{path}: expected logits F32 (n, {findings}), patients I32 (n,) and quality U8 (n,) of 1 to "
            f"{MAX_IMAGES:,} images, got {said or 'nothing'}"
        )
    tested = OwnScores(**load_file(path))
    if not np.isfinite(tested.logits).all():
        raise ReleaseError(f"{path}: holds logits that are not finite")
    if (tested.quality >= len(QUALITIES)).any():
        raise ReleaseError(f"{path}: quality must be 0 to {len(QUALITIES) - 1}, got {int(tested.quality.max())}")
    return tested
