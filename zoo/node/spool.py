"""Images and results on the disk until the archive has the results: a folder a study, whose place is its state.

    receiving/KEY/          images of a study that may not be complete
    waiting/KEY-n/          images of a complete study; `results/` appears whole, and each result is renamed when sent
    done/KEY.json           which images have results in the archive
    aside/                  objects without a result, each with its reason
    removing/               what is being deleted

Every step is a file written whole or one rename, so that a process that is killed at any moment leaves one of these
states, from which the next goes on. An object is confirmed to its sender after it is on the disk. Names are keyed
hashes of the identifiers, with a secret of this spool: they show nothing in a log, and find an object that comes again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from filelock import FileLock, Timeout

from zoo.core.errors import StateError, ZooError
from zoo.core.exchange import recover_inside
from zoo.core.files import sync, write_bytes, write_json, write_text

#: Hexadecimal digits of a name.
_DIGITS = 24

#: Studies of which is known that they are done, at most; the oldest are forgotten.
_DONE = 100_000

#: Objects that are kept aside at most, and their share of the bytes; the oldest are deleted.
_ASIDE, _ASIDE_SHARE = 1_000, 0.1


class SpoolFullError(ZooError):
    """There is no room for another object."""


class Taken(Enum):
    """What became of an object: it is new, it is here already, or its results are in the archive."""

    NEW = "new"
    HERE = "here"
    DONE = "done"


@dataclass(frozen=True)
class Job:
    """A complete study.

    Attributes:
        folder: Its folder in `waiting`.
    """

    folder: Path

    @property
    def key(self) -> str:
        """Name of the study in the spool."""
        return self.folder.name.partition("-")[0]

    @property
    def results(self) -> Path:
        """Folder of the results; it exists when all of them are written."""
        return self.folder / "results"

    def images(self) -> list[Path]:
        """The images, in an order that does not depend on when they came."""
        return sorted(self.folder.glob("*.dcm"))

    def reasons(self) -> dict[str, str]:
        """Name of each image that took no part in the results, with the reason."""
        return _json(self.results / "unread.json")

    def dropped(self) -> str:
        """Why the study is given up; "" if it is not."""
        file = self.folder / "dropped"
        return file.read_text("utf-8") if file.exists() else ""

    def unsent(self) -> list[Path]:
        """The results that the archive has not confirmed."""
        return sorted(self.results.glob("*.dcm"))

    def sent(self, result: Path) -> None:
        """Marks a result that the archive has confirmed."""
        result.rename(result.with_suffix(".sent"))
        sync(self.results)

    def count(self, what: str, change: int = 1) -> int:
        """Adds to a number that is kept with the study, such as that of attempts, and returns it."""
        file = self.folder / what
        known = file.read_bytes() if file.exists() else b""
        number = (int(known) if known.isdigit() else 0) + change  # a count that was damaged begins anew
        if change:
            write_text(file, str(number))
        return number


class Spool:
    """The spool of one node; opening one that was left by a killed process finishes what was begun.

    Args:
        folder: Its folder, created for this user alone.
        bytes: Bytes of all images at most.
        objects: Number of all images at most.
        model: Identifies the model: images with results of another model are taken again.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, Spool(Path(folder, "spool")).opened() as spool:
        ...     spool.take("1.2", "1.2.3", b"image").value, [len(job.images()) for job in spool.complete(0)]
        ('new', [1])
    """

    def __init__(self, folder: Path, bytes: int = 20_000_000_000, objects: int = 10_000, model: str = "") -> None:
        self.folder, self.most, self.model = folder, (bytes, objects), model
        self.receiving, self.waiting, self.done, self.aside, self._removing = (
            folder / name for name in ("receiving", "waiting", "done", "aside", "removing")
        )
        self._lock = threading.RLock()
        self._held, self._key, self._since = (0, 0), b"", 0.0

    @contextmanager
    def opened(self) -> Iterator[Spool]:
        """The spool, locked against other processes until the end of the block.

        Raises:
            StateError: Another process uses it.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with FileLock(self.folder / "lock", timeout=0):
                self._recover()
                yield self
        except Timeout:
            raise StateError(f"{self.folder}: another zoo node uses this spool; choose another by --spool") from None

    def take(self, study: str, image: str, content: bytes) -> Taken:
        """Writes an object to the disk, unless it is there or its results are in the archive.

        Args:
            study: Study Instance UID.
            image: SOP Instance UID.
            content: The DICOM file.

        Raises:
            SpoolFullError: There is no room for it.
        """
        key, name = self._name(study), f"{self._name(image)}.dcm"
        with self._lock:
            if self._done_of(key).get(name) == self.model:
                return Taken.DONE
            if self._here(key, name):
                return Taken.HERE
            size, number = self._held
            if size + len(content) > self.most[0] or number + 1 > self.most[1]:
                raise SpoolFullError("the spool is full")
            new = not (self.receiving / key).exists()
            write_bytes(self.receiving / key / name, content)
            if new:
                sync(self.receiving)
            self._held = size + len(content), number + 1
        return Taken.NEW

    def knows(self, study: str, image: str) -> bool:
        """Whether an image is in the spool, aside, or its results are in the archive."""
        key, name = self._name(study), f"{self._name(image)}.dcm"
        with self._lock:
            here = self._here(key, name) or (self.aside / f"{key}-{name}").exists()
            return here or self._done_of(key).get(name) == self.model

    def complete(self, quiet: float) -> list[Job]:
        """Moves studies to which nothing was added for `quiet` seconds to those that wait, and returns all that wait.

        The time in which the spool was not open does not count, since nothing could be added in it.
        Those with the fewest attempts come first, so that a study that ends the process each time delays no other.
        """
        with self._lock:
            for folder in _folders(self.receiving):
                times = [file.stat().st_mtime for file in folder.glob("*.dcm")]
                age = time.time() - max([self._since, *times])
                if not times or 0 <= age < quiet:  # an age below 0: the clock was set back
                    continue
                taken = {other.name for other in self.waiting.glob(f"{folder.name}-*")}
                number = next(n for n in range(len(taken) + 1) if f"{folder.name}-{n}" not in taken)
                folder.rename(self.waiting / f"{folder.name}-{number}")
                sync(self.waiting)
        jobs = [Job(folder) for folder in _folders(self.waiting)]
        return sorted(jobs, key=lambda job: (job.count("attempts", 0), job.folder.stat().st_mtime))

    def finish(self, job: Job) -> None:
        """Notes that the images of a study have results in the archive, and removes the study."""
        with self._lock:
            file = self.done / f"{job.key}.json"
            write_json(file, self._done_of(job.key) | {image.name: self.model for image in job.images()})
            self._remove(job.folder)
            self._held = self._measure()
            _keep_newest(list(self.done.glob("*.json")), _DONE)

    def put_aside(self, image: Path, reason: str) -> None:
        """Moves an image to those without a result, beside a text with the reason."""
        with self._lock:
            target = self.aside / f"{image.parent.name.partition('-')[0]}-{image.name}"
            write_text(target.with_suffix(".txt"), f"{reason}\n")
            image.replace(target)
            os.utime(target)
            sync(self.aside)
            for path in _keep_newest(list(self.aside.glob("*.dcm")), _ASIDE, int(self.most[0] * _ASIDE_SHARE)):
                path.with_suffix(".txt").unlink(missing_ok=True)
            self._held = self._measure()

    def drop(self, job: Job, reason: str) -> None:
        """Puts all images of a study aside, and removes the study."""
        with self._lock:
            write_text(job.folder / "dropped", reason)  # so that no part of the study is predicted after a kill
            for image in job.images():
                self.put_aside(image, reason)
            self._remove(job.folder)

    def counts(self) -> dict[str, int]:
        """Number of studies that are received, that wait and that are done, and of images aside."""
        places = {"receiving": self.receiving, "waiting": self.waiting, "done": self.done}
        found = {name: sum(not path.name.startswith(".") for path in place.iterdir()) for name, place in places.items()}
        return found | {"aside": len(list(self.aside.glob("*.dcm")))}

    def _recover(self) -> None:
        for folder in (self.receiving, self.waiting, self.done, self.aside, self._removing):
            folder.mkdir(exist_ok=True, mode=0o700)
        for folder in (self.folder, self.done, self.aside, *_folders(self.receiving), *_folders(self.waiting)):
            recover_inside(folder)
        for left in self._removing.iterdir():
            shutil.rmtree(left)
        secret = self.folder / "secret"
        if not secret.exists():
            write_bytes(secret, secrets.token_bytes(32))
            secret.chmod(0o600)
        self._key, self._since = secret.read_bytes(), time.time()
        self._held = self._measure()

    def _remove(self, folder: Path) -> None:
        """Removes a folder in one step; its content is deleted afterwards."""
        moved = folder.rename(self._removing / f"{folder.name}-{secrets.token_hex(4)}")
        sync(self.waiting)
        shutil.rmtree(moved)

    def _measure(self) -> tuple[int, int]:
        places = (self.receiving.glob("*/*.dcm"), self.waiting.glob("*/*.dcm"), self.aside.glob("*.dcm"))
        sizes = [file.stat().st_size for place in places for file in place]
        return sum(sizes), len(sizes)

    def _done_of(self, key: str) -> dict[str, str]:
        return _json(self.done / f"{key}.json")

    def _here(self, key: str, name: str) -> bool:
        return (self.receiving / key / name).exists() or any(self.waiting.glob(f"{key}-*/{name}"))

    def _name(self, identifier: str) -> str:
        return hmac.new(self._key, identifier.encode(), hashlib.sha256).hexdigest()[:_DIGITS]


def _json(file: Path) -> dict[str, str]:
    """The content of a file; none of a damaged one, so that its images are taken, and its results sent, once more."""
    try:
        return {str(name): str(value) for name, value in json.loads(file.read_bytes()).items()}
    except (FileNotFoundError, ValueError, RecursionError, AttributeError):
        return {}


def _folders(place: Path) -> list[Path]:
    return sorted(path for path in place.iterdir() if path.is_dir() and not path.name.startswith("."))


def _keep_newest(files: Sequence[Path], most: int, size: int | None = None) -> list[Path]:
    """Deletes the oldest files beyond a number, and beyond a size of all, and returns the deleted ones."""
    stats = sorted(((file.stat(), file) for file in files), key=lambda pair: -pair[0].st_mtime_ns)
    gone, total = [], 0
    for place, (stat, file) in enumerate(stats):
        total += stat.st_size
        if place >= most or (size is not None and total > size and place):
            file.unlink()
            gone.append(file)
    return gone
