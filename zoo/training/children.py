"""The processes of members, as the process that started them sees them."""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import keras

from zoo.core.errors import UsageError
from zoo.training.loop import Work

#: File in the folder of a member: what its last process wrote to standard error.
LOG = "process.log"

#: Receives the name of a member and what its process told: [kind, values...], or None when it has ended.
Events = queue.Queue[tuple[str, list[Any] | None]]


class Child:
    """The process of one member. The end of its standard input asks it to stop, so it stops too when this one dies."""

    def __init__(self, work: Work, threads: int, gpu: str, events: Events) -> None:
        self.who, self.gpu, self._log, self._events = work.who, gpu, work.folder / LOG, events
        order = _pickled(work)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "zoo.training.member"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=_environment(threads, gpu),
                start_new_session=True,  # Ctrl-C reaches this process alone, which asks the others to stop
            )
        with suppress(BrokenPipeError):  # it has died: its exit status is reported
            self._input.write(len(order).to_bytes(8, "big") + order)
            self._input.flush()
        Thread(target=self._listen, daemon=True).start()

    @property
    def status(self) -> int:
        """Exit status."""
        return self._process.wait()

    @property
    def _input(self) -> Any:
        return self._process.stdin

    def stop(self) -> None:
        """Asks it to write a checkpoint and end; more than once is once."""
        with suppress(BrokenPipeError):  # it has ended already
            self._input.close()

    def kill(self) -> None:
        """Ends it at once; it loses what its last checkpoint does not hold."""
        self._process.kill()
        self._process.wait()

    def last_words(self) -> str:
        """Describes its end."""
        lines = self._log.read_text("utf-8", errors="replace").strip().splitlines()
        said = f"its last message: {lines[-1][:300]!r}" if lines else "without a message"
        how = f"ended with status {self.status}"
        if self.status < 0:
            name = signal.Signals(-self.status).name
            how = f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
        return (
            f"the process of member {self.who!r} {how}, {said} ({self._log}). The other members have stopped at a "
            "checkpoint; the same command resumes all of them"
        )

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put((self.who, json.loads(line)))
        self._process.wait()
        self._events.put((self.who, None))


def _pickled(work: Work) -> bytes:
    try:
        return pickle.dumps(work)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UsageError(
            f"members='parallel' sends `read` to other processes, which is not possible here ({error}): give a "
            "function that can be imported, or use members='separate'"
        ) from error


def _environment(threads: int, gpu: str) -> Mapping[str, str]:
    """That of this process, with its import path and backend, and with a number of threads for each library."""
    counts = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3"}  # so that the last line of the log is about the end
    chosen = quiet | {"PYTHONPATH": path, "KERAS_BACKEND": keras.config.backend()} | dict.fromkeys(counts, str(threads))
    return os.environ | chosen | ({"CUDA_VISIBLE_DEVICES": gpu} if gpu else {})
