"""What `zoo probe` fits heads on: a table, the features of its images, and their split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.files import write_text
from zoo.core.progress import Progress, tell_warnings
from zoo.data import splits
from zoo.data.identity import DataIdentity
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.decision import probabilities
from zoo.evaluation.result.probing import ClassCounts
from zoo.evaluation.scores import Scores
from zoo.evaluation.untrained import left_out
from zoo.inference.embedding import embedder
from zoo.inference.feature_store import features_of
from zoo.inference.predictor import Predictor
from zoo.runs import training_data
from zoo.training.probes import folds
from zoo.training.probes.learning import Sample
from zoo.training.probes.spec import ProbeSpec


@dataclass(frozen=True, eq=False)
class ProbeData:
    """The usable rows of a table.

    Attributes:
        table: The rows whose images can be read.
        features: Member -> float (n, features).
        digests: Digest of each image file; "" where it is not known.
        split: Its split into training, validation and test parts.
        labels: (n, findings) of 1, 0 and NaN.
        findings: Names of the columns of `labels`.
    """

    table: pd.DataFrame
    features: Mapping[str, np.ndarray]
    digests: tuple[str, ...]
    split: splits.Split
    labels: np.ndarray
    findings: tuple[str, ...]

    @property
    def patients(self) -> np.ndarray:
        """(n,) patient of each row, as text."""
        return splits.patients_of(self.table).astype(str)

    @property
    def train_rows(self) -> np.ndarray:
        """Rows of the training part."""
        return self.split.rows("train")

    @property
    def tested(self) -> pd.DataFrame:
        """The table of the test part."""
        return self.table.iloc[self.split.rows("test")]

    def scores(self, part: str, logits: np.ndarray, trained: Sequence[bool]) -> Scores:
        """Returns logits (n, findings) of one part with its labels; findings that are not trained are left out."""
        rows = self.split.rows(part)
        values, labels, _ = left_out(logits[rows], self.labels[rows], self.findings, trained)
        patients = splits.patients_of(self.table)[rows]
        return Scores(values, labels, self.findings, part, self.split.hash, patients)


def read(
    model: Predictor,
    data: Path,
    dataset: str,
    columns: TableSpec | None,
    spec: ProbeSpec,
    run: Path,
    progress: Progress,
) -> ProbeData:
    """Reads a table, computes the features of its images and splits it; the files of these lie in the run folder.

    The arguments are those of `runs.probe.probe`.
    """
    with tell_warnings(progress):
        table = reading.read_table(dataset, data, columns=columns, say=progress.message)
    splits.check_patients(table, spec.split)
    findings = reading.findings_of(table)
    table, missing = reading.drop_missing(table)
    made = embedder(model)
    stored = features_of(model, made, list(table["Image_path"]), run, progress)
    readable = np.array([path not in stored.unreadable for path in table["Image_path"]])
    table, unreadable = reading.drop_unreadable(table, stored.unreadable)
    skipped = pd.concat([missing, unreadable], ignore_index=True)
    training_data.list_skipped(skipped, len(table), run / "skipped.csv", progress)
    with tell_warnings(progress):
        split = splits.make_split(table, findings, spec.split)
    split.save(run / "split.json")
    DataIdentity.of(table, findings, stored.digests).save(run / "data.json")
    progress.message(str(split))
    ends = np.cumsum([0, *made.sizes.values()])
    by_member = {
        member: stored.features[readable, start:end]
        for member, start, end in zip(made.sizes, ends, ends[1:], strict=False)
    }
    digests = tuple(stored.digests.get(path, "") for path in table["Image_path"])
    return ProbeData(table, by_member, digests, split, reading.labels_of(table, findings), findings)


def sample(held: ProbeData, rows: np.ndarray, able: Sequence[int], spec: ProbeSpec) -> Sample:
    """Returns some rows, in folds by patient, as what heads are fitted on.

    Args:
        held: The data.
        rows: Indices of rows.
        able: Indices of the findings that can be fitted.
        spec: How many folds, and their seed.
    """
    labels, patients = held.labels[rows][:, able], held.patients[rows]
    return Sample(
        {member: features[rows] for member, features in held.features.items()},
        labels,
        tuple(held.findings[j] for j in able),
        patients,
        folds.make_folds(labels, patients, spec.folds, spec.seed),
        spec.balanced,
    )


def counts(labels: np.ndarray, findings: Sequence[str]) -> dict[str, ClassCounts]:
    """Returns finding -> numbers of positive and negative labels."""
    columns = zip(findings, labels.T, strict=True)
    return {finding: ClassCounts(int((c == 1).sum()), int((c == 0).sum())) for finding, c in columns}


def write_out_of_fold(path: Path, held: ProbeData, sample: Sample, logits: np.ndarray) -> None:
    """Writes one row per image: name, patient, fold, and the uncalibrated probability of each fitted finding."""
    frame = pd.DataFrame(probabilities(logits), columns=list(sample.findings))
    frame.insert(0, "fold", sample.fold)
    frame.insert(0, "Patient_ID", sample.patients)
    frame.insert(0, "Image_name", held.table["Image_name"].to_numpy())
    write_text(path, frame.to_csv(index=False))
