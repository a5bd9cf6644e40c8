"""Features of images kept in a file beside a run, by the content of the image files, so that each is computed once."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
from filelock import FileLock

from zoo._version import __version__
from zoo.core.files import content_key, told
from zoo.core.progress import Progress
from zoo.data import contents
from zoo.inference.embedding import Embedder
from zoo.inference.predictor import Predictor

_CRC, _DIGEST = 4, contents.DIGITS // 2


@dataclass(frozen=True, eq=False)
class Stored:
    """The features of some image files.

    Attributes:
        features: float32 (n, features), a row for each path; NaN for an unreadable image.
        unreadable: Path -> reason.
        digests: Path -> digest of its content (`zoo.data.contents`).
    """

    features: np.ndarray
    unreadable: Mapping[str, str]
    digests: Mapping[str, str]


def features_of(
    predictor: Predictor, embedder: Embedder, paths: Sequence[str], folder: Path, progress: Progress
) -> Stored:
    """Computes the features of image files, or takes them from the store of an earlier call in the same folder.

    The name of the store's file states the model, its runtime and this version; a row states the content of its image
    file and a CRC-32, so that a store that was cut off or damaged gives up only the rows that do not agree.

    Args:
        predictor: The model.
        embedder: Computes its features (`zoo.inference.embedding.embedder`).
        paths: Image files.
        folder: Folder of the store; created if missing.
        progress: Receives the progress.

    Raises:
        WriteError: The disk is full, or nothing may be written there.
    """
    with told(folder):
        folder.mkdir(parents=True, exist_ok=True)
    runtime = embedder.runtime
    key = content_key([predictor.manifest_sha256, dict(embedder.sizes), runtime.name, runtime.precision, __version__])
    path = folder / f"features-{key[:16]}.bin"
    with progress.task("comparing files with stored features", len(paths)) as advance:
        digests = {p: c.digest for p, c in zip(paths, contents.read(list(paths), advance), strict=True)}
    unreadable: dict[str, str] = {}
    stays = "the features so far are kept; the same command goes on from there"
    with told(path, stays), FileLock(path.with_suffix(".lock")):
        known = _read(path, embedder.features)
        new = [next(iter(group)) for group in _by_digest(paths, digests).values() if digests[group[0]] not in known]
        with progress.task("extracting features", len(paths), len(paths) - len(new)) as advance, path.open("ab") as out:
            for batch in embedder.stream(new):
                for name, row, error in zip(batch.names, batch.logits, batch.errors, strict=True):
                    if error:
                        unreadable[name] = error.removeprefix(f"{name}: ")
                    else:
                        known[digests[name]] = row
                        out.write(_row(digests[name], row))
                out.flush()
                advance(len(batch.names))
    nothing = np.full(embedder.features, np.nan, np.float32)
    why = {digests[name]: reason for name, reason in unreadable.items()}
    rows = [known.get(digests[p], nothing) for p in paths]
    bad = {p: why.get(digests[p], "cannot be read") for p in paths if digests[p] not in known}
    return Stored(np.stack(rows) if rows else np.empty((0, embedder.features), np.float32), bad, digests)


def _by_digest(paths: Sequence[str], digests: Mapping[str, str]) -> dict[str, list[str]]:
    """Groups paths of the same content; a file that could not be hashed is a group of its own."""
    groups: dict[str, list[str]] = {}
    unnamed = count()
    for path in paths:
        groups.setdefault(digests[path] or f"unreadable {next(unnamed)}", []).append(path)
    return groups


def _row(digest: str, features: np.ndarray) -> bytes:
    body = bytes.fromhex(digest) + features.astype("<f4").tobytes()
    return zlib.crc32(body).to_bytes(_CRC, "little") + body


def _read(path: Path, features: int) -> dict[str, np.ndarray]:
    """Reads the verified rows of a store, and cuts off what an interrupted call left behind them."""
    size, known = _CRC + _DIGEST + 4 * features, {}
    if not path.is_file():
        return {}
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // size * size)
        while row := file.read(size):
            body = row[_CRC:]
            if zlib.crc32(body) == int.from_bytes(row[:_CRC], "little"):
                known[body[:_DIGEST].hex()] = np.frombuffer(body[_DIGEST:], "<f4").astype(np.float32)
    return known
