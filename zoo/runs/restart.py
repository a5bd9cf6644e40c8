"""Starts a run folder anew: the earlier run is moved away, never deleted."""

from __future__ import annotations

from itertools import count
from pathlib import Path

from zoo.core.progress import Progress

#: What shows that a folder holds a run, and what stays in it: decoded images, which know the files they are of.
_SIGNS, _KEPT = ("recipe.json", "split.json", "checkpoint"), ("cache", "scan.json")


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
        progress.message(f"--restart: there is no earlier run in {run}")
        return None
    here = run.absolute()
    away = next(path for i in count(1) if not (path := here.with_name(f"{here.name}.{i}")).exists())
    here.rename(away)
    here.mkdir()
    kept = [name for name in _KEPT if (away / name).exists()]
    for name in kept:
        (away / name).rename(here / name)
    stays = f"; {' and '.join(kept)} {'stay' if len(kept) > 1 else 'stays'}" if kept else ""
    progress.message(f"--restart: the earlier run was moved to {away} (delete it if nobody needs it){stays}")
    return away
