"""Remembers from what a finished file of results was made, so that no other file is replaced without being told."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from zoo.core import home
from zoo.core.errors import CheckpointError
from zoo.core.files import content_key, sha256, write_text
from zoo.data.contents import Content
from zoo.inference.resume import Mark, differences, folder_of, has_begun


@dataclass(frozen=True)
class Finished:
    """A finished file that is the one that was remembered.

    Attributes:
        done: Its counts.
        files: The files that its items were made from, with their content.
    """

    done: Mark
    files: Sequence[tuple[str, Content]]


def remember(out: Path, job: Mapping[str, str | int], done: Mark, files: Sequence[tuple[str, Content]]) -> None:
    """Stores in `ZOO_HOME/finished` what a finished file was made from.

    Args:
        out: The file.
        job: Facts that determine its bytes, as in `resume.open_journal`.
        done: Its counts.
        files: The files that its items were made from, with their content.
    """
    facts = {"sha256": sha256(out), "job": dict(job), "done": asdict(done), "files": [[p, *held] for p, held in files]}
    write_text(_record(out), json.dumps(facts))  # ASCII, since a file name need not be text


def recall(out: Path, job: Mapping[str, str | int]) -> Finished | None:
    """Returns what is known of a finished file of the same job.

    Args:
        out: A file that may exist.
        job: The job that would write it.

    Returns:
        None if there is no file, or if a run that replaces it was stopped and goes on.

    Raises:
        CheckpointError: The file is of another job (the message names the facts that differ), or of unknown origin.

    Example:
        >>> recall(Path("no such file.csv"), {"model": "demo"}) is None
        True
    """
    if not out.exists() or has_begun(folder_of(out)):
        return None
    again = "--replace (restart=True) writes it anew, or choose another file"
    if not out.is_file():
        raise CheckpointError(f"{out} exists and is no file: choose another file")
    try:
        facts = json.loads(_record(out).read_text("utf-8"))
        found = Finished(Mark(**facts["done"]), [(path, Content(*held)) for path, *held in facts["files"]])
        then, known = dict(facts["job"]), facts["sha256"] == sha256(out)
    except FileNotFoundError:
        known = False
    except (ValueError, TypeError, KeyError) as error:
        raise CheckpointError(f"{out} exists, and the record of its origin is damaged ({error}): {again}") from None
    if not known:
        raise CheckpointError(f"{out} exists, and from what it was made is not known: {again}")
    if changes := differences(then, job):
        raise CheckpointError(f"{out} exists and is of another job ({'; '.join(changes[:8])}): {again}")
    return found


def is_known(out: Path) -> bool:
    """Whether a record of the origin of a file is kept in this `ZOO_HOME`.

    >>> is_known(Path("no such file.csv"))
    False
    """
    return _record(out).is_file()


def _record(out: Path) -> Path:
    return home.home() / "finished" / f"{content_key(str(out.resolve()))}.json"
