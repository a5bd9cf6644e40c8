"""Reads the images of a period for `zoo monitor`, from a table that zoo has written; memory holds no features."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.csv import MISSING, CsvColumns, shortened
from zoo.core.errors import TableError
from zoo.evaluation.drift import Period, Unit
from zoo.evaluation.files.long_form import UNTRAINED
from zoo.evaluation.files.rows import patients_of
from zoo.inference.written import Piece, Written, open_written
from zoo.labels.columns import IMAGE_IDS, PATIENTS, STUDIES
from zoo.labels.facts import LABEL_WORDS
from zoo.labels.schemas import prediction_columns
from zoo.labels.studies import studies_of_columns, study_of_name
from zoo.release.tested import QUALITIES

#: Names of the facts of images.
UNREADABLE, REJECTED, DOUBTFUL = "unreadable", "rejected", "doubtful"

_FEATURE = re.compile(r"(.+)_(\d{4,})")


@dataclass(frozen=True, eq=False)
class Read:
    """A period as its file holds it.

    Attributes:
        period: Its images, without their features.
        kind: "probabilities", or "logits" after a prefix that says so.
        thresholds: Finding -> the threshold that made its calls; {} if calls are not known.
        facts: What the file states of its origin.
        members: Member -> the columns of its features.
        notes: What was assumed or left out.
    """

    period: Period
    kind: str = "probabilities"
    thresholds: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    members: Mapping[str, Sequence[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    source: Written | None = None

    def features(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Reads the features of some rows: member -> float32 (n, features)."""
        if self.source is None or not self.members:
            return {}
        columns = [header for headers in self.members.values() for header in headers]
        found, start = np.empty((len(rows), len(columns)), np.float32), 0
        for piece in self.source.pieces(columns):
            here = np.flatnonzero((rows >= start) & (rows < start + len(piece)))
            if len(here):
                for j, header in enumerate(columns):
                    found[here, j] = piece.numbers(header)[rows[here] - start]
            start += len(piece)
        ends = np.cumsum([len(headers) for headers in self.members.values()])
        return dict(zip(self.members, np.split(found, ends[:-1], axis=1), strict=True))


def read_period(path: str | Path, *, among: Sequence[str] = ()) -> Read:
    """Reads predictions (one row per image and finding, or one per image) or features of images.

    Args:
        path: As `open_written` takes it.
        among: Findings of the other side, which a table of one row per image may have as columns.

    Raises:
        FileNotFoundError: There is no such file.
        TableError: It is no such table, or a value cannot be used; names file, row and column.
    """
    source = open_written(path)
    members = _members(source)
    inside = {header for headers in members.values() for header in headers}
    head = source.head([header for header in source.headers if header not in inside])
    images = _Images(head, head.header(*IMAGE_IDS) or head.header("study"))
    finding, value = head.header("finding"), head.header("probability", "logit")
    if finding is not None and value is not None:
        return _long(source, head, images, finding, value)
    return _wide(source, head, images, members, among)


def quality_shares(words: np.ndarray) -> dict[str, np.ndarray]:
    """Which images the quality checks rejected and doubted: 1, 0 and NaN; {} if nothing is known of any image.

    >>> {word: share.tolist() for word, share in quality_shares(np.array(["ok", "rejected", "unknown"])).items()}
    {'rejected': [0.0, 1.0, nan], 'doubtful': [0.0, 0.0, nan]}
    """
    unknown = (words == "unknown") | (words == "")
    if unknown.all():
        return {}
    return {word: np.where(unknown, np.nan, words == word).astype(np.float32) for word in (REJECTED, DOUBTFUL)}


class _Images:
    """Facts of images, collected in the order in which images first appear."""

    def __init__(self, head: CsvColumns, image: str | None) -> None:
        self.image = image
        self._error, self._quality = head.header("error"), head.header("quality")
        self._patient = head.header(*PATIENTS)
        study = head.header(*STUDIES)
        self._study = study if study != image else None
        self._path, self._of_studies = head.path, study is not None and study == image
        self.names: dict[str, int] = {}
        self.count = 0
        self._errors: list[np.ndarray] = []
        self._qualities: list[np.ndarray] = []
        self._patients: list[str] = []
        self._studies: list[str] = []

    @property
    def headers(self) -> list[str]:
        """The columns that are read."""
        found = (self.image, self._error, self._quality, self._patient, self._study)
        return list(dict.fromkeys(header for header in found if header is not None))

    def add(self, piece: Piece, rows: np.ndarray) -> None:
        """Adds new images, whose facts stand in these rows of a piece."""
        self.count += len(rows)
        if self._error is not None:
            texts = np.array(piece.texts(self._error), object)[rows]
            self._errors.append(np.array([text not in ("", UNTRAINED) for text in texts], bool))
        if self._quality is not None:
            words = np.array(piece.texts(self._quality), object)[rows]
            for row, word in zip(rows.tolist(), words, strict=True):
                if word not in QUALITIES and word.lower() not in MISSING:
                    raise piece.error(row, self._quality, f"{word!r} is none of {', '.join(QUALITIES)}")
            self._qualities.append(words)
        for header, texts_of in ((self._patient, self._patients), (self._study, self._studies)):
            if header is not None:
                texts_of += np.array(piece.texts(header), object)[rows].tolist()

    def shares(self) -> dict[str, np.ndarray]:
        """What the quality checks said, and which images could not be read; NaN where nothing was said."""
        found = {}
        if self._errors:
            found[UNREADABLE] = np.concatenate(self._errors).astype(np.float32)
        if self._qualities:
            found |= quality_shares(np.concatenate(self._qualities))
        return found

    def units(self) -> tuple[np.ndarray, Unit]:
        """Which patient each image is of; or which study; or else each for itself."""
        names = [*self.names] if self.names else [f"row {row}" for row in range(self.count)]
        header = self._patient or ""
        table = CsvColumns(self._path, tuple(range(len(names))), {header: tuple(self._patients)} if header else {})
        patients = patients_of(table, np.array(names))
        if patients is not None:
            return patients, "patient"
        studies = studies_of_columns(self._patients or [""] * len(names), self._studies) if self._studies else None
        if studies is None or not (studies != "").any():
            studies = np.array([study_of_name(name) for name in names])
        if (studies != "").any():
            return np.where(studies == "", np.array([f"image {name}" for name in names]), studies), "study"
        return np.arange(len(names)), "study" if self._of_studies else "image"


def _long(source: Written, head: CsvColumns, images: _Images, finding: str, value: str) -> Read:
    """A row per image and finding."""
    image = images.image
    if image is None:
        raise TableError(f"{source.path}: no column says which image a row is of; it has {shortened(source.headers)}")
    positive, threshold, error = head.header("positive"), head.header("threshold"), head.header("error")
    columns = [*images.headers, finding, value, *(h for h in (positive, threshold) if h is not None)]
    places: dict[str, int] = {}
    limits: dict[str, float] = {}
    untrained: set[str] = set()
    cells: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for piece in source.pieces(columns):
        codes, names = pd.factorize(np.array(piece.texts(image), object))
        first = np.unique(codes, return_index=True)[1]
        new = [i for i, name in enumerate(names) if name not in images.names]
        for i in new:
            images.names[names[i]] = len(images.names)
        images.add(piece, first[new])
        rows = np.array([images.names[name] for name in names], np.int64)[codes]
        kinds, found = pd.factorize(np.array(piece.texts(finding), object))
        for name in found:
            places.setdefault(name, len(places))
        column = np.array([places[name] for name in found], np.int64)[kinds]
        if error is not None:
            untrained |= {found[k] for k in np.unique(kinds[np.array(piece.texts(error), object) == UNTRAINED])}
        calls = _calls(piece, positive) if positive is not None else np.full(len(codes), np.nan)
        if threshold is not None:
            _add_limits(limits, piece, threshold, kinds, list(found))
        cells.append((rows, column, _finite(piece, value).astype(np.float32), calls.astype(np.float32)))
    n, k = len(images.names), len(places)
    rows, column = (np.concatenate([cell[i] for cell in cells]) for i in (0, 1))
    taken = np.bincount(rows * k + column, minlength=n * k)
    if (taken > 1).any():
        at = int(np.argmax(taken > 1))
        raise TableError(f"{source.path}: {[*images.names][at // k]!r} has {[*places][at % k]!r} twice")
    scores, calls = np.full((n, k), np.nan, np.float32), np.full((n, k), np.nan, np.float32)
    scores[rows, column] = np.concatenate([cell[2] for cell in cells])
    calls[rows, column] = np.concatenate([cell[3] for cell in cells])
    kept = [name for name in places if name not in untrained]
    at_place = [places[name] for name in kept]
    units, unit = images.units()
    period = Period(
        source.path.name, units, unit, tuple(kept), scores[:, at_place],
        calls[:, at_place] if positive is not None else None, images.shares(),
    )  # fmt: skip
    limits = {name: limit for name, limit in limits.items() if name not in untrained}
    return Read(period, "logits" if value.lower() == "logit" else "probabilities", limits, source.facts)


def _wide(
    source: Written,
    head: CsvColumns,
    images: _Images,
    members: Mapping[str, Sequence[str]],
    among: Sequence[str],
) -> Read:
    """A row per image, with findings or features as columns."""
    kind, notes, image = "probabilities", tuple[str, ...](), images.image
    # Beside custom findings any other number would be taken for one.
    facts = {*images.headers, head.header("images")}
    head = CsvColumns(head.path, head.lines, {h: texts for h, texts in head.columns.items() if h not in facts})
    try:
        chosen = prediction_columns(head, "auto", None, {*among})
        headers, kind, notes = chosen.headers, "logits" if chosen.are_logits else kind, chosen.notes
    except TableError:
        if not members:
            raise
        headers = {}
    found: list[np.ndarray] = []
    for piece in source.pieces([*images.headers, *headers.values()]):
        if image is not None:
            for row, name in enumerate(piece.texts(image)):
                if images.names.setdefault(name, len(images.names)) != images.count + row:
                    raise piece.error(row, image, f"{name!r} is in the table twice")
        images.add(piece, np.arange(len(piece)))
        values = [_finite(piece, header).astype(np.float32) for header in headers.values()]
        found.append(np.stack(values, 1) if values else np.empty((len(piece), 0), np.float32))
    units, unit = images.units()
    period = Period(source.path.name, units, unit, tuple(headers), np.concatenate(found), None, images.shares())
    return Read(period, kind, {}, source.facts, members, notes, source)


def _members(source: Written) -> dict[str, list[str]]:
    """The columns of features, as `zoo embed` names them: member and number."""
    found: dict[str, list[str]] = {}
    for header in source.headers:
        if match := _FEATURE.fullmatch(header):
            found.setdefault(match[1], []).append(header)
    for member, headers in found.items():
        if headers != [f"{member}_{i:04d}" for i in range(len(headers))]:
            raise TableError(
                f"{source.path}: the features of {member!r} are not numbered from 0 without gaps: {shortened(headers)}"
            )
    return found


def _finite(piece: Piece, header: str) -> np.ndarray:
    """A column of numbers, NaN where there is none."""
    values = piece.numbers(header)
    if np.isinf(values).any():
        raise piece.error(int(np.argmax(np.isinf(values))), header, "the number is not finite")
    return values


def _calls(piece: Piece, header: str) -> np.ndarray:
    """Calls as 1, 0 and NaN; in CSV they are words."""
    if not isinstance(piece, CsvColumns):
        return piece.numbers(header)
    words = {**LABEL_WORDS} | {"1": 1.0, "0": 0.0} | dict.fromkeys(MISSING, np.nan)
    values = np.empty(len(piece))
    for row, text in enumerate(piece.texts(header)):
        if text.lower() not in words:
            raise piece.error(row, header, f"true, false or nothing is needed, got {text!r}")
        values[row] = words[text.lower()]
    return values


def _add_limits(limits: dict[str, float], piece: Piece, header: str, kinds: np.ndarray, names: Sequence[str]) -> None:
    """Notes the threshold of each finding, of which a table must have one."""
    values = piece.numbers(header)
    for kind, name in enumerate(names):
        rows = np.flatnonzero((kinds == kind) & ~np.isnan(values))
        if not len(rows):
            continue
        limit = limits.setdefault(name, float(values[rows[0]]))
        if (other := rows[values[rows] != limit]).size:
            raise piece.error(
                int(other[0]), header, f"{name!r} has the threshold {values[other[0]]:.6g}, and {limit:.6g} before: "
                "the calls of one table need one decision"
            )  # fmt: skip
