"""The models that were loaded last, kept so that the next call need not load them again."""

from __future__ import annotations

import gc
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from zoo.core.files import sha256
from zoo.names import sources
from zoo.release.manifest import MANIFEST

T = TypeVar("T")

#: Number of models that are kept.
MOST = 2


class Kept:
    """The last models, by name and by the hash of their release's manifest.

    Several threads may ask at once: a model is loaded by one of them. A forked process starts with none, since no
    network runs there (`core.process`).

    Args:
        most: Number of models; the one that was not used for longest is dropped first.

    Example:
        >>> kept: Kept = Kept(1)
        >>> kept.free()
        0
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._models: OrderedDict[tuple[str, str], object] = OrderedDict()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)

    def get(self, name: str | Path, load: Callable[[], T]) -> T:
        """Returns the model of a name, loaded by `load` unless it is kept and its release is still the same.

        Args:
            name: A name, folder or reference, as of `zoo.load`.
            load: Loads it. For one name it always loads in the same way.
        """
        called = str(name) if isinstance(name, str) else str(Path(name).expanduser().absolute())
        with self._lock:
            key = called, _manifest(name)
            if key not in self._models:
                for other in [one for one in self._models if one[0] == called]:
                    del self._models[other]  # another release of the same name
                while len(self._models) >= self._most:
                    self._models.popitem(last=False)
                gc.collect()
                self._models[key] = load()
            self._models.move_to_end(key)
            found: T = self._models[key]  # type: ignore[assignment]
            return found

    def free(self) -> int:
        """Drops all models and returns how many they were. A call that still computes with one keeps it to its end."""
        with self._lock:
            n = len(self._models)
            self._models.clear()
        gc.collect()  # the layers of a network refer to each other
        return n

    def _forget(self) -> None:
        # Another thread may have held the lock at the fork.
        self._lock = threading.Lock()
        self._models = OrderedDict()


def _manifest(name: str | Path) -> str:
    """The sha256 of the manifest that the name stands for now; no weights are read."""
    place = sources.locate(name)
    if isinstance(place, Path):
        return sha256(place / MANIFEST) if (place / MANIFEST).is_file() else ""
    return sources.find(name, ()).manifest_sha256
