"""Work of every kind is killed several times at random moments, and goes on to what it would have left undisturbed.

Training (members "joint", "separate" and "parallel"), the cache, predictions, embeddings, a probe, exports, publishing
to a Hub of this machine and the node's spool, on both backends in turn; see `soak.killing`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from soak import Lost, Trial, Wrong
from soak.trials import LOST, PASSED, WRONG
from soak.watching import ROOT

#: The aim counts kills, over both backends.
AIM, SECONDS, MEMORY, TURN = 200, 3000.0, 4 << 30, 900.0

#: How often a trial kills, by what the start of a life costs: 240 times in all turns, on both backends.
KILLS = {"spool": 12, "cache": 8, "publish": 6, "predict csv": 4, "predict parquet": 4, "embed": 4}

#: The work of the trials, in turn; what takes long comes less often, and late.
TURNS = (
    "spool", "cache", "train joint", "publish", "embed", "train separate", "predict csv", "spool", "predict parquet",
    "export", "publish", "cache", "spool", "embed", "probe", "cache", "spool", "train joint", "train parallel", "cache",
)  # fmt: skip

BACKENDS = ("tensorflow", "jax")


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    with backends(folder) as ask:

        def trial(number: int, rng: np.random.Generator) -> tuple[str, int]:
            backend, name = BACKENDS[number % 2], TURNS[number // 2 % len(TURNS)]
            seed, kills = int(rng.integers(2**31)), KILLS.get(name, 2)
            verdict = ask(backend, work=name, seed=seed, kills=kills)
            return judged(f"{name} on {backend}, killed {kills} times", verdict), kills

        yield trial


def judged(what: str, verdict: tuple[str, str]) -> str:
    how, told = verdict
    if how == LOST:
        raise Lost(f"{what}: {told}")
    if how == WRONG:
        raise Wrong(f"{what}: {told}")
    assert how == PASSED
    return f"{what}: {told}"


@contextmanager
def backends(folder: Path) -> Iterator[Callable[..., tuple[str, str]]]:
    """Gives orders to a process for each backend, which is started when it is first asked for."""
    running: dict[str, subprocess.Popen[str]] = {}

    def ask(backend: str, **order: Any) -> tuple[str, str]:
        if backend not in running:
            running[backend] = _start(backend, folder / backend)
        process = running[backend]
        assert process.stdin is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        return tuple(json.loads(_line(process)))  # type: ignore[return-value]

    try:
        yield ask
    finally:
        for process in running.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait(60)


def _start(backend: str, folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(parents=True)
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "2"}
    variables = {**os.environ, **quiet, "KERAS_BACKEND": backend, "PYTHONPATH": path}
    with (folder / "process.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "soak.killing", str(folder / "runs")],
            env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
        )  # fmt: skip
    try:
        _line(process)
    except RuntimeError as error:
        raise RuntimeError(f"{error}: {(folder / 'process.log').read_text()[-600:]}") from None
    return process


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"the process of a backend ended with {process.wait()}")
    return line
