"""The images of a period: which patient or study each is of, which could not be read, and what the checks said."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zoo.core.csv import MISSING, CsvColumns
from zoo.evaluation.files.long_form import UNTRAINED
from zoo.evaluation.files.rows import patients_of
from zoo.evaluation.period import Unit
from zoo.inference.written import Piece
from zoo.labels.columns import IMAGE_IDS, PATIENTS, STUDIES
from zoo.labels.facts import own_patient
from zoo.labels.studies import studies_of_columns, study_of_name
from zoo.release.tested import QUALITIES

#: Names of the facts of images.
UNREADABLE, REJECTED, DOUBTFUL = "unreadable", "rejected", "doubtful"


class Images:
    """Images of a table, in the order in which they first appear.

    Args:
        head: Its first rows, without features.

    Attributes:
        header: The column that names the images (or studies), or None.
        of_studies: Whether a row is of a study, whose images are joined.
    """

    def __init__(self, head: CsvColumns) -> None:
        self.header = head.header(*IMAGE_IDS) or head.header("study")
        self._path = head.path
        self._error, self._quality = head.header("error"), head.header("quality")
        self._patient = head.header(*PATIENTS)
        study = head.header(*STUDIES)
        self.of_studies = study is not None and study == self.header
        self._study = None if self.of_studies else study
        self._number: dict[str, int] = {}
        self._errors: list[np.ndarray] = []
        self._qualities: list[np.ndarray] = []
        self._patients: list[str] = []
        self._studies: list[str] = []

    def __len__(self) -> int:
        return len(self._number)

    @property
    def names(self) -> list[str]:
        """The name of each image."""
        return [*self._number]

    @property
    def headers(self) -> list[str]:
        """The columns that are read."""
        found = (self.header, self._error, self._quality, self._patient, self._study)
        return list(dict.fromkeys(header for header in found if header is not None))

    def add(self, piece: Piece) -> np.ndarray:
        """Adds the images of a piece, whose facts stand in the first row of each; returns each row's number, (rows,).

        Raises:
            TableError: An image has no name, or an unknown word of the quality checks.
        """
        if self.header is None:
            texts = [f"row {len(self) + row + 1}" for row in range(len(piece))]
        elif "" in (texts := list(piece.texts(self.header))):
            raise piece.error(texts.index(""), self.header, "the name is blank")
        codes, names = pd.factorize(np.array(texts, object))
        first = np.unique(codes, return_index=True)[1]
        new = [i for i, name in enumerate(names) if name not in self._number]
        self._number |= {names[i]: len(self) + place for place, i in enumerate(new)}
        self._add_facts(piece, first[new])
        return np.array([self._number[name] for name in names], np.int64)[codes]

    def _add_facts(self, piece: Piece, rows: np.ndarray) -> None:
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
        header, names = self._patient or "", self.names
        table = CsvColumns(self._path, tuple(range(len(self))), {header: tuple(self._patients)} if header else {})
        patients = patients_of(table, np.array(names))
        if patients is not None:
            return patients, "patient"
        studies = studies_of_columns(self._patients or [""] * len(self), self._studies) if self._studies else None
        if studies is None or not (studies != "").any():
            studies = np.array([study_of_name(name) for name in names])
        if (studies != "").any():
            return np.where(studies == "", np.array([own_patient(name) for name in names]), studies), "study"
        return np.arange(len(self)), "study" if self.of_studies else "image"


def quality_shares(words: np.ndarray) -> dict[str, np.ndarray]:
    """Which images the quality checks rejected and doubted: 1, 0 and NaN; {} if nothing is known of any image.

    >>> {word: share.tolist() for word, share in quality_shares(np.array(["ok", "rejected", "unknown"])).items()}
    {'rejected': [0.0, 1.0, nan], 'doubtful': [0.0, 0.0, nan]}
    """
    unknown = (words == "unknown") | (words == "")
    if unknown.all():
        return {}
    return {word: np.where(unknown, np.nan, words == word).astype(np.float32) for word in (REJECTED, DOUBTFUL)}
