"""Shares of a list of images: which of them are scored by one of n processes that know nothing of each other.

Every process lists all images and keeps those of its share, so that none has to talk to another. The images of a study
are in one share.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.core.errors import UsageError
from zoo.labels.studies import study_of_name

#: Where schedulers say which of n equal tasks a process is: variable -> variable of the first number, or "" for 0.
VARIABLES = {"SLURM_ARRAY_TASK_ID": "SLURM_ARRAY_TASK_MIN", "JOB_COMPLETION_INDEX": ""}

#: Digits of the hash of a list.
_DIGITS = 16

_FORM = "I/N with I from 0 to N-1, such as 0/8, or auto/N in an array of Slurm or an indexed job of Kubernetes"


@dataclass(frozen=True)
class Shard:
    """One of n shares of any list.

    Attributes:
        index: Which, from 0.
        of: How many there are.

    Raises:
        UsageError: There is no such share.

    Example:
        >>> Shard.parse("2/8")
        Shard(index=2, of=8)
        >>> Shard.parse("auto/8", {"SLURM_ARRAY_TASK_ID": "4", "SLURM_ARRAY_TASK_MIN": "1"}).index
        3
        >>> sum(Shard(index, 8).has("00000042_001") for index in range(8))
        1
    """

    index: int
    of: int

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.of:
            raise UsageError(f"there is no shard {self.index} of {self.of}: give {_FORM}")

    @classmethod
    def parse(cls, text: str, environment: Mapping[str, str] | None = None) -> Shard:
        """Reads "i/n", or "auto/n" where a scheduler says which task this is (`VARIABLES`).

        Args:
            text: What the user gave.
            environment: The variables; those of the process by default.

        Raises:
            UsageError: It is neither, no scheduler has set its variable, or an array does not have n tasks.
        """
        match = re.fullmatch(r"(auto|\d+)/(\d+)", text.strip())
        if match is None:
            raise UsageError(f"shard {text!r}: give {_FORM}")
        of = int(match[2])
        if match[1] != "auto":
            return cls(int(match[1]), of)
        return cls(_task(os.environ if environment is None else environment, of), of)

    def has(self, key: str) -> bool:
        """Whether what has this key, such as a study, is in the share."""
        return int.from_bytes(hashlib.sha256(_bytes(key)).digest()[:8], "big") % self.of == self.index

    def part_of(self, out: Path) -> Path:
        """The file of this share of a table, in a folder beside it.

        >>> Shard(2, 8).part_of(Path("findings.csv")).as_posix()
        'findings.csv.parts/00002-of-00008.parquet'
        """
        return out.with_name(f"{out.name}.parts") / f"{self.index:05d}-of-{self.of:05d}.parquet"

    def __str__(self) -> str:
        return f"{self.index}/{self.of}"


@dataclass(frozen=True, eq=False)
class Share:
    """What a shard has of one list.

    Attributes:
        shard: Which shard.
        units: Number of units of the whole list; a unit is what a row stands for: an image or a study.
        images: Number of images of the whole list.
        digest: Hash of the names of all images and of what they were assigned by, in order.
        places: int64, the place of each unit of the share among all units, ascending.
        paths: The images of the share, unit by unit.
    """

    shard: Shard
    units: int
    images: int
    digest: str
    places: np.ndarray
    paths: Sequence[str]

    @property
    def facts(self) -> dict[str, str | int]:
        """What the job of this share adds to that of the whole list."""
        return self.whole | {"shard": str(self.shard)}

    @property
    def whole(self) -> dict[str, str | int]:
        """What all shares of the list have in common."""
        return {"list": f"{self.digest} of {self.images:,} images", "units": self.units, "shards": self.shard.of}


def share_of(shard: Shard, paths: Sequence[str], keys: Sequence[str], units: Sequence[str] | None = None) -> Share:
    """Returns what a shard has of a list of images.

    Args:
        shard: Which shard.
        paths: All n images.
        keys: What decides of each image, (n,): images of one key are in one share (`study_keys`).
        units: What the row of each image stands for, (n,), of which all images have one key; by default each image is a
            unit. Units keep the order in which they first appear.

    Example:
        >>> share = share_of(Shard(0, 1), ["a.png", "b.png", "c.png"], ["1", "2", "1"], ["1", "2", "1"])
        >>> share.paths, share.places.tolist()
        (['a.png', 'c.png', 'b.png'], [0, 1])
    """
    digest = hashlib.sha256()
    for path, key in zip(paths, keys, strict=True):
        for text in (path, key):
            data = _bytes(text)
            digest.update(len(data).to_bytes(8, "big") + data)
    has = {key: shard.has(key) for key in dict.fromkeys(keys)}
    mine: dict[str | int, list[str]] = {}
    place: dict[str | int, int] = {}
    for i, (path, key) in enumerate(zip(paths, keys, strict=True)):
        unit = i if units is None else units[i]
        place.setdefault(unit, len(place))
        if has[key]:
            mine.setdefault(unit, []).append(path)
    places = np.array([place[unit] for unit in mine], np.int64)
    own = [path for group in mine.values() for path in group]
    return Share(shard, len(place), len(paths), digest.hexdigest()[:_DIGITS], places, own)


def study_keys(paths: Sequence[str], roots: Sequence[str]) -> list[str]:
    """Returns what decides of each image where studies are not asked for: the study in its name, or its relative path.

    Args:
        paths: The images.
        roots: Folders that were searched for them.

    Example:
        >>> study_keys(["in/00000042_001_002.jpg", "in/p1/view1.png"], ["in"])
        ['00000042_001', 'p1/view1.png']
    """
    folders = sorted({Path(root).as_posix().rstrip("/") + "/" for root in roots}, key=len, reverse=True)
    return [study_of_name(path) or _relative(Path(path).as_posix(), folders) for path in paths]


def _relative(path: str, folders: Sequence[str]) -> str:
    return next((path[len(folder) :] for folder in folders if path.startswith(folder)), path)


def _task(environment: Mapping[str, str], of: int) -> int:
    """The number of this task, from 0, by the first scheduler that says so."""
    found = {name: environment[name] for name in VARIABLES if environment.get(name)}
    if not found:
        raise UsageError(f"--shard auto/{of}: neither {' nor '.join(VARIABLES)} is set; give {_FORM}")
    numbers = {}
    for name, text in found.items():
        first = environment.get(VARIABLES[name]) or "0" if VARIABLES[name] else "0"
        if not text.isdecimal() or not first.isdecimal():
            raise UsageError(f"--shard auto/{of}: {name} is {text!r}, less {first!r}: whole numbers are wanted")
        numbers[name] = int(text) - int(first)
    said = ", ".join(f"{name} says {number}" for name, number in numbers.items())
    if len({*numbers.values()}) > 1:
        raise UsageError(f"--shard auto/{of}: {said}; give the number itself")
    count = environment.get("SLURM_ARRAY_TASK_COUNT", "")
    if "SLURM_ARRAY_TASK_ID" in numbers and count and count != str(of):
        raise UsageError(f"--shard auto/{of}: the array of Slurm has {count} tasks, not {of} (SLURM_ARRAY_TASK_COUNT)")
    number = next(iter(numbers.values()))
    if not 0 <= number < of:
        raise UsageError(f"--shard auto/{of}: {said}, and tasks go from 0 to {of - 1}")
    return number


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
