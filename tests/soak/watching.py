"""A worker and who watches it: a trial that hangs or takes its process down is a verdict, not an end."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from .journal import Entry
from .trials import DIED, HUNG, Kind

ROOT = Path(__file__).parents[2]

#: Seconds in which a worker has to be ready.
START = 300.0

#: A worker is killed after so many times the seconds of a trial, by the clock on the wall. A kind that counts its own
#: processor time may have to wait for a busy machine.
PATIENCE = {"wall": 1.2, "processor": 12.0}


class Worker:
    """A process that runs trials; started when one is asked for, and anew after each that it did not survive.

    Args:
        kind: What to try.
        folder: For its files; it is removed at the end.
    """

    def __init__(self, kind: Kind, folder: Path) -> None:
        self.kind, self.folder = kind, folder
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder.with_suffix(".log")

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, number: int) -> Entry:
        """The verdict on one trial."""
        self.start()
        began = time.monotonic()
        try:
            self._process.stdin.write(f"{number}\n".encode())
            self._process.stdin.flush()
        except BrokenPipeError:
            return self._over(number, DIED, began)
        line = self._line(self.kind.seconds * PATIENCE[self.kind.clock])
        if line is None:
            return self._over(number, HUNG, began)
        if not line:
            return self._over(number, DIED, began)
        entry = Entry(**json.loads(line))
        if entry.seconds > self.kind.seconds:
            return Entry(entry.trial, HUNG, f"{entry.verdict} after too long: {entry.what}", entry.seconds, entry.mb)
        return entry

    def close(self) -> None:
        if self._process is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._kill()
        self._process.stdout.close()
        self._process = None

    def start(self) -> None:
        """Waits until the process is ready, where there is none yet."""
        if self._process is not None:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        variables = {
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", "KERAS_BACKEND": "tensorflow", "JAX_PLATFORMS": "cpu",
            "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1", "ZOO_HOME": str(self.folder / "home"),
            "OMP_NUM_THREADS": "2", "TF_NUM_INTRAOP_THREADS": "2", "TMPDIR": str(self.folder),
        }  # fmt: skip
        command = [sys.executable, "-m", "soak.worker", self.kind.module, str(self.folder)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **variables}, cwd=self.folder, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            )  # fmt: skip
        if not self._line(START):
            told = self._told()
            self._kill()
            raise RuntimeError(f"the worker of {self.kind.name} did not get ready:\n{told}")

    def _line(self, seconds: float) -> bytes | None:
        """The next line; b"" where the process has ended, None where none came in time."""
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return None
        return self._process.stdout.readline()

    def _over(self, number: int, verdict: str, began: float) -> Entry:
        """Ends the process, which shows where it stood, and all that it started."""
        if verdict == HUNG:
            self._process.send_signal(signal.SIGUSR1)
            time.sleep(0.5)
        self._kill()
        status = self._process.returncode
        self._process.stdout.close()
        self._process = None
        what = f"exit status {status}\n{self._told()}"
        return Entry(number, verdict, what, round(time.monotonic() - began, 3))

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _told(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]
