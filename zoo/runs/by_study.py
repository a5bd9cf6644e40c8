"""Evaluation by study: the rows of images become rows of studies, and the rule that joins them may be fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from zoo.core.errors import UsageError
from zoo.evaluation.decision import Decision
from zoo.evaluation.files.study import Study
from zoo.evaluation.studies.fitting import StudyScores, fit_study_rule, study_scores
from zoo.evaluation.studies.rule import StudyRule
from zoo.labels.facts import names_patient


@dataclass(frozen=True, eq=False)
class ByStudy:
    """An evaluation whose rows are studies.

    Attributes:
        reported: The studies to report on.
        validation: The studies of the validation part, or None.
        rule: How the images were joined.
        first: Identifier of the first image of each reported study.
    """

    reported: Study
    validation: Study | None
    rule: StudyRule
    first: np.ndarray

    def decision(self, decision: Decision | None) -> Decision | None:
        """The decision with the rule that the evaluation used."""
        return replace(decision, studies=self.rule) if decision is not None else None


def by_study(
    reported: Study, validation: Study | None, study_of: Mapping[str, str], decision: Decision | None, *, fit: bool
) -> ByStudy:
    """Joins the images of each study of one model.

    Args:
        reported: The images to report on.
        validation: The images of the validation part, or None.
        study_of: Image -> study.
        decision: Decision of the model, whose rule joins the images.
        fit: Whether to fit a new rule on the validation part.

    Raises:
        UsageError: The study of no image is known.
        EvaluationError: A study has images of two patients.
    """
    if not any(map(names_patient, study_of.values())):
        raise UsageError(
            "--by study: the study of no image is known: the table needs a column Study (and Patient_ID), or the "
            "images names such as <patient>_<study>_<image>"
        )
    scores = next(iter(reported.scores.values()))
    rule = decision.study_rule if decision is not None else StudyRule.plain(len(scores.findings))
    if fit and validation is not None:
        own = next(iter(validation.scores.values()))
        rule = fit_study_rule(own, [study_of[image] for image in validation.ids]) or StudyRule.plain(len(own.findings))
        validation = _joined(validation, study_of, rule)[0]
    joined, found = _joined(reported, study_of, rule)
    return ByStudy(joined, validation, rule, reported.ids[found.joined.first])


def _joined(images: Study, study_of: Mapping[str, str], rule: StudyRule) -> tuple[Study, StudyScores]:
    whose = np.array([study_of[image] for image in images.ids], str)
    (name, scores), *_ = images.scores.items()
    found = study_scores(scores, whose, rule)
    alone = sum(not names_patient(study) for study in found.joined.names.tolist())
    notes = found.notes(rule)
    if alone:
        notes += (f"images whose study is unknown, each taken as one of its own: {alone:,}",)
    return (
        replace(
            images,
            scores={name: found.scores},
            ids=found.joined.names,
            groups={key: _alike(values, whose, found) for key, values in images.groups.items()},
            notes=(*images.notes, *notes),
            readers={},
        ),
        found,
    )


def _alike(values: np.ndarray, whose: np.ndarray, found: StudyScores) -> np.ndarray:
    """The group of each study: that of its images, "" where they differ (as two views do)."""
    texts = np.asarray(values, str)
    of = found.joined.rows_of(whose)
    first = texts[found.joined.first]
    differs = np.zeros(len(first), bool)
    differs[of[texts != first[of]]] = True
    return np.where(differs, "", first)
