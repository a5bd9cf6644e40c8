"""Data leakage: patients, file names and image contents that an evaluated set shares with the training data."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.core.paths import may_be_same
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import SameImages, SamePair, SeenImages, SharedNames
from zoo.labels.facts import names_patient

#: Largest number of names that a report lists; the counts are always complete.
LISTED = 20


@dataclass(frozen=True, eq=False)
class Overlap:
    """The patients or files that the evaluated rows share with training.

    Attributes:
        rows: (n,) bool, the affected rows; `scores.subset(~overlap.rows)` removes them.
        names: The shared patients or files, sorted, as the evaluated set spells them.
        of: Number of different patients or files in the evaluated set.
        unknown: Number of rows without a name, which cannot be checked.

    >>> overlap = shared_patients(["1"], ["1", "2"])
    >>> overlap.rows.tolist(), overlap.result().shared.value
    ([True, False], 0.5)
    """

    rows: np.ndarray
    names: tuple[str, ...]
    of: int
    unknown: int = 0

    def result(self) -> SharedNames:
        """The part that a report shows: shares (without intervals) and the first names."""
        return SharedNames(
            _share(len(self.names), self.of),
            _share(int(self.rows.sum()), len(self.rows)),
            self.unknown,
            self.names[:LISTED],
        )


def shared_patients(train: Iterable[object], evaluated: Sequence[object] | np.ndarray) -> Overlap:
    """Finds evaluated rows of patients who are also in the training data.

    Identifiers are compared as text, but those that consist of digits are compared as numbers, since identifiers that a
    program read as numbers lose leading zeros and gain ".0". Both sets must number patients in the same way; two
    archives may use one number for two people.

    Args:
        train: Identifiers of the training patients; repetitions are allowed.
        evaluated: (n,) identifier of each evaluated row; "" and NaN are unknown.

    >>> shared_patients(["0012", "7"], ["12", "12", "8", ""]).names
    ('12',)
    """
    return _overlap(train, evaluated, _patient)


def shared_names(train: Iterable[object], evaluated: Sequence[object] | np.ndarray) -> Overlap:
    """Finds evaluated rows whose file may be a training file; `zoo.core.paths.may_be_same` compares the names.

    Args:
        train: Names or paths of the training images; repetitions are allowed.
        evaluated: (n,) name or path of each evaluated row; "" and NaN are unknown.

    >>> shared_names(["data/a/1.png"], ["a/1.png", "a/2.png"]).rows.tolist()
    [True, False]
    """
    given = [_text(name) for name in evaluated]
    rows = may_be_same(given, [_text(name) for name in train])
    names = {name for name, shared in zip(given, rows, strict=True) if shared}
    return Overlap(rows, tuple(sorted(names)), len({*given} - {""}), given.count(""))


@dataclass(frozen=True)
class Duplicates:
    """Images that occur more than once.

    Attributes:
        images: Number of evaluated images that were compared.
        with_train: Evaluated image -> (a training image with the same content, the kind of hash that agrees).
        within: Groups of two or more evaluated images with the same content.
        not_compared: Evaluated images without a hash.

    >>> Duplicates(4, {}, (("a", "b"),)).result().within.value
    0.25
    """

    images: int
    with_train: Mapping[str, tuple[str, str]]
    within: tuple[tuple[str, ...], ...]
    not_compared: tuple[str, ...] = ()

    def result(self, training: bool = True) -> SameImages:
        """The part that a report shows: shares (without intervals) and the first names.

        The share `within` counts the images that repeat another one.

        Args:
            training: Whether training images were compared.
        """
        return SameImages(
            _share(len(self.with_train), self.images) if training else None,
            _share(sum(len(group) - 1 for group in self.within), self.images),
            len(self.not_compared),
            tuple(SamePair(name, *found) for name, found in list(self.with_train.items())[:LISTED]),
            self.within[:LISTED],
        )


def duplicate_images(train: Mapping[str, Mapping[str, str]], evaluated: Mapping[str, Mapping[str, str]]) -> Duplicates:
    """Finds images with the same content, whatever their names.

    Args:
        train: Image -> kind of hash -> hash, as returned by `zoo.data.duplicates.fingerprints` ("bytes" for the file,
            "pixels" for the decoded image). Two images are the same if one kind agrees; an image may lack some or all
            kinds.
        evaluated: The hashes of the evaluated images. Pass `train` itself to find duplicates within it.

    >>> found = duplicate_images({"t": {"bytes": "1"}}, {"a": {"bytes": "1"}, "b": {"bytes": "2"}})
    >>> dict(found.with_train)
    {'a': ('t', 'bytes')}
    """
    first: dict[tuple[str, str], str] = {}
    for name, hashes in train.items():
        for found in hashes.items():
            first.setdefault(found, name)
    with_train: dict[str, tuple[str, str]] = {}
    for name, hashes in evaluated.items():
        kind = next((kind for kind, value in hashes.items() if (kind, value) in first), None)
        if kind is not None and train is not evaluated:
            with_train[name] = (first[kind, hashes[kind]], kind)
    compared = sum(bool(hashes) for hashes in evaluated.values())
    missing = tuple(name for name, hashes in evaluated.items() if not hashes)
    return Duplicates(compared, with_train, _groups(evaluated), missing)


def seen_images(training: np.ndarray, validation: np.ndarray, *, compared: int, of: int) -> SeenImages:
    """The part of a report on the images that the model was trained on.

    Args:
        training: (n,) bool, the images of the training part.
        validation: (n,) bool, the other images of the validation part.
        compared: Number of images that have a digest.
        of: Number of images.

    >>> seen_images(np.array([True, False]), np.array([False, False]), compared=2, of=2).training.value
    0.5
    """
    trained, validated = (_share(int(rows.sum()), compared) for rows in (training, validation))
    return SeenImages(trained, validated, of - compared)


def _groups(images: Mapping[str, Mapping[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Groups images that share a hash, directly or through other images, in the order of the mapping."""
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    first: dict[tuple[str, str], str] = {}
    for name, hashes in images.items():
        leader[name] = name
        for found in hashes.items():
            other = lead(first.setdefault(found, name))
            leader[lead(name)] = other
    members = defaultdict(list)
    for name in images:
        members[lead(name)].append(name)
    return tuple(tuple(group) for group in members.values() if len(group) > 1)


def _overlap(train: Iterable[object], evaluated: Iterable[object], key: Callable[[object], str]) -> Overlap:
    known = {key(name) for name in train} - {""}
    given = list(evaluated)
    keys = [key(name) for name in given]
    rows = np.array([name in known for name in keys], bool)
    spelt = {name: _text(as_given) for name, as_given in zip(reversed(keys), reversed(given), strict=True)}
    names = tuple(sorted(spelt[name] for name in spelt.keys() & known))
    return Overlap(rows, names, len(spelt.keys() - {""}), keys.count(""))


def _patient(name: object) -> str:
    text = _text(name)
    whole = text[:-2] if text.endswith(".0") else text
    return str(int(whole)) if whole.isascii() and whole.isdigit() else text


def _text(name: object) -> str:
    text = str(name).strip()
    return text if names_patient(text) else ""


def _share(count: int, of: int) -> Estimate:
    return Estimate(count / of if of else None, None, None, of, count)
