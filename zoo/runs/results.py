"""Completes the result of an evaluation, and writes `metrics.json` and the reports."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from zoo.core.files import write_json, write_text
from zoo.data.images.reading import read_image
from zoo.evaluation import coherence, conformal, report
from zoo.evaluation.decision import Decision
from zoo.evaluation.refit import abstention_of
from zoo.evaluation.result import Evaluation, to_json
from zoo.evaluation.result.checks import SameImages, SharedNames, TargetPrevalence
from zoo.evaluation.scores import Scores
from zoo.evaluation.subgroups import age_bands, subgroups

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble
    from zoo.report.mistakes import Mistake

#: Method of the heatmaps in the report.
METHOD = "gradcam"


def groups_of(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """Returns the subgroups of a canonical table's rows by sex, view, source and age.

    Args:
        table: Canonical table of n rows.

    Returns:
        Grouping -> (n,) group of each row, "" if unknown. Groupings with fewer than two groups are left out.
    """
    columns = {"sex": "Sex", "view": "ViewPosition", "source": "Source"}
    groups = {name: table[column].fillna("").to_numpy(str) for name, column in columns.items()}
    groups["age"] = np.asarray(age_bands(table["Age"].to_numpy(float)), str)
    return {name: values for name, values in groups.items() if len({*values} - {""}) > 1}


def complete(
    result: Evaluation,
    scores: Scores,
    decision: Decision | None = None,
    *,
    groups: Mapping[str, np.ndarray] | None = None,
    leakage: Mapping[str, SharedNames | SameImages] | None = None,
) -> Evaluation:
    """Adds subgroups, coherence and leakage to the result of `report.evaluate`.

    If the decision gives guarantees, the effect of abstaining between its guaranteed points is added; if it was
    adjusted to a target prevalence, that prevalence.

    Args:
        result: Result of `report.evaluate`.
        scores: Scores of the main model.
        decision: Decision of the main model.
        groups: Grouping -> (n,) group of each row.
        leakage: Results of `evaluation.leakage`, by name.
    """
    found, prevalence = None, None
    if groups:
        found = subgroups(scores, groups, decision, level=result.interval.level)
    contradictions = None
    if scores.kind == "logits":
        contradictions = coherence.contradictions(
            scores.calibrated(decision), scores.findings, decision, patients=scores.patients
        )
    guaranteed = abstention_of(decision) if decision is not None else None
    if decision is not None and (shift := decision.prior_shift) is not None:
        prevalence = {
            finding: TargetPrevalence(source, target)
            for finding, source, target in zip(decision.findings, shift.source, shift.target, strict=True)
            if target is not None
        }
    return replace(
        result,
        subgroups=found,
        coherence=contradictions,
        abstention=conformal.coverage(scores, guaranteed, decision) if guaranteed is not None else None,
        prevalence=prevalence,
        leakage=dict(leakage) if leakage else None,
    )


def mistakes(
    model: Ensemble | None,
    paths: Sequence[str],
    scores: Scores,
    decision: Decision | None,
    *,
    heatmaps: bool = True,
) -> list[Mistake]:
    """Finds the most confident errors: for each finding, the positive with the lowest probability and the negative
    with the highest.

    Args:
        model: The ensemble whose scores these are, or None if it does not run in Keras; then there are no heatmaps.
        paths: The n image files of the rows.
        scores: Scores of the model.
        decision: Decision with the model's calibration.
        heatmaps: Whether to add heatmaps.
    """
    from zoo.explain.explanation import explain_images
    from zoo.report.mistakes import Mistake

    chances = scores.calibrated(decision)
    wrong = [
        (int(rows[np.argmin(chances[rows, j]) if label else np.argmax(chances[rows, j])]), j, label)
        for j in range(len(scores.findings))
        for label in (1, 0)
        if len(rows := np.flatnonzero(scores.labels[:, j] == label))
    ]
    files, columns = [paths[row] for row, _, _ in wrong], [j for _, j, _ in wrong]
    overlays: list[np.ndarray | None] = [None] * len(wrong)
    if heatmaps and model and wrong:
        made = explain_images(model, files, columns, METHOD, findings=scores.findings, tta=scores.tta)
        overlays = [e.overlay() for e in made]
    return [
        Mistake(Path(file).name, scores.findings[j], label, float(chances[row, j]), read_image(file)[..., 0], overlay)
        for file, (row, j, label), overlay in zip(files, wrong, overlays, strict=True)
    ]


def method(model: Ensemble) -> str:
    """Describes the method and the resolution of the heatmaps, for the report."""
    places = sorted({f"{m.backbone.output_shape[1]} x {m.backbone.output_shape[2]}" for m in model.members})
    return (
        f"Grad-CAM, mean over {len(model.members)} members, from feature maps of {' and '.join(places)} cells; no "
        "colour means that nothing in the image supports the finding"
    )


def write(
    result: Evaluation,
    folder: Path,
    *,
    history: Path | None = None,
    mistakes: Sequence[Mistake] = (),
    method: str = "",
    command: str = "",
) -> Path:
    """Writes `metrics.json`, `report.md` and, if matplotlib is installed, `report.html` with its figures.

    Args:
        result: Result of `complete`.
        folder: Folder to write; created if missing.
        history: `history.csv` of a run.
        mistakes: Result of `mistakes`.
        method: Result of `method`.
        command: Command line that reproduces the evaluation.

    Returns:
        Path of the HTML report, or of the Markdown report without matplotlib.
    """
    result = replace(result, mistakes=tuple(mistake.facts for mistake in mistakes) or None)
    write_json(folder / "metrics.json", to_json(result))
    write_text(folder / "report.md", report.markdown(result))
    if find_spec("matplotlib") is None:
        return folder / "report.md"
    from zoo.report.html import write_report

    rows = list(csv.DictReader(history.open(encoding="utf-8"))) if history and history.is_file() else None
    return write_report(result, folder, history=rows, mistakes=mistakes, heatmap_method=method, command=command)
