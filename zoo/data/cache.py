"""A cache of decoded images: a folder of `zoo.data.shards` that every call brings up to date."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import filelock
import numpy as np

from zoo.config.specs import MAX_IMAGE_SIZE
from zoo.core.counting import counted
from zoo.core.errors import CacheError, ImageError, UsageError
from zoo.core.progress import Progress, Silent
from zoo.core.warn import Threads
from zoo.data import contents
from zoo.data import shards as shard_files
from zoo.data.contents import Content
from zoo.data.images.decode import DECODER
from zoo.data.images.reading import read_image
from zoo.data.shards import CachedImage, Shard

#: Largest shard. A kill loses the images of one or two unfinished shards, and one or two shards are held in memory.
SHARD_IMAGES, SHARD_BYTES = 1024, 64 * 2**20

#: Images that are decoded again when a cache is opened, to check that the decoder still gives the same pixels.
_SAMPLE = 8

Item = TypeVar("Item")


class ImageCache:
    """Decoded images; `read` replaces `zoo.data.images.reading.read_image` and gives the same pixels.

    Attributes:
        folder: Folder of the shards.
        size: Height and width of the images in pixels.
        nbytes: Size of all shards in bytes.
        source_nbytes: Size of all image files in bytes.
        unreadable: Path -> reason, for each image that cannot be read, in the order given.
        digests: Path -> digest of its file (`zoo.data.contents`), "" if a cache of an older version has none.
    """

    def __init__(self, folder: Path, size: int, shards: Sequence[Shard], images: Mapping[str, CachedImage]) -> None:
        self.folder, self.size = folder, size
        self.nbytes = sum(shard.records.stat().st_size for shard in shards)
        self.source_nbytes = sum(max(image.bytes, 0) for image in images.values())
        errors = {image: error for shard in shards for image, error in shard.images.items()}
        self.unreadable = {path: errors[image] for path, image in images.items() if errors[image]}
        self.digests = {path: image.digest for path, image in images.items()}
        self._made_of = folder, size, shards, images
        places = _places(shards)
        self._places = {path: places[image] for path, image in images.items() if image in places}

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process maps the same files instead of receiving the pixels."""
        return type(self), self._made_of

    def __len__(self) -> int:
        """Number of readable images."""
        return len(self._places)

    def read(self, path: str, size: int, channels: int = 1) -> np.ndarray:
        """Returns one image, read-only uint8 (size, size, channels); decodes the file if it is not in the cache."""
        if path not in self._places or (size, channels) != (self.size, 1):
            return read_image(path, size, channels)
        pixels, row = self._places[path]
        return pixels[row]


def cache_images(
    paths: Sequence[str | Path],
    folder: str | Path,
    size: int,
    *,
    root: str | Path,
    progress: Progress | None = None,
    workers: int | None = None,
) -> ImageCache:
    """Opens or creates a cache of these images; decodes those that are missing, changed or damaged.

    It may be killed at any moment and called again. Calls that share a folder wait for each other, and the folder keeps
    the images of other calls. If nothing is missing, nothing is written, so that the folder may be read-only.

    Args:
        paths: Image files.
        folder: Folder of the cache; created if missing.
        size: Height and width in pixels.
        root: Folder of the data. The cache stores paths relative to it, so that both folders may be moved.
        progress: Receives the progress after each image.
        workers: Number of decoding threads; the number of processors by default.

    Raises:
        CacheError: The folder holds other files, images of another size or a cache of a newer version; it cannot be
            written; or the disk is full.
        ValueError: `size` is out of range.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.linear_gradient("L").save(folder / "a.png")
        >>> images = cache_images([folder / "a.png"], folder / "cache", size=16, root=folder)
        >>> images.read(str(folder / "a.png"), 16).shape
        (16, 16, 1)
    """
    if not 1 <= size <= MAX_IMAGE_SIZE:
        raise UsageError(f"size must be 1 to {MAX_IMAGE_SIZE} pixels, got {size}")
    folder, progress = Path(folder), progress or Silent()
    names = {str(path): os.path.relpath(path, root).replace(os.sep, "/") for path in paths}
    try:
        with _locked(folder, progress):
            shards, images = _usable(folder, size, names, progress)
            missing = {path: name for path, name in names.items() if path not in images}
            if missing:
                shard_files.remove_unfinished(folder)
                _check_room(folder, len(missing), size)
                title = f"decoding {len(missing):,} of {counted(len(names), 'image')} to {size} px"
                with progress.task(title, len(missing)) as advance:
                    first = shard_files.next_number(shards)
                    shards += _write(folder, first, size, missing, advance, workers)
                newest = _newest(shards)
                images = {path: images[path] if path in images else newest[name] for path, name in names.items()}
                shards = _without_superseded(shards)
            return ImageCache(folder, size, shards, images)  # before another process may remove a shard
    except OSError as error:
        raise CacheError(f"{folder}: cannot be used as a cache ({error}); what was finished in it stays") from error


@contextmanager
def _locked(folder: Path, progress: Progress) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        yield
        return
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        progress.message(f"{folder}: another process is filling this cache; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _usable(
    folder: Path, size: int, names: Mapping[str, str], progress: Progress
) -> tuple[list[Shard], dict[str, CachedImage]]:
    """The finished shards that are undamaged and up to date with the decoder; the others are removed.

    Also returns path -> image, in the order of `names`, for the files that have not changed since.
    """
    shards = shard_files.finished(folder, lambda path: _forget_torn(path, progress))
    for shard in shards:
        if shard.size != size:
            raise CacheError(f"{folder}: holds images of {shard.size} px, not of {size} px: give another folder")
    for shard in _damaged(shards, progress):
        progress.message(
            f"{shard.records}: damaged; its {counted(len(shard.images), 'image is', 'images are')} decoded again"
        )
        shard.remove()
        shards.remove(shard)
    images = _held(shards, names)
    if any(shard.decoder != DECODER for shard in shards) or not _same_pixels(shards, images):
        progress.message(f"{folder}: its images were decoded by a version that gives other pixels; they are made anew")
        for shard in shards:
            shard.remove()
        return [], {}
    return shards, images


def _forget_torn(path: Path, progress: Progress) -> None:
    progress.message(f"{path}: cut off or altered; the images of its shard are decoded again")
    path.unlink()


def _held(shards: Sequence[Shard], names: Mapping[str, str]) -> dict[str, CachedImage]:
    newest = _newest(shards)
    known = {path: Content(*newest[name][1:]) for path, name in names.items() if name in newest}
    same = contents.unchanged(known, names)
    return {path: newest[name] for path, name in names.items() if path in same}


def _newest(shards: Iterable[Shard]) -> dict[str, CachedImage]:
    """Name -> image, from the last shard that holds it."""
    return {image.name: image for shard in shards for image in shard.images}


def _damaged(shards: Sequence[Shard], progress: Progress) -> list[Shard]:
    found = []
    with progress.task("checking the cache", len(shards)) as advance, Threads(os.cpu_count()) as pool:
        for shard, sound in zip(shards, pool.map(Shard.is_sound, shards), strict=True):
            found += [] if sound else [shard]
            advance()
    return found


def _same_pixels(shards: Sequence[Shard], images: Mapping[str, CachedImage]) -> bool:
    """Whether some images, decoded again, equal the cached ones; another version of Pillow may decode differently."""
    places = _places(shards)
    held = [path for path, image in images.items() if image in places]
    for path in held[:: max(1, len(held) // _SAMPLE)]:
        pixels, row = places[images[path]]
        now = _decode(path, pixels.shape[1])
        if not isinstance(now, str) and not np.array_equal(pixels[row], now):
            return False
    return True


def _places(shards: Iterable[Shard]) -> dict[CachedImage, tuple[np.ndarray, int]]:
    """Image -> the array that holds its pixels, and its row in that array."""
    found: dict[CachedImage, tuple[np.ndarray, int]] = {}
    for shard in shards:
        pixels = shard.pixels()
        found |= {image: (pixels, row) for row, image in enumerate(shard.readable)}
    return found


def _check_room(folder: Path, n: int, size: int) -> None:
    need, free = shard_files.nbytes(n, size), shutil.disk_usage(folder).free
    if need > 0.98 * free:
        raise CacheError(
            f"{folder}: {counted(n, 'image')} of {size} px take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are "
            "free: make "
            "room, or give a folder on another disk"
        )


def _write(
    folder: Path,
    number: int,
    size: int,
    missing: Mapping[str, str],
    advance: Callable[[], None],
    workers: int | None,
) -> Iterator[Shard]:
    """Decodes images and writes them shard by shard; each shard is complete when it is yielded."""
    a_shard = max(1, min(SHARD_IMAGES, SHARD_BYTES // shard_files.nbytes(1, size)))
    pool = Threads(workers or os.cpu_count())
    try:
        decoded = _decoded(pool, missing, size, ahead=a_shard)
        for first in range(0, len(missing), a_shard):
            some = _counted(islice(decoded, a_shard), advance)
            yield shard_files.write(folder, number + first // a_shard, size, some)
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded(
    pool: Threads, names: Mapping[str, str], size: int, ahead: int
) -> Iterator[tuple[CachedImage, np.ndarray | str]]:
    """Yields each image with its pixels or its error, in order, decoding at most `ahead` images in advance."""

    def work(path: str, name: str) -> tuple[CachedImage, np.ndarray | str]:
        # Hashed first, so that the decoder finds the file in memory. A file rewritten in between is noticed next time.
        image = CachedImage(name, *contents.of(path))
        return image, _decode(path, size)

    waiting: deque[Future[tuple[CachedImage, np.ndarray | str]]] = deque()
    for path, name in names.items():
        waiting.append(pool.submit(work, path, name))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    for found in waiting:
        yield found.result()


def _counted(items: Iterable[Item], advance: Callable[[], None]) -> Iterator[Item]:
    for item in items:
        yield item
        advance()


def _decode(path: str, size: int) -> np.ndarray | str:
    """The pixels of an image, or the reason why it cannot be read."""
    try:
        return read_image(path, size)
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")


def _without_superseded(shards: Sequence[Shard]) -> list[Shard]:
    """Removes the shards whose images are all superseded by later shards."""
    needed = set({image.name: shard.records for shard in shards for image in shard.images}.values())
    for shard in shards:
        if shard.records not in needed:
            shard.remove()
    return [shard for shard in shards if shard.records in needed]
