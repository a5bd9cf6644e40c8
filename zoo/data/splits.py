"""Train, validation and test parts: made by patient (or, as the original did, by image), saved with a hash.

The train part is learnt from. The validation part serves early stopping, the choice of the checkpoint, temperature and
thresholds. The test part is reported and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from zoo.core.errors import SplitError
from zoo.core.files import write_json
from zoo.core.warn import warn_user
from zoo.data.stratify import stratify_groups
from zoo.data.tables.reading import labels_of
from zoo.labels import facts
from zoo.labels.parts import PARTS, part_of

#: Version of the saved form; a newer one is refused.
FORMAT_VERSION = 1


@dataclass(frozen=True)
class SplitSpec:
    """How to split.

    Attributes:
        by: "patient" keeps all images of a patient in one part; "image" lets them leak (the original's way).
        fractions: Shares of train, validation and test in the images, or () for the usual ones: 0.7, 0.1, 0.2 by
            patient, and by image 0.8, 0.1, 0.1 (the original's training part, its validation part halved).
        seed: Of the one random draw.
    """

    by: Literal["patient", "image"] = "patient"
    fractions: tuple[float, ...] = ()
    seed: int = 42

    def __post_init__(self) -> None:
        if self.by not in ("patient", "image"):
            raise SplitError(f"split by 'patient' or 'image', got {self.by!r}")
        shares = self.shares
        if len(shares) != len(PARTS) or not min(shares) > 0 or not math.isclose(sum(shares), 1.0, abs_tol=1e-6):
            raise SplitError(f"fractions must be shares of {', '.join(PARTS)} above 0, with sum 1, got {shares}")

    @property
    def shares(self) -> tuple[float, ...]:
        """The fractions that hold: the given ones, or the usual ones of `by`."""
        return self.fractions or {"patient": (0.7, 0.1, 0.2), "image": (0.8, 0.1, 0.1)}[self.by]


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows of a table are in which part. Two splits are the same when their hashes are.

    Attributes:
        parts: Part -> sorted int64 row positions.
        by: "patient" or "image".
        seed: The seed it was made with.
        hash: Hex sha256 over part, image name and patient of every row; the order of the rows does not count.
        fractions: The shares asked for.
        names: Part -> image names, in the order of `parts`.
        patients: Part -> patient of each of these images, "" where unknown: then it is taken for one of its own.
        positives: Part -> finding -> images with a 1.
    """

    parts: Mapping[str, np.ndarray]
    by: str
    seed: int
    hash: str
    fractions: tuple[float, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    positives: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def rows(self, part: str) -> np.ndarray:
        """Sorted int64 row positions of a part; `SplitError` on a name that is none."""
        if part not in self.parts:
            raise SplitError(f"no part {part!r} in this split; there are {', '.join(self.parts)}")
        return self.parts[part]

    def save(self, path: str | Path) -> None:
        """Writes the manifest (JSON) in one step: a reader finds the old file or the whole new one."""
        parts = {
            part: {
                "n": len(names),
                "unknown_patients": list(self.patients.get(part, ())).count(""),
                "positives": dict(self.positives.get(part, {})),
                "images": list(names),
                "patients": list(self.patients.get(part, ())),
            }
            for part, names in self.names.items()
        }
        head = {"format": FORMAT_VERSION, "by": self.by, "seed": self.seed, "fractions": list(self.fractions)}
        write_json(path, head | {"hash": self.hash, "parts": parts})

    @classmethod
    def load(cls, path: str | Path, table: pd.DataFrame) -> Split:
        """Reads a manifest and finds its images in `table`, whose rows may have another order.

        Raises:
            FileNotFoundError: No such file.
            SplitError: No manifest, a newer one, other images than the table's, an altered part or patient.
        """
        saved = _read(Path(path))
        names = {part: tuple(held["images"]) for part, held in saved["parts"].items()}
        if set(map(part_of, names)) != set(PARTS) or len(names) != len(PARTS):
            raise SplitError(f"{path}: parts must be {', '.join(PARTS)}, got {', '.join(names)}")
        row_of = dict(zip(table["Image_name"], range(len(table)), strict=True))
        _check_names(Path(path), [name for part in names.values() for name in part], row_of)
        parts = {part: np.sort(np.array([row_of[n] for n in found], np.int64)) for part, found in names.items()}
        if _hash(table, parts) != saved["hash"]:
            raise SplitError(f"{path}: its hash is not that of its parts and the table's patients; one was altered")
        # The hash is over the names that the file has: older ones say "tune".
        parts = {part_of(part): rows for part, rows in parts.items()}
        positives = {part_of(part): held["positives"] for part, held in saved["parts"].items()}
        in_order = {part: tuple(table["Image_name"].iloc[rows]) for part, rows in parts.items()}
        fractions, patients = tuple(saved["fractions"]), _patients(table)
        of = {part: tuple(patients[rows]) for part, rows in parts.items()}
        return cls(parts, saved["by"], saved["seed"], saved["hash"], fractions, in_order, of, positives)


def make_split(table: pd.DataFrame, findings: Sequence[str], spec: SplitSpec) -> Split:
    """Splits the rows of a canonical table.

    By patient, whole patients are shared out by iterative stratification: sizes and the prevalence of every finding
    follow the fractions, and a finding that three patients have reaches every part. The order of the rows does not
    count. A row without a patient is taken for a patient of its own; a warning counts these, since images of one
    person may then be in several parts.

    By image, train is exactly what scikit-learn's `train_test_split(rows, test_size=..., random_state=seed)` gives, and
    its rest is split again in the same way; a warning counts the patients that this leaks.

    Args:
        table: A canonical table.
        findings: What to stratify by.
        spec: How to split.

    Raises:
        SplitError: No row names its patient (by patient), or too few patients or images for three parts.
    """
    assign = _by_patient if spec.by == "patient" else _by_image
    parts = {part: np.sort(rows).astype(np.int64) for part, rows in assign(table, findings, spec).items()}
    empty = [part for part, rows in parts.items() if not len(rows)]
    if empty:
        raise SplitError(f"{len(table)} images are too few for {spec.by}-level parts: {empty[0]!r} is empty")
    labels = labels_of(table, findings)
    counts = {part: (labels[rows] == 1).sum(0) for part, rows in parts.items()}
    patients = _patients(table)
    split = Split(
        parts=parts,
        by=spec.by,
        seed=spec.seed,
        hash=_hash(table, parts),
        fractions=spec.shares,
        names={part: tuple(table["Image_name"].iloc[rows]) for part, rows in parts.items()},
        patients={part: tuple(patients[rows]) for part, rows in parts.items()},
        positives={part: dict(zip(findings, map(int, found), strict=True)) for part, found in counts.items()},
    )
    _warn_of_leaks(table, split)
    return split


def patients_of(table: pd.DataFrame) -> np.ndarray:
    """(n,) object array: each row's patient as text; a row without one is a patient of its own, and of no other."""
    return facts.patients(list(_patients(table)), list(table["Image_name"]))


def leaked_patients(table: pd.DataFrame, split: Split) -> int:
    """Number of patients with images in more than one part; rows without a patient are not counted."""
    part_of = np.full(len(table), "", object)
    for part, rows in split.parts.items():
        part_of[rows] = part
    placed = part_of != ""
    parts = pd.Series(part_of[placed]).groupby(table["Patient_ID"].to_numpy()[placed]).nunique()
    return int((parts > 1).sum())


def _by_patient(table: pd.DataFrame, findings: Sequence[str], spec: SplitSpec) -> dict[str, np.ndarray]:
    unknown = table["Patient_ID"].isna().to_numpy()
    if unknown.all():
        raise SplitError(
            f"a split by patient needs Patient_ID: none of {len(table)} rows has one; add it, or split with by='image'"
        )
    patients, group = np.unique(patients_of(table).astype(str), return_inverse=True)
    if len(patients) < len(PARTS):
        raise SplitError(f"a split by patient needs at least {len(PARTS)} patients, got {len(patients)}")
    labels = labels_of(table, findings)
    # Negatives count as labels too: where labels have gaps they decide the prevalence, and an AUC needs both.
    marks = np.concatenate([labels == 1, labels == 0], axis=1)
    counts = np.stack([np.bincount(group, weights=mark, minlength=len(patients)) for mark in marks.T], axis=1)
    part_of = stratify_groups(counts, np.bincount(group), spec.shares, spec.seed)
    return {part: np.flatnonzero(part_of[group] == i) for i, part in enumerate(PARTS)}


def _by_image(table: pd.DataFrame, findings: Sequence[str], spec: SplitSpec) -> dict[str, np.ndarray]:
    from sklearn.model_selection import train_test_split

    if len(table) < 2 * len(PARTS):
        raise SplitError(f"a split by image needs at least {2 * len(PARTS)} images, got {len(table)}")
    _, validation, test = spec.shares
    # Rounded, since 0.1 + 0.2 lies a hair above 0.3 and scikit-learn rounds the number of images up.
    held_out = round(validation + test, 9)
    train_rows, rest = train_test_split(np.arange(len(table)), test_size=held_out, random_state=spec.seed)
    n_test = min(max(round(len(rest) * test / held_out), 1), len(rest) - 1)
    validation_rows, test_rows = train_test_split(rest, test_size=n_test, random_state=spec.seed)
    return dict(zip(PARTS, (train_rows, validation_rows, test_rows), strict=True))


def _warn_of_leaks(table: pd.DataFrame, split: Split) -> None:
    leaked = leaked_patients(table, split) if split.by == "image" else 0
    if leaked:
        warn_user(
            f"split by image: {leaked} patients have images in more than one part, so scores will flatter; "
            "by='patient' avoids it"
        )
    unknown = np.flatnonzero(table["Patient_ID"].isna())
    if len(unknown):
        some = f"{len(unknown):,} of {len(table):,} rows do not name their patient"
        warn_user(
            f"split by {split.by}: {some} (first: {table['Image_name'].iloc[unknown[0]]!r}); each is taken for a "
            "patient of its own, so images of one person may be in several parts without being counted"
        )


def _hash(table: pd.DataFrame, parts: Mapping[str, np.ndarray]) -> str:
    names, patients = table["Image_name"].to_numpy(), _patients(table)
    rows = sorted([part, str(names[i]), patients[i]] for part, rows in parts.items() for i in rows)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _patients(table: pd.DataFrame) -> np.ndarray:
    """(n,) objects: each row's patient as text, "" where unknown."""
    known = table["Patient_ID"].notna().to_numpy()
    return np.where(known, table["Patient_ID"].astype(str).to_numpy(object), "")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such split manifest")
    try:
        saved = json.loads(path.read_text("utf-8"))
        version = saved["format"]
        complete = {"by", "seed", "fractions", "hash"} <= saved.keys() and all(
            isinstance(held["images"], list) and isinstance(held["positives"], dict) for held in saved["parts"].values()
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SplitError(f"{path}: not a split manifest ({type(error).__name__}: {error})") from None
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise SplitError(f"{path}: format {version!r} is newer than this version reads (up to {FORMAT_VERSION})")
    if not complete:
        raise SplitError(f"{path}: not a split manifest: a field is missing")
    return saved


def _check_names(path: Path, names: Sequence[str], row_of: Mapping[str, int]) -> None:
    unknown = [name for name in names if name not in row_of]
    if unknown:
        raise SplitError(f"{path}: {len(unknown)} of its images are not in the table (first: {unknown[0]!r})")
    if len(set(names)) != len(names):
        raise SplitError(f"{path}: an image is in it twice; it was altered")
    if len(names) != len(row_of):
        extra = next(name for name in row_of if name not in set(names))
        raise SplitError(f"{path}: {len(row_of) - len(names)} images of the table are not in it (first: {extra!r})")
