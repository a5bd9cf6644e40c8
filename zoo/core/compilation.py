"""Keeps compiled programs on this machine, so that the next process need not compile them again."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zoo.core import backend, home
from zoo.core.files import content_key
from zoo.core.process import processor


@contextmanager
def kept() -> Iterator[None]:
    """Keeps the programs that JAX compiles in the block in `ZOO_HOME/compiled`, and loads them from there later.

    A cache that the user has set (`JAX_COMPILATION_CACHE_DIR`, `jax_compilation_cache_dir`) or switched off stays as
    it is. Does nothing on other backends, nor where other users could write to the folder, since JAX runs the programs
    that it finds there.

    >>> with kept():
    ...     pass  # the first call of a jitted function
    """
    if backend.current() != "jax":
        yield
        return
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    theirs = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    folder = None if theirs else _private(_folder())
    if folder is None:
        yield
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    try:
        yield
    finally:
        jax.config.update("jax_compilation_cache_dir", theirs)
        compilation_cache.reset_cache()  # else it continues to use the folder that it has opened


def _folder() -> Path:
    """The folder for this processor: a program for another one, in a home that machines share, could crash."""
    return home.home() / "compiled" / content_key(processor(), 16)


def _private(folder: Path) -> Path | None:
    """The folder, created if missing; None where other users can write to it, or it cannot be created."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError:
        return None
    if sys.platform == "win32":
        return folder
    writable = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return folder if facts.st_uid == os.getuid() and not writable else None
