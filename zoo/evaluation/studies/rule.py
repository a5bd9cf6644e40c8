"""How the logits of the images of one study become those of the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

import numpy as np

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_FINDINGS
from zoo.core.errors import EvaluationError, ReleaseError

How: TypeAlias = Literal["mean", "max"]

_Each = Keywords(maxItems=MAX_FINDINGS)
_Aucs = Annotated[tuple[Annotated[float | None, Keywords(minimum=0, maximum=1)], ...], _Each]


@dataclass(frozen=True)
class StudyRule:
    """How the logits of the images of one study are joined, by finding.

    Attributes:
        how: "mean" or "max" of the images' logits, one for each finding.
        split: The part of the data it was fitted on; "none" if it was not fitted.
        split_hash: Hash of the split's manifest.
        studies: Number of studies of several images among those it was fitted on.
        auc_mean: AUC of the studies with the mean, by finding; None where it is undefined.
        auc_max: AUC of the studies with the maximum.
        date: ISO date of the fit.

    >>> StudyRule.plain(2).how
    ('mean', 'mean')
    """

    how: Annotated[tuple[How, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)]
    split: str = "none"
    split_hash: str = ""
    studies: Annotated[int, Keywords(minimum=0)] = 0
    auc_mean: _Aucs = ()
    auc_max: _Aucs = ()
    date: str = ""

    @classmethod
    def plain(cls, findings: int, how: How = "mean") -> StudyRule:
        """One way for all findings, which is fitted on nothing."""
        return cls(tuple(how for _ in range(findings)))

    def check(self, findings: int) -> None:
        """Raises `ReleaseError` unless there is an entry for each finding."""
        if len(self.how) != findings or any(len(v) not in (0, findings) for v in (self.auc_mean, self.auc_max)):
            raise ReleaseError(f"decision: studies must have {findings} entries in each list, got {len(self.how)}")

    def described(self, findings: Sequence[str]) -> str:
        """Says the rule in words.

        >>> StudyRule(("mean", "max", "mean")).described(["Edema", "Mass", "Hernia"])
        'mean of the logits, maximum for Mass (not fitted)'
        """
        largest = [finding for finding, how in zip(findings, self.how, strict=True) if how == "max"]
        origin = (
            "not fitted" if self.split == "none" else f"fitted on {self.studies:,} studies of the {self.split} part"
        )
        if len(largest) == len(self.how):
            return f"maximum of the logits ({origin})"
        return "mean of the logits" + (f", maximum for {', '.join(largest)}" if largest else "") + f" ({origin})"


@dataclass(frozen=True, eq=False)
class Joined:
    """Rows of images joined to rows of studies, in the order in which the studies first appear.

    Attributes:
        names: (m,) str, the studies.
        images: (m,) int, number of images of each.
        first: (m,) int, row of the first image of each.
        logits: (m, k) logits of each study; NaN if no image of it has one.
    """

    names: np.ndarray
    images: np.ndarray
    first: np.ndarray
    logits: np.ndarray

    def rows_of(self, studies: Sequence[str] | np.ndarray) -> np.ndarray:
        """(n,) int, row of the study of each image.

        >>> join(np.array([[1.0], [3.0], [5.0]]), ["b", "a", "b"]).rows_of(["a", "b"]).tolist()
        [1, 0]
        """
        place = {study: i for i, study in enumerate(self.names.tolist())}
        return np.array([place[study] for study in np.asarray(studies, str).tolist()], np.int64)


def join(logits: np.ndarray, studies: Sequence[str] | np.ndarray, how: Sequence[How] = ()) -> Joined:
    """Joins the logits of the images of each study by the mean or the maximum of those that are known.

    Args:
        logits: (n, k) floats, one row per image; NaN for an image that could not be read, which takes no part.
        studies: (n,) study of each image.
        how: "mean" or "max" of each finding; the mean by default.

    Raises:
        EvaluationError: The lengths do not match.

    >>> found = join(np.array([[1.0, 0.0], [3.0, np.nan], [5.0, 2.0]]), ["a", "a", "b"], ["mean", "max"])
    >>> found.names.tolist(), found.images.tolist(), found.logits.tolist()
    (['a', 'b'], [2, 1], [[2.0, 0.0], [5.0, 2.0]])
    """
    values, whose = np.asarray(logits), np.asarray(studies, str)
    if values.ndim != 2 or whose.shape != values.shape[:1] or (len(how) and len(how) != values.shape[1]):
        raise EvaluationError(
            f"expected a study for each of the {len(values)} rows and a rule for each finding, got {whose.shape} and "
            f"{len(how)} for logits {values.shape}"
        )
    if not len(values):
        return Joined(whose, np.empty(0, np.int64), np.empty(0, np.int64), values)
    names, first, place, images = np.unique(whose, return_index=True, return_inverse=True, return_counts=True)
    rank = np.argsort(first)
    order = np.argsort(place.reshape(-1), kind="stable")
    starts = np.append(0, np.cumsum(images)[:-1])
    ordered, known = values[order], ~np.isnan(values[order])
    counts = np.add.reduceat(known.astype(np.int64), starts, axis=0)
    # Summed in float64, so that a mean of equal float32 numbers is that number.
    sums = np.add.reduceat(np.where(known, ordered, 0).astype(np.float64), starts, axis=0)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan).astype(values.dtype)
    largest = np.fmax.reduceat(ordered, starts, axis=0)
    takes_largest = np.array([rule == "max" for rule in how] or [False] * values.shape[1])
    joined = np.where(takes_largest, largest, means)
    return Joined(names[rank], images[rank], first[rank], joined[rank])
