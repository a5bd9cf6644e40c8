"""python tests/cache_run.py DATA FOLDER [KILLED_AT]     caches DATA/*.png at 16 px, three images a shard, in FOLDER

KILLED_AT is "records:n" or "json:n": the process ends itself by SIGKILL before the n-th file of that kind is moved to
its name.
"""

import os
import signal
import sys
from pathlib import Path

from zoo.data import cache

SIZE = 16


def kill_at(point: str) -> None:
    kind, _, count = point.partition(":")
    move, calls = Path.replace, 0

    def dies(new: Path, target: Path) -> None:
        nonlocal calls
        calls += (target.suffix == ".json") == (kind == "json")
        if calls == int(count):
            os.kill(os.getpid(), signal.SIGKILL)
        move(new, target)

    Path.replace = dies  # type: ignore[assignment]


def main(data: str, folder: str, point: str = "") -> None:
    cache.SHARD_IMAGES = 3
    if point:
        kill_at(point)
    found = cache.cache_images(sorted(Path(data).glob("*.png")), folder, SIZE, root=data)
    print(len(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
