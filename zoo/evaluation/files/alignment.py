"""Brings several models' predictions and the labels to the same rows and findings, all joined by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from zoo.core.csv import same_name, shortened
from zoo.core.errors import EvaluationError, TableError
from zoo.core.joining import join
from zoo.evaluation.files.joining import match_ids
from zoo.evaluation.files.predictions import Kind, Predictions
from zoo.evaluation.files.rows import Rows
from zoo.evaluation.scores import Scores
from zoo.labels.parts import part_of
from zoo.labels.schemas import AUTO, names_of


@dataclass(frozen=True, eq=False)
class Aligned:
    """Several models' scores on the same rows and findings.

    Attributes:
        scores: Model name -> its scores, in the order in which the predictions were given.
        ids: (n,) str.
        groups: Grouping, such as "sex" -> (n,) str group of each row, as `subgroups.subgroups` takes them.
        kinds: Model name -> what the numbers in its file are.
        notes: Assumptions, omissions and differences that were disregarded when joining, one sentence each.
    """

    scores: Mapping[str, Scores]
    ids: np.ndarray
    groups: Mapping[str, np.ndarray]
    kinds: Mapping[str, Kind]
    notes: tuple[str, ...]

    def take(self, rows: np.ndarray, split: str, split_hash: str = "") -> Self:
        """Selects rows (positions or mask) and gives them the name and hash of a part of the split."""
        scores = {
            name: replace(model.subset(rows), split=split, split_hash=split_hash) for name, model in self.scores.items()
        }
        groups = {name: group[rows] for name, group in self.groups.items()}
        return replace(self, scores=scores, ids=self.ids[rows], groups=groups)


def to_scores(predictions: Predictions, labels: Rows | None = None, split: str = "test") -> Scores:
    """Joins predictions and labels into the scores that every function of `zoo.evaluation` takes.

    Rows are joined by identifier and findings by name; whatever is only in one of the two is left out (see `align`).

    Args:
        predictions: Predictions of one model.
        labels: Labels from `read_labels`; by default the labels in the predictions' own file.
        split: Part of the split that the rows belong to. If the file has a column of parts, only its rows are used.

    Raises:
        TableError: There are no labels, no row or finding in common, or no row of that part.

    Example:
        >>> import numpy as np
        >>> from zoo.evaluation.files.predictions import Predictions
        >>> own = Predictions("model", np.array(["x/a.png", "x/b.png"]), np.array([[0.9], [0.2]]), ("Edema",))
        >>> labels = Rows("labels", np.array(["b", "a"]), np.array([[0.0], [1.0]]), ("Edema",))
        >>> to_scores(own, labels).labels.ravel().tolist()
        [1.0, 0.0]
    """
    return align([predictions], labels, split=split).scores[predictions.name]


def align(predictions: Sequence[Predictions], labels: Rows | None = None, *, split: str = "test") -> Aligned:
    """Brings predictions and labels to the rows and findings that all of them have; takes the arguments of `to_scores`.

    Labels come from `labels`, or else from the first predictions that include labels; patients and groups likewise.

    Raises:
        TableError: There are no labels, no row or finding in common, or no row of that part.
        ValueError: There are no predictions, or two with the same name.
    """
    if not predictions or len({p.name for p in predictions}) != len(predictions):
        raise EvaluationError(f"predictions need different names, got {[p.name for p in predictions]}")
    truth = labels or next((p.labels for p in predictions if p.labels is not None), None)
    if truth is None:
        raise TableError(f"{predictions[0].name}: no labels in the file: give a file of labels (--labels)")
    parts, notes = _same_rows([*predictions, truth])
    notes += [note for p in predictions if p.labels is not None for note in _other_labels(truth, p.labels, p.name)]
    parts, split_notes = _of_part(parts, split)
    findings, finding_notes = _shared_findings(parts)
    *models, truth = parts
    patients = next((part.patients for part in (truth, *models) if part.patients is not None), None)
    notes = [note for part in (*predictions, truth) for note in part.notes] + notes + split_notes + finding_notes
    if patients is None:
        notes.append("patients are not known: each row is taken for one, and intervals may be too narrow")
    known, kinds = _columns(truth, findings), {given.name: given.kind for given in predictions}
    if np.isnan(known).all():
        raise TableError(
            f"{truth.name}: no label of {', '.join(findings)[:200]} is known in any row of the predictions"
        )
    scores = {
        model.name: _scores(kinds[model.name], _columns(model, findings), known, findings, split, patients)
        for model in models
    }
    groups = {name: group for part in (*reversed(models), truth) for name, group in part.groups.items()}
    return Aligned(scores, models[0].ids, groups, kinds, tuple(dict.fromkeys(notes)))


def place(finding: str, findings: Sequence[str]) -> int | None:
    """Returns the position of a finding in another list, under any of its names, or None.

    Example:
        >>> place("Pleural Effusion", ["Edema", "Effusion"])
        1
    """
    there = {same_name(name): i for i, name in enumerate(findings)}
    return next((there[key] for name in names_of(finding, AUTO) if (key := same_name(name)) in there), None)


def _same_rows(parts: Sequence[Rows]) -> tuple[list[Rows], list[str]]:
    """Returns the rows that all parts have, in the order of the first part."""
    first = parts[0]
    matches = [match_ids(first.ids, part.ids, first.name, part.name) for part in parts[1:]]
    rows = np.flatnonzero(np.all([match.rows >= 0 for match in matches], axis=0))
    if not len(rows):
        raise TableError(f"{', '.join(part.name for part in parts)}: no row is in all of them")
    others = [part.take(match.rows[rows]) for part, match in zip(parts[1:], matches, strict=True)]
    return [first.take(rows), *others], [note for match in matches for note in match.notes]


def _other_labels(truth: Rows, labels: Rows, name: str) -> list[str]:
    """Returns a note if a file's own labels differ from the labels in use."""
    joined = join(truth.ids.tolist(), labels.ids.tolist(), source=name).rows
    rows, others = np.flatnonzero(joined >= 0), joined[joined >= 0]
    shared = [(i, j) for j, finding in enumerate(labels.findings) if (i := place(finding, truth.findings)) is not None]
    ours, theirs = truth.values[rows][:, [i for i, _ in shared]], labels.values[others][:, [j for _, j in shared]]
    different = int(np.sum((ours != theirs) & ~(np.isnan(ours) & np.isnan(theirs))))
    return [f"{name}: own labels that differ from those of {truth.name}, which are used: {different:,}"] * (
        different > 0
    )


def _of_part(parts: list[Rows], split: str) -> tuple[list[Rows], list[str]]:
    """Selects the rows of one part of the split, if a file has a column of parts."""
    split = part_of(split) or split
    said = next((part for part in parts if part.split is not None), None)
    if said is None or said.split is None:
        return parts, []
    rows = np.flatnonzero(said.split == split)
    if not len(rows):
        there = ", ".join(sorted(set(said.split)))
        raise TableError(
            f"{said.name}: no row is of the {split!r} part; there are rows of {there}: change or remove the column of "
            "parts (in Python, split= names another part)"
        )
    if len(rows) == len(said.split):
        return parts, []
    note = f"{said.name}: rows of other parts than {split!r}, left out: {len(said.split) - len(rows):,}"
    return [part.take(rows) for part in parts], [note]


def _shared_findings(parts: Sequence[Rows]) -> tuple[tuple[str, ...], list[str]]:
    first, notes = parts[0], []
    shared = tuple(f for f in first.findings if all(place(f, part.findings) is not None for part in parts))
    if not shared:
        columns = "; ".join(f"{part.name} has {shortened(part.findings, 5)}" for part in parts)
        raise TableError(f"no finding is in all files: {columns}")
    for part in parts:
        extra = [name for name in part.findings if place(name, shared) is None]
        if extra:
            notes.append(f"{part.name}: left out, since not all files have them: {', '.join(extra)}")
    return shared, notes


def _columns(part: Rows, findings: Sequence[str]) -> np.ndarray:
    return part.values[:, [i for finding in findings if (i := place(finding, part.findings)) is not None]]


def _scores(
    kind: Kind,
    values: np.ndarray,
    labels: np.ndarray,
    findings: tuple[str, ...],
    split: str,
    patients: np.ndarray | None,
) -> Scores:
    if kind == "probabilities":
        return Scores.from_probabilities(values, labels, findings, split=split, patients=patients)
    return Scores(values, labels, findings, split, patients=patients, kind=kind)
