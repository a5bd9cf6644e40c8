"""A kind of trials that go wrong in every way, for tests of `soak`."""

import os
import signal
import time
from contextlib import contextmanager

from soak import Executed, Lost, Wrong
from soak.sandbox import confined

AIM, SECONDS, MEMORY = 20, 1.0, 64 << 20


@contextmanager
def ready(folder):
    def trial(number, rng):
        if number == 1:
            raise Wrong("another value")
        if number == 2:
            raise Lost("a row")
        if number == 3:
            with confined(folder):
                (folder / "inside").write_text("")
                os.system("true")
        if number == 4:
            with confined(folder / "elsewhere"):
                (folder / "outside").write_text("")
        if number == 5:
            os.kill(os.getpid(), signal.SIGSEGV)
        if number == 6:
            time.sleep(60)
        if number == 7:
            return f"{len(bytearray(100 << 20))} bytes"
        if number == 8:
            raise KeyError("no ZooError")
        if number == 9:
            raise Executed("ran")
        return f"{rng.integers(1000)}"

    yield trial
