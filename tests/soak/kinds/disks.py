"""Work runs on a file system that is too small, then read-only, and goes on when there is room; see `soak.killing`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from soak import Trial
from soak.kinds.kills import BACKENDS, backends, judged

AIM, SECONDS, MEMORY, TURN = 40, 3000.0, 4 << 30, 900.0

TURNS = (
    "predict csv", "cache", "spool", "embed", "predict parquet", "train joint", "export", "probe", "cache", "spool",
)  # fmt: skip


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    with backends(folder) as ask:

        def trial(number: int, rng: np.random.Generator) -> str:
            backend, name = BACKENDS[number % 2], TURNS[number // 2 % len(TURNS)]
            seed = int(rng.integers(2**31))
            return judged(
                f"{name} on {backend}, no room, then read-only", ask(backend, work=name, seed=seed, disk=True)
            )

        yield trial
