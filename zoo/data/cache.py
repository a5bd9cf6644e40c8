"""Films decoded once: a folder of `zoo.data.shards`, brought up to date by every call, in front of the decoder."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeVar

import filelock
import numpy as np

from zoo.config.specs import MAX_IMAGE_SIZE
from zoo.core.errors import CacheError, ImageError
from zoo.core.progress import Progress, Silent
from zoo.data import shards as shard_files
from zoo.data.images.decode import DECODER
from zoo.data.images.reading import read_image
from zoo.data.shards import Film, Shard

#: So much makes a shard, at most. A kill loses what was decoded for one or two, and so much is in memory.
SHARD_FILMS, SHARD_BYTES = 1024, 64 * 2**20

#: Films that are decoded anew when a cache is opened.
_SAMPLE = 8

Item = TypeVar("Item")


class FilmCache:
    """Decoded films; `read` takes the place of `zoo.data.images.read_image` and gives the same pixels.

    Attributes:
        folder: Where the shards lie.
        size: Height and width of the films in pixels.
        nbytes: Bytes of the shards together.
        source_nbytes: Bytes of the films' files together.
        unreadable: Path -> reason of each film that cannot be read, in the order they were given.
    """

    def __init__(self, folder: Path, size: int, shards: Sequence[Shard], films: Mapping[str, Film]) -> None:
        self.folder, self.size = folder, size
        self.nbytes = sum(shard.records.stat().st_size for shard in shards)
        self.source_nbytes = sum(max(film.bytes, 0) for film in films.values())
        errors = {film: error for shard in shards for film, error in shard.films.items()}
        self.unreadable = {path: errors[film] for path, film in films.items() if errors[film]}
        places = _places(shards)
        self._places = {path: places[film] for path, film in films.items() if film in places}

    def __len__(self) -> int:
        """How many films can be read."""
        return len(self._places)

    def read(self, path: str, size: int, channels: int = 1) -> np.ndarray:
        """uint8 (size, size, channels) of one film, read-only; what the cache does not hold is decoded."""
        if path not in self._places or (size, channels) != (self.size, 1):
            return read_image(path, size, channels)
        pixels, row = self._places[path]
        return pixels[row]


def cache_films(
    paths: Sequence[str | Path],
    folder: str | Path,
    size: int,
    *,
    root: str | Path,
    progress: Progress | None = None,
    workers: int | None = None,
) -> FilmCache:
    """The cache of these films; what is missing in it, has changed or was damaged is decoded first.

    May be killed at any instant and called again. Calls that share a folder wait for each other, and films of other
    calls stay in it. Where nothing is missing nothing is written: the folder may then be read-only.

    Args:
        paths: Image files.
        folder: Of the cache; made when missing.
        size: Height and width in pixels.
        root: Folder of the data. A film is known by its path from there, so that both may be moved.
        progress: Told of every film.
        workers: Threads that decode; the number of processors by default.

    Raises:
        CacheError: The folder holds something else, films of another size or from a newer version; it cannot be
            written, or there is no room.
        ValueError: `size` is out of range.
    """
    if not 1 <= size <= MAX_IMAGE_SIZE:
        raise ValueError(f"size must be 1 to {MAX_IMAGE_SIZE} pixels, got {size}")
    folder, progress = Path(folder), progress or Silent()
    films = {str(path): _film(path, root) for path in paths}
    try:
        with _locked(folder, progress):
            shards = _usable(folder, size, films, progress)
            held = {film for shard in shards for film in shard.films}
            missing = {path: film for path, film in films.items() if film not in held}
            if missing:
                shard_files.remove_unfinished(folder)
                _check_room(folder, len(missing), size)
                title = f"decoding {len(missing):,} of {len(films):,} films to {size} px"
                with progress.task(title, len(missing)) as advance:
                    first = shard_files.next_number(shards)
                    shards += _write(folder, first, size, missing, advance, workers)
                shards = _without_superseded(shards)
            return FilmCache(folder, size, shards, films)  # before another process may remove a shard
    except OSError as error:
        raise CacheError(f"{folder}: cannot be used as a cache ({error}); what was finished in it stays") from error


def _film(path: str | Path, root: str | Path) -> Film:
    name = os.path.relpath(path, root).replace(os.sep, "/")
    try:
        found = Path(path).stat()
    except OSError:
        return Film(name, -1, 0)
    return Film(name, found.st_size, found.st_mtime_ns)


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


def _usable(folder: Path, size: int, films: Mapping[str, Film], progress: Progress) -> list[Shard]:
    """The finished shards that are undamaged and hold what a decode would give; the others are removed."""
    shards = shard_files.finished(folder)
    for shard in shards:
        if shard.size != size:
            raise CacheError(f"{folder}: holds films of {shard.size} px, not of {size} px: give another folder")
    for shard in _damaged(shards, progress):
        progress.message(f"{shard.records}: damaged; its {len(shard.films):,} films are decoded again")
        shard.remove()
        shards.remove(shard)
    if any(shard.decoder != DECODER for shard in shards) or not _same_pixels(shards, films):
        progress.message(f"{folder}: its films were decoded by a version that gives other pixels; they are made anew")
        for shard in shards:
            shard.remove()
        return []
    return shards


def _damaged(shards: Sequence[Shard], progress: Progress) -> list[Shard]:
    found = []
    with progress.task("checking the cache", len(shards)) as advance, ThreadPoolExecutor(os.cpu_count()) as pool:
        for shard, sound in zip(shards, pool.map(Shard.is_sound, shards), strict=True):
            found += [] if sound else [shard]
            advance()
    return found


def _same_pixels(shards: Sequence[Shard], films: Mapping[str, Film]) -> bool:
    """Whether some films, decoded now, are what the cache holds: another Pillow may read a file otherwise."""
    places = _places(shards)
    held = [path for path, film in films.items() if film in places]
    for path in held[:: max(1, len(held) // _SAMPLE)]:
        pixels, row = places[films[path]]
        now = _decode(path, pixels.shape[1])
        if not isinstance(now, str) and not np.array_equal(pixels[row], now):
            return False
    return True


def _places(shards: Iterable[Shard]) -> dict[Film, tuple[np.ndarray, int]]:
    """Where the pixels of each film are: an array of films, and a row of it."""
    found: dict[Film, tuple[np.ndarray, int]] = {}
    for shard in shards:
        pixels = shard.pixels()
        found |= {film: (pixels, row) for row, film in enumerate(shard.readable)}
    return found


def _check_room(folder: Path, n: int, size: int) -> None:
    need, free = shard_files.nbytes(n, size), shutil.disk_usage(folder).free
    if need > 0.98 * free:
        raise CacheError(
            f"{folder}: {n:,} films of {size} px take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: make "
            "room, or give a folder on another disk"
        )


def _write(
    folder: Path,
    number: int,
    size: int,
    missing: Mapping[str, Film],
    advance: Callable[[], None],
    workers: int | None,
) -> Iterator[Shard]:
    """Decodes films and writes them shard by shard; each is finished when it is given."""
    a_shard = max(1, min(SHARD_FILMS, SHARD_BYTES // shard_files.nbytes(1, size)))
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        decoded = _decoded(pool, missing, size, ahead=a_shard)
        for first in range(0, len(missing), a_shard):
            some = _counted(islice(decoded, a_shard), advance)
            yield shard_files.write(folder, number + first // a_shard, size, some)
    finally:
        pool.shutdown(cancel_futures=True)


def _decoded(
    pool: ThreadPoolExecutor, films: Mapping[str, Film], size: int, ahead: int
) -> Iterator[tuple[Film, np.ndarray | str]]:
    """Each film with its pixels or its fault, in order, at most `ahead` decoded before the one that is taken."""
    waiting: deque[tuple[Film, Future[np.ndarray | str]]] = deque()
    for path, film in films.items():
        waiting.append((film, pool.submit(_decode, path, size)))
        if len(waiting) > ahead:
            first, found = waiting.popleft()
            yield first, found.result()
    for film, found in waiting:
        yield film, found.result()


def _counted(items: Iterable[Item], advance: Callable[[], None]) -> Iterator[Item]:
    for item in items:
        yield item
        advance()


def _decode(path: str, size: int) -> np.ndarray | str:
    """The pixels of a film, or why it cannot be read."""
    try:
        return read_image(path, size)
    except ImageError as error:
        return str(error).removeprefix(f"{path}: ")


def _without_superseded(shards: Sequence[Shard]) -> list[Shard]:
    """Removes the shards of whose films every one has a newer state in a later shard."""
    needed = set({film.name: shard.records for shard in shards for film in shard.films}.values())
    for shard in shards:
        if shard.records not in needed:
            shard.remove()
    return [shard for shard in shards if shard.records in needed]
