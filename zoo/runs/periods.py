"""Reads the images of a period for `zoo monitor`, from a table that zoo has written; memory holds no features."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import MISSING, CsvColumns, shortened
from zoo.core.errors import TableError
from zoo.evaluation.files.long_form import UNTRAINED
from zoo.evaluation.period import Period
from zoo.inference.written import Piece, Written, open_written
from zoo.labels.facts import LABEL_WORDS
from zoo.labels.schemas import prediction_columns, without_prediction
from zoo.runs.period_images import Images

_FEATURE = re.compile(r"(.+)_(\d{4,})")


@dataclass(frozen=True, eq=False)
class Read:
    """A period as its file holds it.

    Attributes:
        period: Its images, without their features.
        kind: "probabilities", or "logits" where a name says so; with "of studies" behind it if images are joined.
        thresholds: Finding -> the threshold that made its calls; {} if calls are not known.
        facts: What the file states of its origin.
        members: Member -> the columns of its features.
        notes: What was assumed or left out.
        source: The file, of which features are read later; or None.
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
    finding, value = head.header("finding"), head.header("probability", "logit")
    if finding is not None and value is not None:
        return _long(source, Images(head), _Cells(head, finding, value))
    return _wide(source, head, Images(head), members, among)


def _long(source: Written, images: Images, cells: _Cells) -> Read:
    """A row per image and finding."""
    if images.header is None:
        raise TableError(f"{source.path}: no column says which image a row is of; it has {shortened(source.headers)}")
    for piece in source.pieces(list(dict.fromkeys((*images.headers, *cells.headers)))):
        cells.add(piece, images.add(piece))
    scores, calls = cells.matrices(images.names)
    period = Period(source.path.name, *images.units(), tuple(cells.findings), scores, calls, images.shares())
    return Read(period, _kind(cells.kind, images), cells.thresholds, source.facts)


def _wide(
    source: Written, head: CsvColumns, images: Images, members: Mapping[str, Sequence[str]], among: Sequence[str]
) -> Read:
    """A row per image, with findings or features as columns."""
    kind, notes = "probabilities", tuple[str, ...]()
    # Beside custom findings any other number would be taken for one.
    facts = {*images.headers, head.header("images")}
    head = CsvColumns(head.path, head.lines, {h: texts for h, texts in head.columns.items() if h not in facts})
    try:
        chosen = prediction_columns(head, "auto", None, {*among}, whole=False)
        headers, kind, notes = chosen.headers, "logits" if chosen.are_logits else kind, chosen.notes
    except TableError:
        if not members:
            raise
        headers = {}
    found: list[np.ndarray] = []
    for piece in source.pieces([*images.headers, *headers.values()]):
        start = len(images)
        again = np.flatnonzero(images.add(piece) != start + np.arange(len(piece)))
        if len(again) and images.header is not None:
            name = piece.texts(images.header)[again[0]]
            raise piece.error(int(again[0]), images.header, f"{name!r} is in the table twice")
        values = [_finite(piece, header).astype(np.float32) for header in headers.values()]
        found.append(np.stack(values, 1) if values else np.empty((len(piece), 0), np.float32))
    scores = np.concatenate(found)
    known = dict(zip(headers, ~np.isnan(scores).all(0), strict=True))
    if not any(known.values()) and not members:
        raise TableError(f"{source.path}: none of its {counted(len(scores), 'row')} has a prediction")
    if blank := [headers[finding] for finding in headers if not known[finding]]:
        notes += (without_prediction(source.path, blank),)
    headers = {finding: header for finding, header in headers.items() if known[finding]}
    scores = scores[:, list(known.values())]
    period = Period(source.path.name, *images.units(), tuple(headers), scores, None, images.shares())
    return Read(period, _kind(kind, images), {}, source.facts, members, notes, source)


def _kind(kind: str, images: Images) -> str:
    return f"{kind} of studies" if images.of_studies else kind


class _Cells:
    """Scores, calls and thresholds of a table with a row per image and finding.

    Args:
        head: Its first rows.
        finding: The column of findings.
        value: The column of scores.

    Attributes:
        kind: What the scores are, see `Read`.
    """

    def __init__(self, head: CsvColumns, finding: str, value: str) -> None:
        self.kind = "logits" if value.lower() == "logit" else "probabilities"
        self._path, self._finding, self._value = head.path, finding, value
        self._positive, self._threshold, self._error = map(head.header, ("positive", "threshold", "error"))
        self._place: dict[str, int] = {}
        self._untrained: set[str] = set()
        self._limits: dict[str, float] = {}
        self._cells: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    @property
    def headers(self) -> list[str]:
        """The columns that are read."""
        found = (self._finding, self._value, self._positive, self._threshold, self._error)
        return [header for header in found if header is not None]

    @property
    def findings(self) -> list[str]:
        """Those that the model was trained for."""
        return [finding for finding in self._place if finding not in self._untrained]

    @property
    def thresholds(self) -> dict[str, float]:
        """Finding -> its threshold, where there is one."""
        return {finding: self._limits[finding] for finding in self.findings if finding in self._limits}

    def add(self, piece: Piece, images: np.ndarray) -> None:
        """Adds rows, each of the image with this number."""
        kinds, names = pd.factorize(np.array(piece.texts(self._finding), object))
        for name in names:
            self._place.setdefault(name, len(self._place))
        places = np.array([self._place[name] for name in names], np.int64)[kinds]
        if self._error is not None:
            marks = np.array(piece.texts(self._error), object)
            self._untrained |= {names[kind] for kind in np.unique(kinds[marks == UNTRAINED])}
        if self._threshold is not None:
            _add_limits(self._limits, piece, self._threshold, kinds, list(names))
        calls = np.full(len(piece), np.nan) if self._positive is None else _calls(piece, self._positive)
        values = np.stack([_finite(piece, self._value), calls]).astype(np.float32)
        self._cells.append((images, places, values))

    def matrices(self, images: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
        """Scores and calls (None without) of all images and `findings`, float32 (n, k), NaN where there is none.

        Raises:
            TableError: An image has a finding twice.
        """
        rows, places, values = (np.concatenate(parts, -1) for parts in zip(*self._cells, strict=True))
        n, k = len(images), len(self._place)
        times = np.bincount(rows * k + places, minlength=n * k)
        if (times > 1).any():
            row, place = divmod(int(np.argmax(times > 1)), k)
            raise TableError(f"{self._path}: {images[row]!r} has {[*self._place][place]!r} twice")
        whole = np.full((2, n, k), np.nan, np.float32)
        whole[:, rows, places] = values
        scores, calls = whole[:, :, [self._place[finding] for finding in self.findings]]
        return scores, calls if self._positive is not None else None


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
