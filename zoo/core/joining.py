"""Joins names to files or identifiers whose folder, extension, case or Unicode form may be written differently."""

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
    """The candidate that each name is joined to.

    Attributes:
        rows: (n,) int64 position among the candidates, or -1 for none. No candidate occurs twice.
        notes: The differences that were disregarded, one sentence each with a count and an example.

    >>> Join(np.array([1, -1])).unused(3).tolist()
    [0, 2]
    """

    rows: np.ndarray
    notes: tuple[str, ...] = ()

    def unused(self, candidates: int) -> np.ndarray:
        """Positions of the candidates (of a given number of them) that no name is joined to, in order."""
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
    """Joins each name to the only candidate that it can mean, or to none; it never chooses one of several.

    A name and a candidate are compared from the file name upwards, and the longest common end of the two paths counts.
    An exact match has priority, then a match in another case, then a match without an image extension on either side.
    One of the two paths must be the end of the other (for a candidate: below its root). If no path matches in this way,
    the longest common end that is unique on both sides joins them, if it includes a folder or the name is an absolute
    path; a note reports it. Unicode is normalised (NFC), and a backslash also separates folders.

    Args:
        names: (n,) distinct file names, paths or identifiers.
        candidates: (m,) paths or identifiers.
        source: Origin of the names, for messages.
        roots: Folders that hold the candidates; their own names are not compared.
        identity: Candidate -> a key that is equal for two candidates which are the same file.

    Raises:
        TableError: A name can mean two candidates, or two names mean one; the message shows both and how to choose.

    Example:
        >>> found = join(["xray.1", "LAT/7.png"], ["xray.1.png", "xray.png", "PA/7.png", "LAT/7.png"], source="a.csv")
        >>> found.rows.tolist()
        [0, 3]
    """
    if not candidates:
        return Join(np.full(len(names), -1))
    keys, tops = [path_key(candidate) for candidate in candidates], [path_key(root) for root in roots]
    # A name need not repeat the folders above a root.
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
    """One way to compare file names.

    Attributes:
        words: The differences that are disregarded.
        name: Maps the file name of a name to the compared text.
        candidate: Maps the file name of a candidate to the compared text.
        fold: Whether case is disregarded, also in folders.
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
        (("extension",), str, stem),  # "x.dcm" matches "x.dcm.png" before "x.png"
        (("extension",), stem, str),
        (("extension",), stem, stem),
    ):
        yield _Level(words, name, candidate, False)
        yield _Level((*words, "case"), name, candidate, True)


_LEVELS = tuple(_levels())


class _Candidates:
    """The candidates grouped by file name; each group is sorted so that paths with a common end are neighbours."""

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
        """Finds the candidates that a name may mean."""
        alike = self._alike.get(self._level.of(own[:1], self._level.name)[0]) if own else None
        if alike is None:
            return _Found()
        key = self._level.of(own, self._level.name)
        place = bisect_left(alike, (key,))
        length = max(_common(key, alike[i][0]) for i in (place - 1, place) if 0 <= i < len(alike))
        common = key[:length]
        if loosely:  # there may be very many; two suffice to show that the match is not unique
            return _Found(length, _between(alike, common, (*common, _LAST), most=2))
        ends = [(*common, *root) for root in self._roots]
        whole = [row for end in ends for row in _between(alike, end, (*end, ""))]
        return _Found(length, _between(alike, common, (*common, _LAST)) if length == len(key) else whole, whole)


@dataclass(frozen=True)
class _Found:
    """The candidates that a name may mean.

    Attributes:
        length: Length of the longest common end, in parts of the path.
        options: The candidates with a common end of this length.
        whole: Those of them whose whole path below the root is this common end.
    """

    length: int = 0
    options: Sequence[int] = ()
    whole: Sequence[int] = ()


@dataclass(eq=False)
class _State:
    """The joins made so far."""

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
        """Joins names to the candidates found; names with several options come after names with one."""
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
        """Joins each name to the candidate with which it alone has the longest common end, ignoring higher folders.

        At least one folder must agree, except for a path of another machine: "AP/1.png" is not "PA/1.png".
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
        """The candidate that a name means, or None if all of its options belong to other names."""
        if len(found.options) == 1:
            return found.options[0]
        exact = [option for option in found.options if self.candidates[option] == self.names[row]]
        free = [option for option in found.options if option not in self.taken]
        if exact or not free:
            return exact[0] if exact else None
        # If another name has taken "sub/x.png", then "x.png" means the "x.png" at the top.
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
