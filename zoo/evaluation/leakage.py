"""What an evaluated set shares with the training data: patients, file names, and images of the same content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.core.paths import may_be_same
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import SameImages, SamePair, SharedNames
from zoo.labels.facts import names_patient

#: Names that a report lists; their number is always the whole one.
LISTED = 20


@dataclass(frozen=True, eq=False)
class Overlap:
    """What the evaluated rows share with training.

    Attributes:
        rows: (n,) bool, the evaluated rows concerned; `scores.subset(~overlap.rows)` is what is left.
        names: The shared patients or files, sorted, as the evaluated set spells them.
        of: How many different ones the evaluated set has.
        unknown: Rows without a name, which can be neither shared nor cleared.
    """

    rows: np.ndarray
    names: tuple[str, ...]
    of: int
    unknown: int = 0

    def result(self) -> SharedNames:
        """What a report shows: shares without limits, and the first names."""
        return SharedNames(
            _share(len(self.names), self.of),
            _share(int(self.rows.sum()), len(self.rows)),
            self.unknown,
            self.names[:LISTED],
        )


def shared_patients(train: Iterable[object], evaluated: Sequence[object] | np.ndarray) -> Overlap:
    """Evaluated rows of patients who are in the training data too.

    Identifiers are compared as text; those of digits alone by their number, since tables read as numbers lose leading
    zeros and gain ".0". Both sides must number patients alike: two archives may use the same number for two people.

    Args:
        train: Identifiers of the training patients, repeated or not.
        evaluated: (n,) identifier of each evaluated row; "" and NaN are unknown.

    >>> shared_patients(["0012", "7"], ["12", "12", "8", ""]).names
    ('12',)
    """
    return _overlap(train, evaluated, _patient)


def shared_names(train: Iterable[object], evaluated: Sequence[object] | np.ndarray) -> Overlap:
    """Evaluated rows whose file may be a training file, as `zoo.core.joining.may_be_same` compares their names.

    Args:
        train: Names or paths of the training images, repeated or not.
        evaluated: (n,) name or path of each evaluated row; "" and NaN are unknown.
    """
    given = [_text(name) for name in evaluated]
    rows = may_be_same(given, [_text(name) for name in train])
    names = {name for name, shared in zip(given, rows, strict=True) if shared}
    return Overlap(rows, tuple(sorted(names)), len({*given} - {""}), given.count(""))


@dataclass(frozen=True)
class Duplicates:
    """Images that are there twice.

    Attributes:
        images: How many evaluated images were compared.
        with_train: Evaluated image -> (a training image with the same content, which hash found it).
        within: Groups of evaluated images with the same content, each of two or more.
        not_compared: Evaluated images for which there is no hash.
    """

    images: int
    with_train: Mapping[str, tuple[str, str]]
    within: tuple[tuple[str, ...], ...]
    not_compared: tuple[str, ...] = ()

    def result(self, training: bool = True) -> SameImages:
        """What a report shows: shares without limits, and the first names.

        `within` counts the images that another one makes superfluous.

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
    """Finds images of the same content, whatever their names.

    Args:
        train: Image -> kind of hash -> hash, as `zoo.data.duplicates.fingerprints` gives them ("bytes" of the file,
            "pixels" when decoded). Two images are the same when one kind agrees; an image may lack a kind, or all.
        evaluated: The same of the evaluated images. It may be `train` itself, to look for duplicates within it.
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


def _groups(images: Mapping[str, Mapping[str, str]]) -> tuple[tuple[str, ...], ...]:
    """Images joined by any common hash, directly or over others, in the order of the mapping."""
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
