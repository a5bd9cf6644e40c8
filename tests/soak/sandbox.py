"""What a process does while a hostile file is read: what it runs, opens to write, and asks the network for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .trials import Executed

#: Events of Python that nothing in a file may cause (`marshal.loads` and `exec` are those of imports too, so not here).
RUNS = (
    "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.putenv", "subprocess.Popen", "pty.spawn",
    "pickle.find_class", "socket.connect", "socket.bind", "ctypes.dlopen", "webbrowser.open",
)  # fmt: skip

#: Events that change files, whose first argument is a path.
CHANGES = (
    "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "os.truncate", "os.chmod",
    "shutil.rmtree",
)  # fmt: skip

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class _Listener:
    """An audit hook, which cannot be removed, and so is installed once."""

    def __init__(self) -> None:
        self.allowed: tuple[str, ...] | None = None
        self.seen: list[str] = []
        sys.addaudithook(self.hear)

    def hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.allowed is None:
            return
        if event in RUNS:
            self.seen.append(f"{event} {arguments!r}"[:300])
        elif event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITING):
            path = arguments[1] if event in ("os.symlink", "os.link", "os.rename") else arguments[0]
            if isinstance(path, str | bytes | os.PathLike):
                full = os.path.realpath(_place(event, arguments) / os.fsdecode(path))
                if not full.startswith(self.allowed):
                    self.seen.append(f"{event} {full}"[:300])


def _place(event: str, arguments: tuple[Any, ...]) -> Path:
    """The folder that a relative path starts from: that of a handle, which some calls take last, or the present one."""
    handle = arguments[-1]
    if event == "open" or not isinstance(handle, int) or handle < 0:
        return Path()
    return Path(f"/proc/self/fd/{handle}").readlink()


_listeners: list[_Listener] = []


@contextmanager
def confined(*folders: Path) -> Iterator[None]:
    """Raises `Executed` where something is run, or a file outside these folders is written, while it lasts."""
    if not _listeners:
        _listeners.append(_Listener())
    listener = _listeners[0]
    listener.seen.clear()
    listener.allowed = (*(f"{os.path.realpath(folder)}{os.sep}" for folder in folders), "/dev/null")
    try:
        yield
    finally:
        listener.allowed = None
        seen = [*listener.seen]
        if seen:
            raise Executed("; ".join(seen[:3]))
