"""Assesses a trained run: predicts validation and test parts, fits the decision on validation, evaluates on test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from zoo.core.progress import Progress
from zoo.data.images.reading import Reader, read_image
from zoo.data.splits import Split, patients_of
from zoo.data.studies import studies_of
from zoo.data.tables import reading
from zoo.evaluation import baseline, report
from zoo.evaluation.calibration.fitting import TEMPERATURES
from zoo.evaluation.decision import Decision
from zoo.evaluation.result import Evaluation
from zoo.evaluation.scores import Scores
from zoo.evaluation.studies.fitting import fit_study_rule
from zoo.evaluation.thresholds import fit_decision
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import uninitialized
from zoo.training.examples import training_targets
from zoo.training.recipe import Recipe

#: Images per prediction step.
BATCH = 32


@dataclass(frozen=True)
class Assessment:
    """The result of `assess`.

    Attributes:
        model: The ensemble with the weights to release, in float32.
        decision: Temperature and thresholds of the ensemble.
        member_decisions: Temperature and thresholds of each member alone.
        result: The evaluation, to which `runs.results.complete` adds subgroups and checks.
        scores: The ensemble's scores on the test part.
    """

    model: Ensemble
    decision: Decision
    member_decisions: Mapping[str, Decision]
    result: Evaluation
    scores: Scores


def assess(
    recipe: Recipe, table: pd.DataFrame, split: Split, run: Path, progress: Progress, read: Reader = read_image
) -> Assessment:
    """Scores the validation and test parts with the best weights of a finished run.

    The decision is fitted on the validation part. The test part is only evaluated: the ensemble, each member, and the
    pixel baseline. The logits of every image of both parts are written to `predictions.csv` in the run folder.

    Args:
        recipe: The recipe of the run.
        table: Canonical table.
        split: Split of the table.
        run: Folder of the finished run.
        progress: Receives the progress.
        read: Reads the pixels of an image.
    """
    model = load_best(recipe, run)
    rows = {part: split.rows(part) for part in ("validation", "test")}
    logits = predict_logits(model, table, rows, recipe, progress, read)
    name = recipe.ensemble.name
    validation, test = (
        {model_name: _scores(table, split, part, values, recipe) for model_name, values in logits[part].items()}
        for part in ("validation", "test")
    )
    _write_predictions(run / "predictions.csv", table, split, {part: logits[part][name] for part in logits}, recipe)
    trained = _trained(table, split, recipe)
    studies = studies_of(table)[0][rows["validation"]]
    decisions = {
        model_name: dataclasses.replace(
            fit_decision(scores, calibration=TEMPERATURES, trained=trained), studies=fit_study_rule(scores, studies)
        )
        for model_name, scores in validation.items()
    }
    test["pixel baseline"] = _baseline(table, split, recipe, progress)
    result = report.evaluate(test, decisions)
    members = {m.name: decisions[m.name] for m in recipe.ensemble.members if m.name in decisions}
    return Assessment(model, decisions[name], members, result, test[name])


def load_best(recipe: Recipe, run: Path) -> Ensemble:
    """Loads the ensemble with the best weights of the last stage, in float32, ready to predict."""
    with uninitialized():
        model = Ensemble.from_spec(recipe.ensemble)
    model.load_weights(run / recipe.stages[-1].best_weights)
    model.trainable = False
    return model


def predict_logits(
    model: Ensemble,
    table: pd.DataFrame,
    rows: Mapping[str, np.ndarray],
    recipe: Recipe,
    progress: Progress,
    read: Reader = read_image,
) -> dict[str, dict[str, np.ndarray]]:
    """Computes the logits of the ensemble and of each member on some parts of a table, in one pass over the images.

    Args:
        model: The ensemble.
        table: Canonical table.
        rows: Name of each part -> its rows.
        recipe: Gives the image size and the names of the models.
        progress: Receives the progress after each batch.
        read: Reads the pixels of an image.

    Returns:
        Part -> model name -> logits, float32 (rows, findings).
    """
    from zoo.data.pipeline import evaluation_batches, image_errors

    outputs = {recipe.ensemble.name: model.output}
    if len(model.members) > 1:
        # The members' logits are taken from the ensemble's graph; calling the members would compute them twice.
        outputs |= {m.name: z for m, z in zip(model.members, model.get_layer("logits").input, strict=True)}
    all_at_once = keras.Model(model.input, outputs)
    found = {}
    for part, places in rows.items():
        paths = table["Image_path"].to_numpy()[places]
        batches = evaluation_batches(paths, None, image_size=recipe.ensemble.image_size, batch_size=BATCH, read=read)
        with (
            image_errors(),
            progress.task(f"predicting {part}, {BATCH} images a step", -(-len(places) // BATCH)) as advance,
        ):
            logits = all_at_once.predict(batches, verbose=0, callbacks=[_Steps(advance)])
        # Put the ensemble first again: JAX returns dictionaries in alphabetical order.
        found[part] = {name: np.asarray(logits[name], np.float32) for name in outputs}
    return found


class _Steps(keras.callbacks.Callback):
    def __init__(self, advance: Callable[[], None]) -> None:
        super().__init__()
        self._advance = advance

    def on_predict_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._advance()


def _scores(table: pd.DataFrame, split: Split, part: str, logits: np.ndarray, recipe: Recipe) -> Scores:
    rows, findings = split.rows(part), recipe.ensemble.findings
    return Scores(
        logits=logits,
        labels=reading.labels_of(table, findings)[rows],
        findings=findings,
        split=part,
        split_hash=split.hash,
        patients=patients_of(table)[rows],
    )


def _trained(table: pd.DataFrame, split: Split, recipe: Recipe) -> list[bool]:
    """Whether each finding had both classes in the training part; the outputs for the others are meaningless."""
    labels, _ = training_targets(recipe, table, split)
    return [bool((column == 1).any() and (column == 0).any()) for column in labels.T]


def _baseline(table: pd.DataFrame, split: Split, recipe: Recipe, progress: Progress) -> Scores:
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
    return _scores(table, split, "test", fitted.logits(pixels[n:]), recipe)


def _write_predictions(
    path: Path, table: pd.DataFrame, split: Split, logits: Mapping[str, np.ndarray], recipe: Recipe
) -> None:
    frames = []
    for part, values in logits.items():
        frame = pd.DataFrame(values, columns=[f"logit_{f}" for f in recipe.ensemble.findings])
        rows = table.iloc[split.rows(part)]
        frame.insert(0, "Patient_ID", rows["Patient_ID"].to_numpy())
        frame.insert(0, "Image_name", rows["Image_name"].to_numpy())
        frame.insert(0, "split", part)
        frames.append(frame)
    pd.concat(frames).to_csv(path, index=False)
