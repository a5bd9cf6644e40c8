"""Starts a run folder anew: the earlier run is moved away, never deleted."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from zoo.core.progress import Progress

#: What shows that a folder holds a run, and what stays in it: decoded images, which know the files they are of.
_SIGNS, _KEPT = ("recipe.json", "split.json", "checkpoint"), ("cache", "scan.json")


#: What a failed run may keep in its folder, since it took long and the next run uses it.
_WORTH = ("features-*.bin", "cache", "scan.json")


@contextmanager
def removed_on_failure(run: Path, progress: Progress) -> Iterator[None]:
    """Creates a run folder, and removes it again if the block raises; an earlier folder stays as it is.

    What took long and the next run uses stays: features of images, decoded images; a message says so.

    Args:
        run: Folder of the run.
        progress: Receives the message.

    Example:
        >>> import tempfile
        >>> from zoo.core.progress import Silent
        >>> run = Path(tempfile.mkdtemp()) / "run"
        >>> try:
        ...     with removed_on_failure(run, Silent()):
        ...         raise ValueError
        ... except ValueError:
        ...     run.exists()
        False
    """
    there = run.exists()
    run.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if not there:
            _remove(run, progress)
        raise


def _remove(run: Path, progress: Progress) -> None:
    worth = {path for pattern in _WORTH for path in run.glob(pattern) if path.stat().st_size}
    if not worth:
        shutil.rmtree(run)
        return
    for path in set(run.iterdir()) - worth:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    kept = ", ".join(sorted(path.name for path in worth))
    progress.message(f"{run} keeps {kept} for the next run, and nothing else (delete it if none follows)")


def move_away(run: Path, progress: Progress) -> Path | None:
    """Moves an earlier run to a new folder beside it, except its decoded images, and says where.

    Args:
        run: Folder of the run.
        progress: Receives the message.

    Returns:
        The new folder of the earlier run, such as "runs/demo.1"; None if there was no run, so that nothing was moved.

    Example:
        >>> from zoo.core.progress import Silent
        >>> move_away(Path("no such run"), Silent()) is None
        True
    """
    if not any((run / name).exists() for name in _SIGNS):
        progress.message(f"--replace: there is no earlier run in {run}")
        return None
    here = run.absolute()
    away = next(path for i in count(1) if not (path := here.with_name(f"{here.name}.{i}")).exists())
    here.rename(away)
    here.mkdir()
    kept = [name for name in _KEPT if (away / name).exists()]
    for name in kept:
        (away / name).rename(here / name)
    stays = f"; {' and '.join(kept)} {'stay' if len(kept) > 1 else 'stays'}" if kept else ""
    progress.message(f"--replace: the earlier run was moved to {away} (delete it if nobody needs it){stays}")
    return away
