"""The shards of a cache: TFRecord files of images as raw pixels, each with a JSON file that lists its images.

An image is one record of size x size bytes, so a shard can be memory-mapped as an array; `tf.data.TFRecordDataset` can
read it as well. The JSON file beside each `films-*.tfrecord` lists the images, the size, time and hash of their files,
and the sha256 of the shard; it is sealed with a hash of its own. Both are written under temporary names and renamed,
the JSON last: a shard without a JSON file, or with one that was cut off or altered, is incomplete.

Measured at 224 px, in microseconds of one core per image: random reading takes 10 with the memory map, 50 from an
ArrayRecord, and 105 from a compressed ArrayRecord, which is a sixth smaller and takes ten times as long to write.
sha256 takes 38 and TensorFlow's check of its own checksums 80. Shards are therefore checked by sha256, once, when a
cache is opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.core.errors import CacheError
from zoo.core.files import recover_inside, seal, sealed, sha256, whole_file, write_text
from zoo.data.images.decode import DECODER

#: Format 2 has a digest of each file; format 1, without digests, can still be read.
FORMAT = 2

#: Shards are named by this prefix and a number that gives their order.
_SHARDS = "films-"


class CachedImage(NamedTuple):
    """An image file when it was decoded: path relative to the data folder, and content (`zoo.data.contents`).

    A missing file has -1 bytes.
    """

    name: str
    bytes: int
    mtime_ns: int
    digest: str = ""


@dataclass(frozen=True)
class Shard:
    """A complete shard.

    Attributes:
        records: The TFRecord file.
        size: Height and width of its images in pixels.
        decoder: `zoo.data.images.decode.DECODER` of the version that decoded them.
        sha256: Hash of the TFRecord file.
        images: Image -> "", or the reason why it cannot be read. Each readable image has a record, in this order.
    """

    records: Path
    size: int
    decoder: int
    sha256: str
    images: Mapping[CachedImage, str]

    @property
    def readable(self) -> list[CachedImage]:
        """The image of each record."""
        return [image for image, error in self.images.items() if not error]

    def pixels(self) -> np.ndarray:
        """The records as a read-only memory map, uint8 (n, size, size, 1)."""
        if not self.readable:  # an empty file cannot be mapped
            return np.empty((0, self.size, self.size, 1), np.uint8)
        return np.memmap(self.records, _frame(self.size), mode="r")["pixels"].view(np.ndarray)

    def is_sound(self) -> bool:
        """Reads the whole file and tells whether it is undamaged."""
        there = self.records.is_file() and self.records.stat().st_size == nbytes(len(self.readable), self.size)
        return there and sha256(self.records) == self.sha256

    def remove(self) -> None:
        """Deletes the shard, its JSON file first."""
        self.records.with_suffix(".json").unlink(missing_ok=True)
        self.records.unlink(missing_ok=True)


def nbytes(n: int, size: int) -> int:
    """Returns the size in bytes of `n` records of images of `size` pixels.

    Example:
        >>> nbytes(10, 224)
        501920
    """
    return n * _frame(size).itemsize


def finished(folder: Path, on_torn: Callable[[Path], None] = lambda path: None) -> list[Shard]:
    """Lists the complete shards in a folder, in the order in which they were written; the caller holds its lock.

    Args:
        folder: Folder of the cache.
        on_torn: Called with each JSON file that was cut off or altered; its shard is not complete.

    Raises:
        CacheError: The folder holds other files, or a cache of a newer version.
    """
    shown = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if shown and not any(name.startswith(_SHARDS) for name in shown):
        raise CacheError(f"{folder}: holds other files ({min(shown)}) and no cache: give a new or empty folder")
    shards = []
    for path in sorted(folder.glob(f"{_SHARDS}*.json")):
        if (shard := _read(path)) is None:
            on_torn(path)
        else:
            shards.append(shard)
    return shards


def remove_unfinished(folder: Path) -> None:
    """Deletes incomplete shards of a killed process."""
    recover_inside(folder)
    for path in folder.glob(f"{_SHARDS}*.tfrecord"):
        if not path.with_suffix(".json").is_file():
            path.unlink()


def write(folder: Path, number: int, size: int, images: Iterable[tuple[CachedImage, np.ndarray | str]]) -> Shard:
    """Writes a shard atomically.

    Args:
        folder: Folder of the cache.
        number: Number of the shard.
        size: Height and width of the images in pixels.
        images: Each image with its pixels, uint8 (size, size, 1), or with the reason why it cannot be read.

    Raises:
        OSError: The file cannot be written, for example on a full disk.
    """
    records = folder / f"{_SHARDS}{number:05d}.tfrecord"
    with whole_file(records) as new:
        errors = _write_records(new, images)
        shard = Shard(records, size, DECODER, sha256(new), errors)
    facts = {"format": FORMAT, "size": size, "decoder": DECODER, "sha256": shard.sha256}
    listed = [[*image, error] for image, error in errors.items()]
    write_text(records.with_suffix(".json"), json.dumps(seal(facts | {"films": listed})))
    return shard


def next_number(shards: Iterable[Shard]) -> int:
    """Returns the number of the next shard."""
    return 1 + max((int(shard.records.stem.removeprefix(_SHARDS)) for shard in shards), default=-1)


def _frame(size: int) -> np.dtype:
    """Layout of one image in a TFRecord file: length, masked CRC-32C of the length, pixels, and their CRC-32C."""
    return np.dtype([("length", "<u8"), ("length_crc", "<u4"), ("pixels", "u1", (size, size, 1)), ("crc", "<u4")])


def _write_records(path: Path, images: Iterable[tuple[CachedImage, np.ndarray | str]]) -> dict[CachedImage, str]:
    import tensorflow as tf  # only here: reading a cache needs no TensorFlow

    errors = {}
    try:
        with tf.io.TFRecordWriter(str(path)) as out:
            for image, found in images:
                errors[image] = found if isinstance(found, str) else ""
                if not isinstance(found, str):
                    out.write(found.tobytes())
    except tf.errors.OpError as error:
        raise OSError(error.message) from error
    return errors


def _read(path: Path) -> Shard | None:
    """The shard of a JSON file; None if the file was cut off or altered."""
    try:
        facts = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    try:
        if facts["format"] > FORMAT:
            raise CacheError(
                f"{path}: made by a newer zoo (format {facts['format']}): give a new folder, or update the package"
            )
        if not sealed(facts):
            return None
        images = {CachedImage(*image): str(error) for *image, error in facts["films"]}  # format 1: without digest
        return Shard(path.with_suffix(".tfrecord"), facts["size"], facts["decoder"], facts["sha256"], images)
    except CacheError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CacheError(f"{path}: not written by the zoo ({error}): delete the folder, or give a new one") from error
