"""A process whose forks do small pieces of work (`killed_work`) and are killed, or run out of disk; see `kinds.kills`.

    KERAS_BACKEND=jax python -m soak.killing FOLDER     answers each line, a JSON order, by a line

Everything is imported once and nothing is computed here, so that each life of a piece of work is a fork that begins at
once and has no threads of its parent. An order is {"work", "seed", "kills", "disk"}: after each kill the same call is
given again; at the end what is there is compared, bit for bit, with what an undisturbed run leaves. With "disk" the
folder is a small file system that fills up; then it is made large, and the same call goes on.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soak.trials import LOST, PASSED, WRONG

#: Seconds after which a life counts as hanging.
PATIENCE = 600.0

#: Bytes of a file system that is large enough.
ROOM = 256 << 20

Verdict = tuple[str, str]


class Lives:
    """The forks, what they share, and what undisturbed runs left.

    Args:
        place: Folder for all runs.
    """

    def __init__(self, place: Path) -> None:
        from soak import killed_work

        self.work, self.place, self.shared = killed_work.WORK, place, place / "shared"
        self.shared.mkdir(parents=True)
        self._whole: dict[str, tuple[Any, float]] = {}
        self._number = 0
        if status := self.live(lambda: killed_work.prepare(self.shared)):
            raise SystemExit(f"preparing ended with {status}: {said(place)}")

    def killed(self, name: str, draws: random.Random, kills: int) -> Verdict:
        """Kills the work so many times, each time at a moment of its undisturbed duration, and lets it end."""
        expected, seconds = self.whole(name)
        folder, done, until = self.folder(name), 0, seconds
        while done < kills:
            status = self.live(self._call(name, folder), folder, draws.uniform(0, until), draws)
            if status == -signal.SIGKILL:
                done += 1
                continue
            if (verdict := self._compare(name, folder, status, expected))[0] != PASSED:
                return verdict
            folder, until = self.folder(name), until / 2  # it was faster than the kill
        return self._compare(name, folder, self.live(self._call(name, folder), folder), expected)

    def full(self, name: str, draws: random.Random) -> Verdict:
        """Lets the work run on a file system that is too small, then read-only, then large."""
        expected, _ = self.whole(name)
        folder = self.folder(name)
        size = draws.randrange(4096, max(8192, self._sizes[name]), 4096)
        with mounted(folder, size):
            for options in (f"size={size}", f"size={size},ro"):
                remount(folder, options)
                status, last = self.live(self._call(name, folder), folder), said(folder)
                if status not in (0, 1) or (status and "ZooError: " not in last):
                    return WRONG, f"on a full disk it ended with {status}: {last}"
            remount(folder, f"size={ROOM},rw")
            return self._compare(name, folder, self.live(self._call(name, folder), folder), expected)

    def whole(self, name: str) -> tuple[Any, float]:
        """What an undisturbed run leaves, and its seconds."""
        if name not in self._whole:
            folder, began = self.folder(name), time.monotonic()
            if status := self.live(self._call(name, folder), folder):
                raise SystemExit(f"{name}: undisturbed it ended with {status}: {said(folder)}")
            seconds = time.monotonic() - began
            self._sizes = {**getattr(self, "_sizes", {}), name: size_of(folder)}
            self._whole[name] = self.result(name, folder), seconds
            shutil.rmtree(folder)
        return self._whole[name]

    def result(self, name: str, folder: Path) -> Any:
        """What a run left, asked for in a fork, since that may start threads."""
        answer = self.place / "answer.json"

        def ask() -> None:
            answer.write_text(json.dumps(self.work[name].result(folder), sort_keys=True))

        if self.live(ask, folder):
            return f"unreadable: {said(folder)}"
        return json.loads(answer.read_text())

    def folder(self, name: str) -> Path:
        self._number += 1
        folder = self.place / f"{name.replace(' ', '-')}-{self._number}"
        folder.mkdir()
        return folder

    def live(
        self,
        work: Callable[[], None],
        folder: Path | None = None,
        seconds: float | None = None,
        draws: random.Random | None = None,
    ) -> int:
        """Runs work in a fork, and kills it after some seconds; returns its exit status, negative for a signal.

        Where it has processes of its own, every second kill takes one of these; what started it then ends with an
        error, which counts as killed.
        """
        child = os.fork()
        if not child:
            lived(work, self.place if folder is None else folder)
        until = time.monotonic() + (PATIENCE if seconds is None else seconds)
        while time.monotonic() < until:
            if (ended := os.waitpid(child, os.WNOHANG))[0]:
                return os.waitstatus_to_exitcode(ended[1])
            time.sleep(0.002)
        below = children(child)
        if draws is not None and below and draws.random() < 0.5:
            os.kill(draws.choice(below), signal.SIGKILL)
            return -signal.SIGKILL if os.waitpid(child, 0)[1] else 0
        os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        return 124 if seconds is None else status

    def _call(self, name: str, folder: Path) -> Callable[[], None]:
        return lambda: self.work[name].run(folder, self.shared)

    def _compare(self, name: str, folder: Path, status: int, expected: Any) -> Verdict:
        if status:
            return LOST, f"it did not go on, but ended with {status}: {said(folder)}"
        if (found := self.result(name, folder)) != expected:
            return WRONG, f"what it left differs: {differences(expected, found)}"
        shutil.rmtree(folder, ignore_errors=True)  # a mounted one stays, empty
        return PASSED, "the same"


def lived(work: Callable[[], None], folder: Path) -> None:
    """The life of a fork; it never returns."""
    os.environ["ZOO_HOME"] = str(folder / "home")
    handle = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    status = 1
    try:
        work()
        status = 0
    except BaseException as error:  # noqa: BLE001 - it is told by the process that forked this one
        traceback.print_exc()
        from zoo.core.errors import ZooError

        print("ZooError: " if isinstance(error, ZooError) else "no ZooError:", " ".join(str(error).split()))
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def said(folder: Path) -> str:
    """The last lines of the last life in a folder."""
    log = folder.with_suffix(".log")
    return " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])[-600:] if log.exists() else ""


def children(process: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def differences(one: Any, other: Any) -> str:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return f"{str(one)[:200]} and {str(other)[:200]}"
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return "; ".join(f"{name}: {str(one.get(name))[:150]} and {str(other.get(name))[:150]}" for name in names)[:900]


@contextmanager
def mounted(folder: Path, size: int) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


@contextmanager
def hub(place: Path) -> Iterator[None]:
    """A Hub in a process of its own, and the environment of a client that uses it alone."""
    command = [sys.executable, "-m", "loopback_hub", "--root", str(place / "hub")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        lines = [server.stdout.readline() for _ in range(4)]
        for name in [n for n in os.environ if n.startswith(("HF_", "HUGGING"))]:
            del os.environ[name]
        os.environ.update(
            HF_ENDPOINT=lines[0].strip().partition("HF_ENDPOINT=")[2], HF_HOME=str(place / "hf"),
            HF_TOKEN=next(line.split()[0].partition("=")[2] for line in lines[1:] if "write" in line),
            HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_TELEMETRY="1",
            NO_PROXY="127.0.0.1,localhost", no_proxy="127.0.0.1,localhost",
            JAX_COMPILATION_CACHE_DIR=str(place / "jax"), JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
        )  # fmt: skip
        yield
    finally:
        server.kill()
        server.wait()


def main(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    with hub(place):
        lives = Lives(place)
        print(json.dumps("ready"), file=answers, flush=True)
        for line in sys.stdin:
            order = json.loads(line)
            draws = random.Random(order["seed"])
            try:
                verdict = (
                    lives.full(order["work"], draws)
                    if order.get("disk")
                    else lives.killed(order["work"], draws, order["kills"])
                )
            except SystemExit as error:
                verdict = WRONG, str(error)
            print(json.dumps(verdict), file=answers, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
