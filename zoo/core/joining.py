"""Joins names to files or identifiers that are written with another folder, extension, case or form of Unicode."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.core.errors import TableError
from zoo.core.paths import Key, is_absolute, path_key, stem

_LAST = chr(0x10FFFF)


@dataclass(frozen=True, eq=False)
class Join:
    """Which candidate each name is joined to.

    Attributes:
        rows: (n,) int64 position among the candidates, -1 for a name without one. No candidate stands twice.
        notes: What had to be disregarded, one sentence each with a count and an example.
    """

    rows: np.ndarray
    notes: tuple[str, ...] = ()

    def unused(self, candidates: int) -> np.ndarray:
        """Positions of those of so many candidates that no name is joined to, in order."""
        free = np.ones(candidates, bool)
        free[self.rows[self.rows >= 0]] = False
        return np.flatnonzero(free)


def join(
    names: Sequence[str],
    candidates: Sequence[str],
    *,
    source: str,
    roots: Sequence[str] = ("",),
    identity: Callable[[str], str] = str,
) -> Join:
    """Joins each name to the one candidate that it means, or to none; never to the first of several.

    A name and a candidate are compared from the file name upwards, and the longest common end counts. An exact match
    goes first, then one in another case, then one without an image extension on either side. Of the two paths one must
    be the end of the other (below its root, for a candidate). Where no path fits so, the longest common end that is
    unique on both sides joins them, if it has a folder or the name is an absolute path; a note says so. Unicode is
    normalised (NFC), and a backslash separates folders too.

    Args:
        names: (n,) file names, paths or identifiers, each once.
        candidates: (m,) paths or identifiers.
        source: What the names are from, for messages.
        roots: Folders that candidates lie in; how these are called does not matter.
        identity: Candidate -> what two candidates that are one file share.

    Raises:
        TableError: A name means two candidates, or two names mean one; shows both, and how to choose.

    Example:
        >>> found = join(["film.1", "LAT/7.png"], ["film.1.png", "film.png", "PA/7.png", "LAT/7.png"], source="a.csv")
        >>> found.rows.tolist()
        [0, 3]
    """
    keys, tops = [path_key(candidate) for candidate in candidates], [path_key(root) for root in roots]
    # Below a root the candidates' own folders are no part of what a name has to say.
    whole = [len(key) if top == () else 0 for top in tops[:1] for key in keys]
    state = _State(names, candidates, source, identity, [path_key(name) for name in names], whole)
    for level in _LEVELS:
        if state.left():
            there = _Candidates(level, keys, tops)
            state.assign(level.words, {row: there.find(state.keys[row]) for row in state.left()})
    if not state.with_folders and any(len(state.keys[row]) > 1 for row in state.left()):
        for level in _LEVELS:
            there = _Candidates(level, keys, tops)
            state.assign_loosely(level.words, {row: there.find(state.keys[row], loosely=True) for row in state.left()})
    return Join(state.rows, tuple(_sentence(source, words, pairs) for words, pairs in sorted(state.loose.items())))


@dataclass(frozen=True)
class _Level:
    """How the file names are compared.

    Attributes:
        words: What is disregarded.
        name: What is compared of the name's file name.
        candidate: The same of the candidate.
        fold: Whether case is disregarded, in folders too.
    """

    words: tuple[str, ...]
    name: Callable[[str], str]
    candidate: Callable[[str], str]
    fold: bool

    def of(self, key: Key, shorten: Callable[[str], str]) -> Key:
        shortened = key if shorten is str else (shorten(key[0]), *key[1:])
        return tuple([text.casefold() for text in shortened]) if self.fold else shortened


def _levels() -> Iterator[_Level]:
    for words, name, candidate in (
        ((), str, str),
        (("extension",), str, stem),  # "x.dcm" is "x.dcm.png" before it is "x.png"
        (("extension",), stem, str),
        (("extension",), stem, stem),
    ):
        yield _Level(words, name, candidate, False)
        yield _Level((*words, "case"), name, candidate, True)


_LEVELS = tuple(_levels())


class _Candidates:
    """The candidates by their file names; those of one file name in an order in which common ends stand together."""

    def __init__(self, level: _Level, keys: Sequence[Key], roots: Sequence[Key]) -> None:
        self._level = level
        self._roots = [tuple(text.casefold() for text in root) if level.fold else root for root in roots]
        self._alike: dict[str, list[tuple[Key, int]]] = {}
        for row, key in enumerate(keys):
            if key:
                found = level.of(key, level.candidate)
                self._alike.setdefault(found[0], []).append((found, row))
        for alike in self._alike.values():
            alike.sort()

    def find(self, own: Key, loosely: bool = False) -> _Found:
        """The candidates that a name may mean."""
        alike = self._alike.get(self._level.of(own[:1], self._level.name)[0]) if own else None
        if alike is None:
            return _Found()
        key = self._level.of(own, self._level.name)
        place = bisect_left(alike, (key,))
        length = max(_common(key, alike[i][0]) for i in (place - 1, place) if 0 <= i < len(alike))
        common = key[:length]
        if loosely:  # there may be very many; two tell that there is not one alone
            return _Found(length, _between(alike, common, (*common, _LAST), most=2))
        ends = [(*common, *root) for root in self._roots]
        whole = [row for end in ends for row in _between(alike, end, (*end, ""))]
        return _Found(length, _between(alike, common, (*common, _LAST)) if length == len(key) else whole, whole)


@dataclass(frozen=True)
class _Found:
    """What a name may mean.

    Attributes:
        length: How many parts of the path are common at most.
        options: The candidates that have so many.
        whole: Those of them whose path below the root is nothing more.
    """

    length: int = 0
    options: Sequence[int] = ()
    whole: Sequence[int] = ()


@dataclass(eq=False)
class _State:
    """What is joined so far."""

    names: Sequence[str]
    candidates: Sequence[str]
    source: str
    identity: Callable[[str], str]
    keys: Sequence[Key]
    whole: Sequence[int]
    loose: dict[tuple[str, ...], list[tuple[str, str]]] = field(default_factory=dict)
    with_folders: bool = False

    def __post_init__(self) -> None:
        self.rows = np.full(len(self.names), -1)
        self.taken: dict[int, int] = {}

    def left(self) -> list[int]:
        return np.flatnonzero(self.rows < 0).tolist()

    def assign(self, words: tuple[str, ...], found: Mapping[int, _Found]) -> None:
        """Joins names to what was found; those that may mean several come after those that mean one."""
        for several in (False, True):
            claims: dict[int, int] = {}
            rows = [row for row, match in found.items() if match.options and (len(match.options) > 1) is several]
            for row in sorted(rows, key=lambda row: -found[row].length):
                option = self._choose(row, found[row], exactly=not words)
                if option is None or option in self.taken:
                    continue
                other = claims.setdefault(option, row)
                if other != row and found[other].length == found[row].length:
                    raise self._contested(other, row, option)
            for option, row in claims.items():
                self._take(row, option, found[row].length, words)
                self.with_folders |= found[row].length > 1

    def assign_loosely(self, words: tuple[str, ...], found: Mapping[int, _Found]) -> None:
        """Joins names to what they alone have the longest common end with, whatever the folders above are.

        One folder has to agree as well, except for a path of another machine: "AP/1.png" is not "PA/1.png".
        """
        claims: dict[int, list[tuple[int, int]]] = {}
        for row, match in found.items():
            far = match.length > 1 or is_absolute(self.names[row])
            if far and len(match.options) == 1 and match.options[0] not in self.taken:
                claims.setdefault(match.options[0], []).append((match.length, row))
        for option, rows in claims.items():
            rows.sort(reverse=True)
            if len(rows) == 1 or rows[0][0] > rows[1][0]:
                self._take(rows[0][1], option, rows[0][0], words)

    def _take(self, row: int, option: int, length: int, words: tuple[str, ...]) -> None:
        self.rows[row] = option
        self.taken[option] = row
        if length < max(len(self.keys[row]), self.whole[option]):
            words = ("folder", *words)
        if words:
            self.loose.setdefault(words, []).append((self.names[row], self.candidates[option]))

    def _choose(self, row: int, found: _Found, exactly: bool) -> int | None:
        """The one candidate that is meant, or None where all of several belong to other names."""
        if len(found.options) == 1:
            return found.options[0]
        exact = [option for option in found.options if self.candidates[option] == self.names[row]]
        free = [option for option in found.options if option not in self.taken]
        if exact or not free:
            return exact[0] if exact else None
        # "x.png" is no choice beside "sub/x.png" where another name says "sub/x.png".
        if exactly and len(free) == 1 and free[0] in found.whole:
            return free[0]
        different = {self.identity(self.candidates[option]): option for option in reversed(found.options)}
        if len(different) > 1:
            raise self._ambiguous(row, [*different.values()][::-1])
        return free[0]

    def _ambiguous(self, row: int, options: Sequence[int]) -> TableError:
        first, second = (self.candidates[option] for option in options[:2])
        more = f" (and {len(options) - 2:,} more)" if len(options) > 2 else ""
        return TableError(
            f"{self.source}: {self.names[row]!r} may mean {first!r} or {second!r}{more}: write as much of the path as "
            "tells them apart, or take the other one out of the folder or file"
        )

    def _contested(self, row: int, other: int, option: int) -> TableError:
        return TableError(
            f"{self.source}: {self.names[row]!r} and {self.names[other]!r} both mean {self.candidates[option]!r}: keep "
            "one of the two, or write as much of each path as tells them apart"
        )


def _between(alike: Sequence[tuple[Key, int]], low: Key, high: Key, most: int | None = None) -> list[int]:
    start, stop = bisect_left(alike, (low,)), bisect_left(alike, (high,))
    return [row for _, row in alike[start : stop if most is None else min(stop, start + most)]]


def _common(one: Key, other: Key) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _sentence(source: str, words: Sequence[str], pairs: Sequence[tuple[str, str]]) -> str:
    count = "1 name was" if len(pairs) == 1 else f"{len(pairs):,} names were"
    what = " and ".join(words) if len(words) < 3 else f"{', '.join(words[:-1])} and {words[-1]}"
    return f"{source}: {count} joined regardless of {what}: {pairs[0][0]!r} is {pairs[0][1]!r}"
