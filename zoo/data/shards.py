"""The files of a cache: TFRecords of images as raw pixels, each with a JSON file that says what is in it.

An image is one record of size x size bytes, so that a shard is an array: a memory map finds any image by arithmetic,
and `tf.data.TFRecordDataset` reads the shard as well. Beside each `films-*.tfrecord` lies a JSON file that says which
images it holds, how large and how old their files were, what they contained, and the shard's sha256. Both are written
aside and moved, the JSON last: a shard without it was never finished.

Measured at 224 px, in microseconds of one core an image: reading at random takes 10 through the memory map, 50 from an
ArrayRecord, and 105 from a compressed one, which is a sixth smaller and takes ten times as long to write. sha256 takes
38 and TensorFlow's pass over its own checksums 80: so shards are checked by sha256, once, when a cache is opened.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from zoo.core.errors import CacheError
from zoo.core.files import recover_inside, sha256, whole_file, write_text
from zoo.data.images.decode import DECODER

#: 2 has each file's digest; 1 is read without.
FORMAT = 2

#: Shards end with a number, and are in order by it; what lies under the other name is being written.
_SHARDS = "films-"


class CachedImage(NamedTuple):
    """An image's file as it was found: its path from the data's folder, and its content (`zoo.data.contents`).

    A file that is not there has -1 bytes.
    """

    name: str
    bytes: int
    mtime_ns: int
    digest: str = ""


@dataclass(frozen=True)
class Shard:
    """A finished shard.

    Attributes:
        records: The TFRecord file.
        size: Height and width of its images in pixels.
        decoder: `zoo.data.images.decode.DECODER` of the code that decoded them.
        sha256: Of the file.
        images: CachedImage -> "", or why it cannot be read; the readable ones have a record each, in this order.
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
        """The records as uint8 (n, size, size, 1), read-only, from the disk as they are used."""
        if not self.readable:  # an empty file cannot be mapped
            return np.empty((0, self.size, self.size, 1), np.uint8)
        return np.memmap(self.records, _frame(self.size), mode="r")["pixels"].view(np.ndarray)

    def is_sound(self) -> bool:
        """Whether the file is still the one that was written; reads all of it."""
        there = self.records.is_file() and self.records.stat().st_size == nbytes(len(self.readable), self.size)
        return there and sha256(self.records) == self.sha256

    def remove(self) -> None:
        """Deletes it, the JSON first."""
        self.records.with_suffix(".json").unlink(missing_ok=True)
        self.records.unlink(missing_ok=True)


def nbytes(n: int, size: int) -> int:
    """Bytes of `n` records of images of `size` pixels."""
    return n * _frame(size).itemsize


def finished(folder: Path) -> list[Shard]:
    """The shards in a folder, in the order they were made; the caller holds its lock. Changes nothing.

    Raises:
        CacheError: Files that are no cache's, or a newer version's.
    """
    shown = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    if shown and not any(name.startswith(_SHARDS) for name in shown):
        raise CacheError(f"{folder}: holds other files ({min(shown)}) and no cache: give a new or empty folder")
    return [_read(path) for path in sorted(folder.glob(f"{_SHARDS}*.json"))]


def remove_unfinished(folder: Path) -> None:
    """Deletes what a killed process left."""
    recover_inside(folder)
    for path in folder.glob(f"{_SHARDS}*.tfrecord"):
        if not path.with_suffix(".json").is_file():
            path.unlink()


def write(folder: Path, number: int, size: int, images: Iterable[tuple[CachedImage, np.ndarray | str]]) -> Shard:
    """Writes a shard of images, given as their pixels or as the reason why there are none; whole or not at all.

    Raises:
        OSError: A full disk, or another reason not to write.
    """
    records = folder / f"{_SHARDS}{number:05d}.tfrecord"
    with whole_file(records) as new:
        errors = _write_records(new, images)
        shard = Shard(records, size, DECODER, sha256(new), errors)
    facts = {"format": FORMAT, "size": size, "decoder": DECODER, "sha256": shard.sha256}
    listed = [[*image, error] for image, error in errors.items()]
    write_text(records.with_suffix(".json"), json.dumps(facts | {"films": listed}))
    return shard


def next_number(shards: Iterable[Shard]) -> int:
    """The number of the shard that is written after these."""
    return 1 + max((int(shard.records.stem.removeprefix(_SHARDS)) for shard in shards), default=-1)


def _frame(size: int) -> np.dtype:
    """TFRecord's frame of one image: length, its masked CRC-32C, the bytes, theirs."""
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


def _read(path: Path) -> Shard:
    try:
        facts = json.loads(path.read_text("utf-8"))
        if facts["format"] > FORMAT:
            raise CacheError(f"{path}: made by a newer zoo (format {facts['format']}): give a new folder, or update")
        images = {CachedImage(*image): str(error) for *image, error in facts["films"]}  # format 1: without digest
        return Shard(path.with_suffix(".tfrecord"), facts["size"], facts["decoder"], facts["sha256"], images)
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise CacheError(f"{path}: not written by the zoo ({error}): delete the folder, or give a new one") from error
