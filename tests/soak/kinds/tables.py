"""Damaged and rewritten CSV files: a table is refused in one line, or the cells that were not changed stay."""

from __future__ import annotations

import csv
import gzip
import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soak import Trial, Wrong, mutation
from soak.mutation import Rng
from soak.sandbox import confined
from zoo.core.errors import ZooError
from zoo.data.tables.reading import findings_of, read_table
from zoo.evaluation.files.labels import read_labels
from zoo.evaluation.files.predictions import read_predictions
from zoo.evaluation.files.rows import Rows
from zoo.evaluation.files.study import read_files

AIM, SECONDS, CLOCK, MEMORY = 2_000, 5.0, "processor", 512 << 20

ROWS, FINDINGS = 12, ("Edema", "Cardiomegaly", "Pleural Effusion", "No Finding")

#: Identifier of a row -> finding -> value.
Cells = dict[str, dict[str, float]]

#: What a cell may become.
CELLS = (
    "", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1", "2", "0.5", "1,0", "1.0", "0x1", "yes", "positive", "no",
    "TRUE", "=1+1", "\x00", "\ud7ff", "١", "1\n", '"', "'1", "1e-400", "9" * 400, "x" * 20_000, "../../etc/passwd",
    "1;0",    "1|0", "Edema", "-", "None", "null", "#N/A", "1 ", "\u202e1", "1_0", "+1", "00", "1e0", "ſ",
    "/dev/zero", "C:\\a.png",
)  # fmt: skip


@dataclass(frozen=True)
class Source:
    """A sort of table: its rows as texts, and what reads them."""

    rows: list[list[str]]
    read: Callable[[Path], Cells]
    file: str = "table.csv"


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    images = folder / "images"
    images.mkdir()
    names = [f"{i:08d}_000.png" for i in range(ROWS)]
    for name in names:
        (images / name).write_bytes(b"")
    sources = _sources(names, folder)
    sound = {name: source.read(_written(folder, source, _text(source.rows))) for name, source in sources.items()}

    def trial(number: int, rng: Rng) -> str:
        name = [*sources][number % len(sources)]
        source = sources[name]
        data, done, kept = _mutant(source.rows, rng)
        path = _written(folder, source, data)
        with confined(folder), warnings.catch_warnings(action="ignore"):
            try:
                found = source.read(path)
            except (ZooError, FileNotFoundError) as error:
                text = str(error)
                if not text.isprintable() or len(text) > 2000:
                    raise Wrong(f"{name}, {done}: no short line: {text[:2500]!r}") from None
                if done in SAME:
                    raise Wrong(f"{name}, {done}: refused: {text}") from None
                return f"{name}, {done}: refused"
        _compare(found, sound[name], kept, f"{name}, {done}", name == "predictions")
        return f"{name}, {done}: read"

    yield trial


#: Ways to write the same table, which have to be read as the same.
SAME = ("rows in another order", "columns in another order", "quoted", "other ends of lines", "a byte order mark")


def _compare(found: Cells, wanted: Cells, kept: set[tuple[int, int]] | None, what: str, scores: bool) -> None:
    """Numbers are numbers; where single cells were changed, all others are as they were."""
    for values in found.values():
        for finding, value in values.items():
            if np.isinf(value) or not (np.isnan(value) or value in (-1, 0, 1) or scores):
                raise Wrong(f"{what}: {finding} is {value}")
    if kept is None:
        return
    changed_rows = {row for row, _ in kept}
    for row, (identifier, values) in enumerate(wanted.items()):
        if row in changed_rows:
            continue
        own = found.get(identifier)
        if own is None:
            raise Wrong(f"{what}: row {row} is gone")
        for finding, value in values.items():
            if finding in own and not (own[finding] == value or (np.isnan(own[finding]) and np.isnan(value))):
                raise Wrong(f"{what}: {finding} of row {row} is {own[finding]}, was {value}")


def _mutant(rows: list[list[str]], rng: Rng) -> tuple[bytes, str, set[tuple[int, int]] | None]:
    """A file, what was done, and which cells (row, column) were changed; None where that cannot be said."""
    way = rng.random()
    if way < 0.25:
        return (*mutation.blind(_text(rows), rng), None)
    if way < 0.45:
        name = SAME[rng.integers(len(SAME))]
        return _same(rows, name, rng), name, set()
    changed = [list(row) for row in rows]
    if way < 0.8:
        cells = set()
        for _ in range(rng.integers(1, 4)):
            row, column = int(rng.integers(1, len(rows))), int(rng.integers(len(rows[0])))
            changed[row][column] = CELLS[rng.integers(len(CELLS))]
            cells.add((row - 1, column))
        return _text(changed), "cells changed", cells
    if way < 0.9:
        column = int(rng.integers(len(rows[0])))
        changed[0][column] = str(
            rng.choice([*CELLS[:10], *rows[0], *FINDINGS, "Image Index", "Patient ID", "a" * 70_000])
        )
        return _text(changed), "a header changed", None
    return _rows_changed(changed, rng)


def _rows_changed(rows: list[list[str]], rng: Rng) -> tuple[bytes, str, None]:
    at, way = int(rng.integers(1, len(rows))), int(rng.integers(5))
    if way == 0:
        rows.insert(at, list(rows[int(rng.integers(1, len(rows)))]))
        return _text(rows), "a row twice", None
    if way == 1:
        rows[at] = rows[at][: rng.integers(len(rows[at]))]
        return _text(rows), "a row too short", None
    if way == 2:
        rows[at] += ["1"] * int(rng.choice([1, 2, 5000]))
        return _text(rows), "a row too long", None
    if way == 3:
        return _text([row + row[1:] for row in rows]), "columns twice", None
    encoding = str(rng.choice(["utf-16", "utf-16-le", "utf-7", "latin-1", "utf-32", "gzip"]))
    text = _text(rows)
    return (gzip.compress(text) if encoding == "gzip" else text.decode().encode(encoding)), f"in {encoding}", None


def _same(rows: list[list[str]], name: str, rng: Rng) -> bytes:
    if name == "rows in another order":
        return _text([rows[0], *(rows[i] for i in 1 + rng.permutation(len(rows) - 1))])
    if name == "columns in another order":
        order = rng.permutation(len(rows[0]))
        return _text([[row[i] for i in order] for row in rows])
    if name == "quoted":
        return _text(rows, quoting=csv.QUOTE_ALL)
    if name == "other ends of lines":
        return _text(rows).replace(b"\r\n", [b"\n", b"\r\n", b"\n\n"][rng.integers(3)])
    return b"\xef\xbb\xbf" + _text(rows)


def _text(rows: list[list[str]], **options: int) -> bytes:
    file = io.StringIO()
    csv.writer(file, **options).writerows(rows)
    return file.getvalue().encode("utf-8", "surrogatepass")


def _written(folder: Path, source: Source, data: bytes) -> Path:
    path = folder / source.file
    path.write_bytes(data)
    return path


def _sources(names: list[str], folder: Path) -> dict[str, Source]:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, (ROWS, len(FINDINGS)))
    labels[:, 3] = ~labels[:, :3].any(axis=1)
    numbers = [[str(round(float(v), 6)) for v in row] for row in rng.random((ROWS, len(FINDINGS)))]
    texts = [[str(v) for v in row] for row in labels.tolist()]
    listed = ["|".join(f for f, v in zip(FINDINGS, row, strict=True) if v) or "No Finding" for row in labels.tolist()]
    people = [[str(i // 2), str(30 + i), "MF"[i % 2]] for i in range(ROWS)]
    plain = [["image", "patient", "age", "sex", *FINDINGS]]
    plain += [[n, *p, *t] for n, p, t in zip(names, people, texts, strict=True)]
    nih = [["Image Index", "Finding Labels", "Patient ID", "Patient Age", "Patient Gender", "View Position"]]
    nih += [[n, f.replace("Pleural ", ""), *p, "PA"] for n, f, p in zip(names, listed, people, strict=True)]
    scores = [["Image Index", *(f"prob_{f}" for f in FINDINGS)]]
    scores += [[n, *row] for n, row in zip(names, numbers, strict=True)]
    truth = [["Image Index", *FINDINGS], *([n, *t] for n, t in zip(names, texts, strict=True))]
    other = folder / "truth.csv"
    other.write_bytes(_text(truth))

    def study(path: Path) -> Cells:
        found = read_files([path], other)
        (only,) = found.scores.values()
        ids = [*map(str, found.ids)]
        return {
            i: dict(zip(only.findings, map(float, row), strict=True)) for i, row in zip(ids, only.labels, strict=True)
        }

    return {
        "a table of anybody's": Source(plain, lambda path: _cells("csv", path, folder)),
        "NIH's table": Source(nih, lambda path: _cells("nih", path, folder), "Data_Entry.csv"),
        "predictions": Source(scores, lambda path: _rows(read_predictions(path))),
        "labels": Source(truth, lambda path: _rows(read_labels(path, FINDINGS))),
        "predictions and labels": Source(scores, study),
    }


def _cells(dataset: str, path: Path, folder: Path) -> Cells:
    table = read_table(dataset, folder, labels=path, images=folder / "images", uncertain="keep")
    found = findings_of(table)
    return {
        str(name): dict(zip(found, map(float, row), strict=True))
        for name, row in zip(table["Image_name"], table[list(found)].to_numpy(float), strict=True)
    }


def _rows(found: Rows) -> Cells:
    return {
        str(i): dict(zip(found.findings, map(float, row), strict=True))
        for i, row in zip(found.ids, found.values, strict=True)
    }
