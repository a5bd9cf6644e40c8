"""Splits of a table into training, validation and test parts, by patient or by image, saved with a hash.

The training part fits the weights. The validation part is used for early stopping, the choice of the best weights,
temperature and thresholds. The test part is used for evaluation only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import MissingExtraError, SplitError
from zoo.core.files import write_json
from zoo.core.warn import warn_user
from zoo.data import split_file
from zoo.data.split_spec import SplitSpec as SplitSpec  # public under this name too
from zoo.data.split_spec import check_patients as check_patients
from zoo.data.stratify import stratify_patients
from zoo.data.tables.reading import labels_of
from zoo.labels import facts
from zoo.labels.parts import PARTS, part_of


@dataclass(frozen=True, eq=False)
class Split:
    """The rows of a table in each part. Two splits are equal if their hashes are equal.

    Attributes:
        parts: Part -> sorted int64 row positions.
        by: "patient" or "image".
        seed: Seed of the random assignment.
        hash: Hex sha256 over part, image name and patient of every row, independent of the order of the rows.
        fractions: The requested shares.
        names: Part -> image names, in the order of `parts`.
        patients: Part -> patient of each of these images, "" if unknown. Each image without a patient is treated as
            a patient of its own.
        positives: Part -> finding -> number of images with a positive label.
    """

    parts: Mapping[str, np.ndarray]
    by: str
    seed: int
    hash: str
    fractions: tuple[float, ...] = ()
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    patients: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    positives: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def __str__(self) -> str:
        sizes = ", ".join(f"{len(rows)} {part}" for part, rows in self.parts.items())
        return f"split by {self.by}: {sizes} (hash {self.hash[:12]})"

    def rows(self, part: str) -> np.ndarray:
        """Returns the sorted int64 row positions of a part; raises `SplitError` if there is no such part."""
        if part not in self.parts:
            raise SplitError(f"no part {part!r} in this split; there are {', '.join(self.parts)}")
        return self.parts[part]

    def save(self, path: str | Path) -> None:
        """Writes the manifest (JSON) atomically."""
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
        head = {
            "format": split_file.FORMAT_VERSION,
            "by": self.by,
            "seed": self.seed,
            "fractions": list(self.fractions),
        }
        write_json(path, head | {"hash": self.hash, "parts": parts})

    @classmethod
    def load(cls, path: str | Path, table: pd.DataFrame) -> Split:
        """Reads a manifest and finds its images in a table, whose rows may be in another order.

        Raises:
            FileNotFoundError: No such file.
            SplitError: The file is no manifest or one of a newer version, the table has other images, or a part or
                patient was altered.
        """
        saved = split_file.read(Path(path))
        names = {part: tuple(held["images"]) for part, held in saved["parts"].items()}
        if set(map(part_of, names)) != set(PARTS) or len(names) != len(PARTS):
            raise SplitError(f"{path}: parts must be {', '.join(PARTS)}, got {', '.join(names)}")
        row_of = dict(zip(table["Image_name"], range(len(table)), strict=True))
        split_file.check_names(Path(path), [name for part in names.values() for name in part], row_of)
        parts = {part: np.sort(np.array([row_of[n] for n in found], np.int64)) for part, found in names.items()}
        if _hash(table, parts) != saved["hash"]:
            changed = split_file.what_changed(saved["parts"], _patients(table), row_of)
            raise SplitError(f"{path}: {changed}")
        # The hash covers the part names in the file; older files call the validation part "tune".
        parts = {part_of(part): rows for part, rows in parts.items()}
        positives = {part_of(part): held["positives"] for part, held in saved["parts"].items()}
        in_order = {part: tuple(table["Image_name"].iloc[rows]) for part, rows in parts.items()}
        fractions, patients = tuple(saved["fractions"]), _patients(table)
        of = {part: tuple(patients[rows]) for part, rows in parts.items()}
        return cls(parts, saved["by"], saved["seed"], saved["hash"], fractions, in_order, of, positives)


def make_split(table: pd.DataFrame, findings: Sequence[str], spec: SplitSpec) -> Split:
    """Splits the rows of a canonical table.

    By patient, all images of a patient go to one part. Iterative stratification makes the number of images and the
    prevalence of every finding follow the fractions, and a finding of at least three patients occurs in every part.
    The result does not depend on the order of the rows. A row without a patient is treated as a patient of its own; a
    warning counts these rows, since images of one person may then be in several parts.

    By image, the training part is that of scikit-learn's `train_test_split(rows, test_size=..., random_state=seed)`,
    and the rest is split again in the same way. A warning counts the patients with images in several parts.

    Args:
        table: A canonical table.
        findings: The findings to stratify by.
        spec: How to split.

    Raises:
        SplitError: No row has a patient (by patient), or there are too few patients or images for three parts.

    Example:
        >>> names = [f"{i}.png" for i in range(20)]
        >>> patients = [str(i // 2) for i in range(20)]
        >>> table = pd.DataFrame({"Image_name": names, "Patient_ID": patients, "Edema": [1.0, 0.0] * 10})
        >>> split = make_split(table, ["Edema"], SplitSpec(fractions=(0.6, 0.2, 0.2)))
        >>> {part: len(rows) for part, rows in split.parts.items()}, leaked_patients(table, split)
        ({'train': 12, 'validation': 4, 'test': 4}, 0)
    """
    assign = _by_patient if spec.by == "patient" else _by_image
    parts = {part: np.sort(rows).astype(np.int64) for part, rows in assign(table, findings, spec).items()}
    empty = [part for part, rows in parts.items() if not len(rows)]
    if empty:
        raise SplitError(
            f"{counted(len(table), 'image is', 'images are')} too few for {spec.by}-level parts: {empty[0]!r} is empty"
        )
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


def with_training_rows(split: Split, table: pd.DataFrame) -> Split:
    """Returns a split of the first rows of a table with all of its further rows in the training part.

    Args:
        split: Split of the first rows.
        table: The whole table.

    Example:
        >>> names, patients = [f"{i}.png" for i in range(20)], [str(i // 2) for i in range(20)]
        >>> table = pd.DataFrame({"Image_name": names, "Patient_ID": patients, "Edema": [1.0, 0.0] * 10})
        >>> split = make_split(table.head(12), ["Edema"], SplitSpec(fractions=(0.4, 0.3, 0.3)))
        >>> [len(with_training_rows(split, table).rows(part)) - len(split.rows(part)) for part in split.parts]
        [8, 0, 0]
    """
    n = sum(len(rows) for rows in split.parts.values())
    more = np.arange(n, len(table), dtype=np.int64)
    parts = {part: np.concatenate([rows, more]) if part == "train" else rows for part, rows in split.parts.items()}
    patients = _patients(table)
    return replace(
        split,
        parts=parts,
        hash=_hash(table, parts),
        names={part: tuple(table["Image_name"].iloc[rows]) for part, rows in parts.items()},
        patients={part: tuple(patients[rows]) for part, rows in parts.items()},
    )


def patients_of(table: pd.DataFrame) -> np.ndarray:
    """Returns each row's patient as text, object (n,); a row without a patient gets an identifier of its own."""
    return facts.patients(list(_patients(table)), list(table["Image_name"]))


def leaked_patients(table: pd.DataFrame, split: Split) -> int:
    """Counts the patients with images in more than one part; rows without a patient are left out."""
    part_of = np.full(len(table), "", object)
    for part, rows in split.parts.items():
        part_of[rows] = part
    placed = part_of != ""
    parts = pd.Series(part_of[placed]).groupby(table["Patient_ID"].to_numpy()[placed]).nunique()
    return int((parts > 1).sum())


def _by_patient(table: pd.DataFrame, findings: Sequence[str], spec: SplitSpec) -> dict[str, np.ndarray]:
    check_patients(table, spec)
    patients, group = np.unique(patients_of(table).astype(str), return_inverse=True)
    if len(patients) < len(PARTS):
        raise SplitError(f"a split by patient needs at least {len(PARTS)} patients, got {len(patients)}")
    part_of = stratify_patients(labels_of(table, findings), group, spec.shares, spec.seed)
    return {part: np.flatnonzero(part_of == i) for i, part in enumerate(PARTS)}


def _by_image(table: pd.DataFrame, findings: Sequence[str], spec: SplitSpec) -> dict[str, np.ndarray]:
    try:
        from sklearn.model_selection import train_test_split
    except ImportError as error:
        raise MissingExtraError("a split by image", "scikit-learn", "train", "or split by patient") from error
    if len(table) < 2 * len(PARTS):
        raise SplitError(f"a split by image needs at least {2 * len(PARTS)} images, got {len(table)}")
    _, validation, test = spec.shares
    # Rounded, since 0.1 + 0.2 is slightly above 0.3 and scikit-learn rounds the number of images up.
    held_out = round(validation + test, 9)
    train_rows, rest = train_test_split(np.arange(len(table)), test_size=held_out, random_state=spec.seed)
    n_test = min(max(round(len(rest) * test / held_out), 1), len(rest) - 1)
    validation_rows, test_rows = train_test_split(rest, test_size=n_test, random_state=spec.seed)
    return dict(zip(PARTS, (train_rows, validation_rows, test_rows), strict=True))


def _warn_of_leaks(table: pd.DataFrame, split: Split) -> None:
    leaked = leaked_patients(table, split) if split.by == "image" else 0
    if leaked:
        warn_user(
            f"split by image: {counted(leaked, 'patient has', 'patients have')} images in more than one part (data "
            "leakage), so scores will be "
            "too high; by='patient' avoids this"
        )
    unknown = np.flatnonzero(table["Patient_ID"].isna())
    if len(unknown):
        some = f"{len(unknown):,} of {len(table):,} rows do not name their patient"
        warn_user(
            f"split by {split.by}: {some} (first: {table['Image_name'].iloc[unknown[0]]!r}); each is treated as a "
            "patient of its own, so images of one person may be in several parts without being counted"
        )


def _hash(table: pd.DataFrame, parts: Mapping[str, np.ndarray]) -> str:
    names, patients = table["Image_name"].to_numpy(), _patients(table)
    rows = sorted([part, str(names[i]), patients[i]] for part, rows in parts.items() for i in rows)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _patients(table: pd.DataFrame) -> np.ndarray:
    """Each row's patient as text, object (n,), "" if unknown."""
    known = table["Patient_ID"].notna().to_numpy()
    return np.where(known, table["Patient_ID"].astype(str).to_numpy(object), "")
