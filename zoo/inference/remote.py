"""Images at addresses such as s3://bucket/a.png, read by fsspec while the network works on those before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

from zoo.core.errors import ImageError
from zoo.core.paths import is_address
from zoo.data.images.limits import DEFAULT, Limits
from zoo.inference.stream import Prediction

if TYPE_CHECKING:
    from zoo.inference.predictor import Predictor

#: Addresses read at once, and how many images may wait for the network.
_THREADS, _AHEAD = 8, 32


def read_address(address: str, limits: Limits = DEFAULT) -> bytes:
    """Reads a file at an address by fsspec, which needs the library of its protocol (s3fs for s3://, gcsfs for gs://).

    Raises:
        ImageError: It cannot be read, its protocol's library is not installed, or it is larger than the limit.

    Example:
        >>> read_address("memory://none.png")
        Traceback (most recent call last):
        zoo.core.errors.ImageError: memory://none.png: cannot be read (FileNotFoundError: none.png)
    """
    import fsspec

    try:
        with fsspec.open(address, "rb") as file:
            data: bytes = file.read(limits.bytes + 1)
            size = max(len(data), getattr(file, "size", 0) or 0)
    except Exception as error:
        reason = " ".join(str(error).strip("'\"/ ").split())[:200]
        raise ImageError(f"{address}: cannot be read ({type(error).__name__}: {reason})") from error
    try:
        limits.check_bytes(size)
    except ImageError as error:
        raise ImageError(f"{address}: {error}") from error
    return data


def predictions(
    predictor: Predictor, places: Sequence[str], batch_size: int | None = None, whole: int | None = None
) -> Iterator[Prediction]:
    """Yields `Predictor.stream` of paths and addresses; names and errors are of these.

    Args:
        predictor: The model.
        places: Paths and addresses.
        batch_size: Images per batch; the runtime's default if None.
        whole: As of `Predictor.stream`.
    """
    if not any(map(is_address, places)):
        yield from predictor.stream(places, batch_size=batch_size, whole=whole)
        return
    unread: dict[int, str] = {}

    def fetch(index: int) -> str | bytes:
        place = places[index]
        if not is_address(place):
            return place
        try:
            return read_address(place, predictor.limits)
        except ImageError as error:
            unread[index] = str(error)
            return b""

    def held() -> Iterator[str | bytes]:
        for start in range(0, len(places), _AHEAD):
            yield from pool.map(fetch, range(start, min(start + _AHEAD, len(places))))

    at = 0
    with ThreadPoolExecutor(_THREADS) as pool:
        for batch in predictor.stream(held(), batch_size=batch_size, whole=whole):
            names = list(places[at : at + len(batch.names)])
            errors = [
                unread.get(at + i, _renamed(error, called, name))
                for i, (error, called, name) in enumerate(zip(batch.errors, batch.names, names, strict=True))
            ]
            yield replace(batch, names=names, errors=errors)
            at += len(names)


def _renamed(error: str, called: str, name: str) -> str:
    """An error with the address in place of "image 3" or "bytes"."""
    if not error or name in error:
        return error
    head, colon, rest = error.partition(": ")
    return f"{name}: {rest}" if colon and (head == called or " " not in head) else f"{name}: {error}"
