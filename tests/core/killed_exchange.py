"""Run as a script: kills a child at every step of an exchange of folders, and checks what lies under the name.

Usage: python killed_exchange.py FOLDER {one_step,two_renames}; prints how many kills there were.
"""

import os
import signal
import sys
from pathlib import Path

from zoo.core import exchange, files

OLD, NEW, THIRD = ({f"{name}.txt": f"{word} {name}" for name in "abc"} for word in ("old", "new", "third"))


def main(folder: Path, way: str) -> None:
    if way == "two_renames":
        exchange._exchange = lambda one, other: False
    kills = 0
    while True:
        parent = folder / str(kills)
        target = parent / "release"
        write(target, OLD)
        if (status := killed_at(target, kills)) == 0:
            break
        assert status == signal.SIGKILL, status
        if way == "one_step":
            assert content(target) in (OLD, NEW), kills
        if kills % 2:
            files.recover(target)
            assert content(target) in (OLD, NEW), kills
        else:
            write(target, THIRD)
            assert content(target) == THIRD, kills
        left = [path.name for path in parent.iterdir()]
        assert left == ["release"], (kills, left)
        kills += 1
    assert content(target) == NEW
    print(kills)


def killed_at(target: Path, step: int) -> int:
    """The wait status of a child that is killed at a step of writing `NEW`; 0 where it has no such step."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    left = step

    def tick() -> None:
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1

    def lines(frame, event, _):
        if frame.f_code.co_name != "_exchange":  # its system call is no function of Python's
            return None
        tick()
        return lines

    def calls(frame, event, function):
        system = event == "c_call" and getattr(function, "__module__", "") in ("posix", "fcntl")
        if system and function.__name__ not in ("fspath", "stat", "lstat", "fstat"):
            tick()

    sys.settrace(lines)
    sys.setprofile(calls)
    write(target, NEW)
    sys.settrace(None)
    sys.setprofile(None)
    os._exit(0)


def write(target: Path, texts: dict[str, str]) -> None:
    with files.whole_folder(target) as new:
        for name, text in texts.items():
            (new / name).write_text(text)


def content(target: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(target.iterdir())}


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
