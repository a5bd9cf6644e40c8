"""The process that trains one member for `zoo.training.parallel`.

    python -m zoo.training.member

Standard input: 8 bytes with the length of a pickled `Work`, then the work; its end asks to stop, and comes too when the
process that started this one dies. Standard output: one JSON list a line, [kind, values...], of progress, warnings, and
at last the end or the error. Nothing that imports a backend is imported before the work is read.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

from zoo.core.errors import CheckpointError, UsageError, ZooError
from zoo.core.progress import Progress, Silent
from zoo.core.quiet import quiet_tensorflow

if TYPE_CHECKING:
    from zoo.training.interruption import Interruption
    from zoo.training.loop import Work

#: Seconds to wait for a process of an earlier, killed run, which stops after its current step.
PATIENCE = 300.0


@contextmanager
def locked(folder: Path, progress: Progress) -> Iterator[None]:
    """Lets one process train a member at a time; waits for one that is about to stop.

    Raises:
        CheckpointError: It does not stop.
    """
    lock = filelock.FileLock(folder / ".lock")
    try:
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            progress.message(f"{folder.name}: waiting for the process of an earlier run to write its last checkpoint")
            lock.acquire(timeout=PATIENCE)
    except filelock.Timeout as error:
        raise CheckpointError(f"{folder}: another process is training this member") from error
    try:
        yield
    finally:
        lock.release()


def main() -> int:
    """Trains the member whose work comes on standard input; returns the exit status."""
    told = _Told()
    warnings.showwarning = lambda message, *_rest, **_more: told.send("warning", str(message))
    quiet_tensorflow()
    try:
        work = _read_work()
        told.send("end", *_train(work, told))
    except ZooError as error:
        told.send("error", pickle.dumps(error).hex())
    return 0


def _read_work() -> Work:
    order = sys.stdin.buffer.read(int.from_bytes(sys.stdin.buffer.read(8), "big"))
    try:
        work: Work = pickle.loads(order)
    except (AttributeError, ImportError) as error:
        raise UsageError(
            f"members='parallel' sends `read` to other processes, where it cannot be imported ({error}): move it to a "
            "module, or use members='separate'"
        ) from error
    return work


def _train(work: Work, told: _Told) -> tuple[str, list[dict[str, Any]]]:
    import keras

    from zoo.training import devices, interruption, loop

    with locked(work.folder, told), interruption.watch() as watch:
        threading.Thread(target=_stop_at_end_of_input, args=[watch], daemon=True).start()
        keras.config.set_dtype_policy(work.identity["precision"])
        devices.leave_gpu_to_the_backend()
        devices.build_graphs_quickly()
        position, arrays = work.resume(told)
        return loop.run(work, position, arrays, watch, told), position.history


def _stop_at_end_of_input(watch: Interruption) -> None:
    while os.read(0, 1024):  # not sys.stdin, whose lock this thread would still hold when the process ends
        pass
    watch.signal = watch.signal or "SIGTERM"


class _Told(Silent):
    """Sends progress to the process that started this one."""

    def __init__(self) -> None:
        # Whatever a library prints must not come between the lines: it goes to standard error.
        self._out = TextIOWrapper(os.fdopen(os.dup(1), "wb"), "utf-8", line_buffering=True)
        os.dup2(2, 1)
        self._lock = threading.Lock()

    def send(self, *event: Any) -> None:
        """Writes a line. If nobody reads any more, the end of standard input stops this process."""
        with self._lock, suppress(BrokenPipeError):
            self._out.write(f"{json.dumps(event)}\n")

    def message(self, text: str) -> None:
        """Sends a message."""
        self.send("message", text)

    def on_job(self, title: str, epochs: int, steps: int) -> None:
        """Sends the start of a stage."""
        self.send("on_job", title, epochs, steps)

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        """Sends a step."""
        self.send("on_step", title, epoch, step, steps, loss)

    def on_epoch(self, title: str, epoch: int, logs: dict[str, float]) -> None:
        """Sends the numbers of an epoch."""
        self.send("on_epoch", title, epoch, logs)


if __name__ == "__main__":
    sys.exit(main())
