"""Keeps TensorFlow's messages off the terminal, unless `TF_CPP_MIN_LOG_LEVEL` asks for them.

TensorFlow writes a few lines to file descriptor 2 while it is imported ("oneDNN custom operations are on", "Unable to
register cuFFT factory"), before its own log level takes effect, so nothing in Python silences them. While the module is
imported the descriptor points to a temporary file; what was written is shown after all if the import fails.
"""

from __future__ import annotations

import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType


def quiet_tensorflow() -> None:
    """Makes a later `import tensorflow` silent, in this process, and its log tell of errors alone.

    Its warnings are for those who write TensorFlow; one is that several networks were traced, of an ensemble and of
    each member.

    Does nothing if TensorFlow is imported already, or if `TF_CPP_MIN_LOG_LEVEL` asks for its messages.

    Example:
        >>> quiet_tensorflow()
        >>> quiet_tensorflow()  # twice is once
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "3":
        return
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # which TensorFlow keeps at its import
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def quiet_start() -> Iterator[None]:
    """Makes the first `import tensorflow` silent if it happens inside the block; its log starts at errors.

    For functions of the library, which must not change how TensorFlow speaks to a program that imports it by itself.
    """
    if "tensorflow" in sys.modules or "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        yield
        return
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        os.environ.pop("TF_CPP_MIN_LOG_LEVEL", None)


class _Finder(MetaPathFinder):
    _asking = False  # the other finders, which ask this one again

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "tensorflow" or self._asking:
            return None
        self._asking = True
        try:
            spec = find_spec(name)
        finally:
            self._asking = False
        if spec is not None and spec.loader is not None:
            spec.loader = _Silenced(spec.loader)
        return spec


class _Silenced(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        with _standard_error_aside():
            self._loader.exec_module(module)


@contextmanager
def _standard_error_aside() -> Iterator[None]:
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(kept, 2)
            aside.seek(0)
            os.write(2, aside.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
