"""Assesses a trained run: predicts validation and test parts, fits the decision on validation, evaluates on test."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from zoo.config.specs import EnsembleSpec
from zoo.config.weighting import numbers
from zoo.core.progress import Progress
from zoo.data.images.reading import Reader, read_image
from zoo.data.splits import Split, patients_of
from zoo.data.studies import studies_of
from zoo.data.tables import reading
from zoo.evaluation import baseline, report
from zoo.evaluation.calibration.fitting import TEMPERATURES
from zoo.evaluation.decision import Decision
from zoo.evaluation.ensembling.choosing import Weighed, weigh
from zoo.evaluation.result import Evaluation
from zoo.evaluation.scores import Scores
from zoo.evaluation.studies.fitting import fit_study_rule
from zoo.evaluation.thresholds import fit_decision, fit_points
from zoo.evaluation.tta import effect_of_tta, tta_note
from zoo.evaluation.untrained import left_out
from zoo.labels.parts import OUT_OF_FOLD
from zoo.models.ensemble import Ensemble
from zoo.training import folds, out_of_fold, predicting
from zoo.training.examples import trained_findings
from zoo.training.out_of_fold import OutOfFold
from zoo.training.predicting import BATCH, load_best, predict_logits
from zoo.training.recipe import Recipe


@dataclass(frozen=True)
class Assessment:
    """The result of `assess`.

    Attributes:
        model: The ensemble with the weights to release, in float32.
        spec: Its specification, with numbers where the recipe asks for fitted weights of the members.
        decision: Temperature and thresholds of the ensemble.
        member_decisions: Temperature and thresholds of each member alone.
        result: The evaluation, to which `runs.results.complete` adds subgroups and checks.
        scores: The ensemble's scores on the test part.
    """

    model: Ensemble
    spec: EnsembleSpec
    decision: Decision
    member_decisions: Mapping[str, Decision]
    result: Evaluation
    scores: Scores


def assess(
    recipe: Recipe,
    table: pd.DataFrame,
    split: Split,
    run: Path,
    progress: Progress,
    read: Reader = read_image,
    calibrated: Decision | None = None,
) -> Assessment:
    """Scores the validation and test parts with the best weights of a finished run.

    The weights of the members, if the recipe asks for it, and then the decision are fitted on the validation part. The
    test part is only evaluated: the ensemble, each member, and the pixel baseline. The logits of every image of both
    parts are written to `predictions.csv` in the run folder.

    With folds both are fitted on the out-of-fold predictions, which are written to `out_of_fold.csv`;
    `predictions.csv` then holds the test part alone. The members of one name are evaluated together, as their mean.

    Args:
        recipe: The recipe of the run.
        table: Canonical table.
        split: Split of the table.
        run: Folder of the finished run.
        progress: Receives the progress.
        read: Reads the pixels of an image.
        calibrated: Decision whose calibration is kept, so that only thresholds are fitted; None fits both.
    """
    model = load_best(recipe, run)
    predict = _by_fold if recipe.folds else _by_part
    name, trained = recipe.ensemble.name, trained_findings(recipe, table, split)
    fitted_on, own, tested, apart = predict(model, recipe, table, split, trained, progress, read)
    studies = studies_of(table)[0]

    def decide(held: Held) -> Decision:
        if calibrated is not None:
            return _with_thresholds(calibrated, held.scores, trained)
        found = fit_decision(held.scores, calibration=TEMPERATURES, trained=trained)
        return dataclasses.replace(found, studies=fit_study_rule(held.scores, studies[held.rows]))

    weighed = weigh(
        folds.model_of(recipe),
        {model_name: held.scores for model_name, held in fitted_on.items()},
        {m: scores_of(table, split, "test", split.rows("test"), z, recipe, trained) for m, z in tested.items()},
        trained=trained,
        bases=[member.base for member in folds.lineup(recipe)],
    )
    plain_mean = fitted_on[name]
    fitted_on = {m: held._replace(scores=weighed.validation[m]) for m, held in fitted_on.items()}
    test = dict(weighed.test)
    _write(run, recipe, table, split, weighed, apart)
    if weighed.spec != folds.model_of(recipe):
        model = model.with_weights(numbers(weighed.spec.weighting) or None)
        model.trainable = False
    decisions = {model_name: decide(held) for model_name, held in fitted_on.items()}
    members = {model_name: decide(held) for model_name, held in own.items()}
    if recipe.tta is not None:
        # Weights of folds' members are not known to the prediction without views: both sides are the plain mean.
        seen = plain_mean if recipe.folds else fitted_on[name]
        alone_seen = _without_views(model, recipe, table, split, seen, progress, read)
        effect = effect_of_tta(seen.scores, alone_seen, decide(seen) if recipe.folds else decisions[name])
        decisions[name] = dataclasses.replace(decisions[name], tta_effect=effect)
    test["pixel baseline"] = _baseline(table, folds.learned_from(recipe, split), recipe, trained, progress)
    result = dataclasses.replace(report.evaluate(test, decisions), members=weighed.members)
    *_, untrained = left_out(test[name].logits, test[name].labels, test[name].findings, trained)
    notes = (*(result.notes or ()), *([untrained] if untrained else ()), *tta_note(decisions[name]))
    result = dataclasses.replace(result, notes=notes)
    alone = {m.name: decisions[m.name] for m in weighed.spec.members if m.name in decisions}
    return Assessment(model, weighed.spec, decisions[name], members or alone, result, test[name])


def _without_views(
    model: Ensemble,
    recipe: Recipe,
    table: pd.DataFrame,
    split: Split,
    held: Held,
    progress: Progress,
    read: Reader,
) -> Scores:
    """The scores of the ensemble on the same rows, of the images alone."""
    plain = dataclasses.replace(recipe, tta=None)
    if recipe.folds:
        logits = out_of_fold.predict(model, plain, table, split, progress, read).logits[recipe.ensemble.name]
    else:
        only = [recipe.ensemble.name]
        (found,) = predict_logits(model, table, {"views' effect": held.rows}, plain, progress, read, only).values()
        logits = found[recipe.ensemble.name]
    return dataclasses.replace(held.scores, logits=logits, tta=None)


def _with_thresholds(calibrated: Decision, scores: Scores, trained: list[bool]) -> Decision:
    values, labels, _ = left_out(scores.logits, scores.labels, scores.findings, trained)
    points = fit_points(dataclasses.replace(scores, logits=values, labels=labels), decision=calibrated)
    default = next(iter(points))
    return dataclasses.replace(
        calibrated, operating_points=points, default=default, trained=tuple(trained), tta=scores.tta
    )


class Held(NamedTuple):
    """Scores that decisions are fitted on, and their rows of the table."""

    scores: Scores
    rows: np.ndarray


class Found(NamedTuple):
    """Logits of a run.

    Attributes:
        fitted_on: Model -> what its decision is fitted on.
        own: The same for members of a fold.
        tested: Model -> logits of the test part.
        apart: The out-of-fold predictions, or None without folds.
    """

    fitted_on: dict[str, Held]
    own: dict[str, Held]
    tested: dict[str, np.ndarray]
    apart: OutOfFold | None


def _by_part(
    model: Ensemble,
    recipe: Recipe,
    table: pd.DataFrame,
    split: Split,
    trained: Sequence[bool],
    progress: Progress,
    read: Reader,
) -> Found:
    """The validation part, for decisions, and the logits of the test part."""
    rows = {part: split.rows(part) for part in ("validation", "test")}
    logits = predict_logits(model, table, rows, recipe, progress, read)
    of, places = "validation", rows["validation"]
    held = {
        name: Held(scores_of(table, split, of, places, values, recipe, trained), places)
        for name, values in logits[of].items()
    }
    return Found(held, {}, logits["test"], None)


def _by_fold(
    model: Ensemble,
    recipe: Recipe,
    table: pd.DataFrame,
    split: Split,
    trained: Sequence[bool],
    progress: Progress,
    read: Reader,
) -> Found:
    """The out-of-fold predictions, for decisions, those of each member alone, and the logits of the test part."""
    found = out_of_fold.predict(model, recipe, table, split, progress, read)
    (test,) = predict_logits(model, table, {"test": split.rows("test")}, recipe, progress, read).values()
    held = {
        name: Held(scores_of(table, split, OUT_OF_FOLD, found.rows, values, recipe, trained), found.rows)
        for name, values in found.logits.items()
    }
    own = {}
    for member in folds.lineup(recipe):
        of = found.folds == member.fold
        own[member.name] = Held(held[member.base].scores.subset(of), found.rows[of])
    return Found(held, own, out_of_fold.joined(recipe, test), found)


def _write(
    run: Path, recipe: Recipe, table: pd.DataFrame, split: Split, weighed: Weighed, apart: OutOfFold | None
) -> None:
    """Writes the logits of the ensemble with the weights in use."""
    name, mean = recipe.ensemble.name, {"test": weighed.test[recipe.ensemble.name].logits.astype(np.float32)}
    fitted_on = weighed.validation[name].logits.astype(np.float32)
    if apart is None:
        mean = {"validation": fitted_on, **mean}
    else:
        out_of_fold.write(dataclasses.replace(apart, logits={**apart.logits, name: fitted_on}), recipe, table, run)
    predicting.write(run / predicting.FILE, table, split, mean, recipe)


def scores_of(
    table: pd.DataFrame,
    split: Split,
    part: str,
    rows: np.ndarray,
    logits: np.ndarray,
    recipe: Recipe,
    trained: Sequence[bool],
) -> Scores:
    """The scores of some rows of a table, with their labels and patients.

    The labels of findings that no data trained are unknown here, so that no figure and no fit counts them.

    Args:
        table: Canonical table.
        split: Its split.
        part: Name of the part that the rows are of.
        rows: (n,) rows of the table.
        logits: (n, findings) of these rows.
        recipe: Gives the findings, and the views that logits were averaged over.
        trained: Whether each finding was trained (`trained_findings`).
    """
    findings = recipe.ensemble.findings
    return Scores(
        logits=logits,
        labels=np.where(trained, reading.labels_of(table, findings)[rows], np.nan),
        findings=findings,
        split=part,
        split_hash=split.hash,
        patients=patients_of(table)[rows],
        tta=recipe.tta,
    )


def _baseline(table: pd.DataFrame, split: Split, recipe: Recipe, trained: Sequence[bool], progress: Progress) -> Scores:
    """Scores of a logistic regression on 32 px images, trained and tested on the same parts, for comparison."""
    from zoo.data.pipeline import evaluation_batches, image_errors

    rows = np.concatenate([split.rows("train"), split.rows("test")])
    paths = table["Image_path"].to_numpy()[rows]
    batches, found = evaluation_batches(paths, None, image_size=baseline.SIZE, batch_size=BATCH), []
    with image_errors(), progress.task(f"pixel baseline, {BATCH} images a step", len(batches)) as advance:
        for batch in batches:
            found.append(np.asarray(batch))
            advance()
    pixels, n = np.concatenate(found), len(split.rows("train"))
    labels = reading.labels_of(table, recipe.ensemble.findings)[split.rows("train")]
    fitted = baseline.fit_pixel_baseline(pixels[:n], labels)
    plain = dataclasses.replace(recipe, tta=None)
    return scores_of(table, split, "test", split.rows("test"), fitted.logits(pixels[n:]), plain, trained)
