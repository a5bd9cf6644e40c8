"""The record of the images that a release was trained on: digests of their files, by which equal files are recognised.

The file holds two sorted lists of 64-bit numbers, the first 16 hexadecimal digits of the sha256 of each image file. It
holds no names and no pixels; whoever has the same file can find out that it was used. A copy that was saved anew, even
without loss, is another file and is not recognised, nor is one that was resized. Images that starting weights were
trained on are not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from zoo.core.counting import counted
from zoo.core.errors import ReleaseError
from zoo.core.warn import warn_user
from zoo.models.weights.header import read_release_header

FILE = "trained_on.safetensors"

#: Largest number of images that are recorded, and of bytes of the file with its header. With as many trained and
#: evaluated images, a false match has a probability of 2^21 * 2^21 / 2^64, which is 1 in 4 million.
MAX_IMAGES = 2**21
MAX_BYTES = 8 * MAX_IMAGES + 2**16

_PARTS = ("train", "validation")
_DIGITS = 16


@dataclass(frozen=True, eq=False)
class TrainedOn:
    """Digests of the images of the parts that a model and its decision were fitted on.

    Attributes:
        train: (n,) uint64, sorted and different: images of the training part, which the weights were fitted on.
        validation: (m,) uint64, sorted and different: images of the validation part, which chose weights, calibration
            and thresholds.

    Example:
        >>> record = TrainedOn.of(["00" * 32, "ab" * 32], ["cd" * 32])
        >>> [rows.tolist() for rows in record.find(["ab" * 32, "cd" * 32, "ef" * 32, ""])]
        [[True, False, False, False], [False, True, False, False]]
    """

    train: np.ndarray
    validation: np.ndarray

    @classmethod
    def of(cls, train: Iterable[str], validation: Iterable[str]) -> TrainedOn | None:
        """Makes a record from hexadecimal sha256 digests of 16 digits or more.

        Returns:
            The record; None if an image has no digest ("") or, with a warning, if there are too many images.
        """
        given = [{*train}, {*validation}]
        if any("" in digests for digests in given):
            return None
        if (count := sum(map(len, given))) > MAX_IMAGES:
            warn_user(
                f"{counted(count, 'image is', 'images are')} more than a release records ({MAX_IMAGES:,}): it will "
                "not know what it was "
                "trained on"
            )
            return None
        return cls(*(np.unique(_numbers([*digests])) for digests in given))

    @classmethod
    def of_run(cls, run: Path) -> TrainedOn | None:
        """Makes the record of a run from its `split.json` and `data.json`; None if it lacks one or its digests.

        Raises:
            SplitError, CheckpointError: A file has another format.
        """
        if not all((run / name).is_file() for name in ("split.json", "data.json")):
            return None
        from zoo.data import duplicates
        from zoo.data.identity import DataIdentity  # tables of all data sets, which a release does not need

        parts, digests = duplicates.split_images(run), DataIdentity.load(run / "data.json").digests
        names = (parts[part].names if part in parts else () for part in _PARTS)
        return cls.of(*([digests.get(name, "") for name in some] for some in names))

    def joined(self, other: TrainedOn) -> TrainedOn:
        """The record of a model that was fitted on the images of both, such as a head on another model's features."""
        return TrainedOn(np.union1d(self.train, other.train), np.union1d(self.validation, other.validation))

    def find(self, digests: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Finds images by their digests.

        Args:
            digests: n hexadecimal sha256 digests of 16 digits or more; "" for an image that was not read.

        Returns:
            Two bool (n,): which images are in the training part, and which are in the validation part only.
        """
        numbers, known = _numbers(digests), np.array([bool(digest) for digest in digests], bool)
        trained = known & np.isin(numbers, self.train)
        return trained, known & np.isin(numbers, self.validation) & ~trained

    def write(self, folder: Path) -> None:
        """Writes the file in the folder of a release."""
        save_file({part: getattr(self, part) for part in _PARTS}, folder / FILE)

    def __str__(self) -> str:
        return f"training part {counted(len(self.train), 'image')}, validation part {len(self.validation):,}"


def read(folder: Path) -> TrainedOn:
    """Reads the file in the folder of a release; its size was checked before.

    Raises:
        ReleaseError: It has other contents than two sorted lists of at most `MAX_IMAGES` numbers together.
    """
    path = folder / FILE
    header = read_release_header(path)
    kinds = {name: (tensor.dtype, len(tensor.shape)) for name, tensor in header.items()}
    count = sum(tensor.size for tensor in header.values())
    if kinds != dict.fromkeys(_PARTS, ("U64", 1)) or count > MAX_IMAGES:
        found = ", ".join(f"{name[:40]} {tensor.dtype} {tensor.shape}" for name, tensor in [*header.items()][:3])
        raise ReleaseError(
            f"{path}: expected the lists 'train' and 'validation' of U64, at most {MAX_IMAGES:,} numbers, got {found}"
        )
    record = TrainedOn(**load_file(path))
    for part in _PARTS:
        numbers = getattr(record, part)
        if not (numbers[1:] > numbers[:-1]).all():
            raise ReleaseError(f"{path}: the numbers of {part!r} must be sorted and different")
    return record


def _numbers(digests: Sequence[str]) -> np.ndarray:
    return np.array([int(digest[:_DIGITS] or "0", 16) for digest in digests], np.uint64)
