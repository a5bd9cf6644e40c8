"""Scores of studies from scores of images, and the fit of how they are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from zoo.core.counting import counted
from zoo.core.errors import EvaluationError
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import bootstrap
from zoo.evaluation.statistics.ranking import Ranked
from zoo.evaluation.studies.rule import How, Joined, StudyRule, join

#: Resamples behind the standard error that the maximum has to beat.
_RESAMPLES = 200


@dataclass(frozen=True, eq=False)
class StudyScores:
    """Scores with one row for each study.

    Attributes:
        scores: The studies' logits and labels.
        joined: Names and numbers of images of the studies.
        differing: Finding -> number of studies whose images have both labels, of the findings that have some.
    """

    scores: Scores
    joined: Joined
    differing: dict[str, int]

    def notes(self, rule: StudyRule) -> tuple[str, ...]:
        """Says what was joined, how, and where labels differ within a study."""
        images = self.joined.images
        several = int(np.sum(images > 1))
        found = [
            f"by study: each row is one of {counted(len(images), 'study')} ({counted(int(images.sum()), 'image')}; "
            f"{counted(several, 'study')} "
            f"of several images); {rule.described(self.scores.findings)}"
        ]
        if self.differing:
            each = ", ".join(f"{finding} {count:,}" for finding, count in self.differing.items())
            found.append(f"studies whose images have different labels, which count as positive: {each}")
        return tuple(found)


def study_scores(scores: Scores, studies: Sequence[str] | np.ndarray, rule: StudyRule | None = None) -> StudyScores:
    """Joins the rows of each study.

    The label of a study is the known label of its images, and 1 where they differ (the finding is in one of them); such
    studies are counted.

    Args:
        scores: Logits and labels of n images.
        studies: (n,) study of each image.
        rule: How to join; the mean by default.

    Raises:
        EvaluationError: A study has images of two patients, or the rule is for another number of findings.

    >>> scores = Scores(np.array([[1.0], [3.0], [0.0]]), np.array([[1], [0], [np.nan]]), ("Edema",), "test")
    >>> found = study_scores(scores, ["a", "a", "b"])
    >>> found.scores.logits.tolist(), found.scores.labels.tolist(), found.differing
    ([[2.0], [0.0]], [[1.0], [nan]], {'Edema': 1})
    """
    rule = rule or StudyRule.plain(len(scores.findings))
    joined = join(scores.logits, studies, rule.how)
    largest = StudyRule.plain(len(scores.findings), "max").how
    highest = join(scores.labels, studies, largest).logits
    lowest = -join(-scores.labels, studies, largest).logits
    counts = np.sum(highest > lowest, axis=0)
    differing = {finding: int(n) for finding, n in zip(scores.findings, counts, strict=True) if n}
    if scores.patients is not None:
        _check_patients(np.asarray(studies, str), scores.patients)
    patients = joined.names if scores.patients is None else scores.patients[joined.first]
    return StudyScores(replace(scores, logits=joined.logits, labels=highest, patients=patients), joined, differing)


def fit_study_rule(scores: Scores, studies: Sequence[str] | np.ndarray, *, date: str | None = None) -> StudyRule | None:
    """Chooses mean or maximum for each finding, on the validation part.

    The maximum is taken where the AUC of the studies is higher with it by more than one standard error of the
    difference (a bootstrap over patients); otherwise, and where the AUC is undefined, the mean.

    Args:
        scores: Logits and labels of the images of the validation part.
        studies: (n,) study of each image.
        date: ISO date stored with the rule; today by default.

    Returns:
        The rule, or None if no study has several images.

    Raises:
        SplitError: The scores are not of the validation part.
        EvaluationError: A study has images of two patients.

    >>> labels = np.repeat([[1], [0]] * 20, 2, axis=0)
    >>> logits = np.where(labels, [[3.0], [-9.0]] * 40, [[1.0], [1.0]] * 40)  # one of two images shows the finding
    >>> fit_study_rule(Scores(logits, labels, ("Edema",), "validation"), np.repeat(np.arange(40), 2)).how
    ('max',)
    """
    scores.check_fittable("the rule that joins the images of a study")
    k = len(scores.findings)
    ways: dict[How, Scores] = {
        "mean": study_scores(scores, studies, StudyRule.plain(k)).scores,
        "max": study_scores(scores, studies, StudyRule.plain(k, "max")).scores,
    }
    several = int(np.sum(join(scores.logits, studies).images > 1))
    if not several:
        return None
    columns = {
        (how, j): Ranked.of(joined.labels[:, j], joined.logits[:, j]) for how, joined in ways.items() for j in range(k)
    }

    def areas(weights: np.ndarray) -> dict[tuple[How, int], np.ndarray]:
        return {key: column.areas(weights, ("auc",))["auc"] for key, column in columns.items()}

    found = {key: float(value[0]) for key, value in areas(np.ones((len(ways["mean"].labels), 1), np.float32)).items()}
    samples = bootstrap(areas, ways["mean"].clusters, resamples=_RESAMPLES)
    chosen = tuple(
        _chosen(found["max", j] - found["mean", j], samples["max", j] - samples["mean", j]) for j in range(k)
    )
    each = {how: tuple(_known(found[how, j]) for j in range(k)) for how in ways}
    date = date or datetime.now(UTC).date().isoformat()
    return StudyRule(chosen, scores.split, scores.split_hash, several, each["mean"], each["max"], date)


def _chosen(gain: float, samples: np.ndarray) -> How:
    known = samples[~np.isnan(samples)]
    return "max" if len(known) > 1 and gain > max(float(np.std(known, ddof=1)), 0.0) else "mean"


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


def _check_patients(studies: np.ndarray, patients: np.ndarray) -> None:
    first: dict[str, str] = {}
    for study, patient in zip(studies.tolist(), patients.tolist(), strict=True):
        if first.setdefault(study, patient) != patient:
            raise EvaluationError(
                f"study {study!r} has images of two patients, {first[study]!r} and {patient!r}: identifiers of studies "
                "must be unique over patients"
            )
