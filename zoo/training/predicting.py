"""Logits of a trained run, of the ensemble and of each member."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from zoo.config.tta import TtaSpec
from zoo.core.files import write_text
from zoo.core.progress import Progress
from zoo.data.images.arrays import filled_up
from zoo.data.images.reading import Reader, read_image
from zoo.data.splits import Split
from zoo.data.tta import views
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import uninitialized
from zoo.training import folds
from zoo.training.recipe import Recipe

#: Images per prediction step.
BATCH = 32

#: File in the run folder with the logits of the ensemble.
FILE = "predictions.csv"


def load_best(recipe: Recipe, run: Path) -> Ensemble:
    """Loads the ensemble with the best weights of the last stage, in float32, ready to predict."""
    with uninitialized():
        model = Ensemble.from_spec(folds.model_of(recipe))
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
    only: Collection[str] | None = None,
) -> dict[str, dict[str, np.ndarray]]:
    """Computes the logits of the ensemble and of each member on some parts of a table, in one pass over the images.

    Args:
        model: The ensemble.
        table: Canonical table.
        rows: Name of each part -> its rows.
        recipe: Gives the image size, the names of the models, and the views that logits are averaged over.
        progress: Receives the progress after each batch.
        read: Reads the pixels of an image.
        only: Names of members, whose logits alone are computed; by default the ensemble and all members.

    Returns:
        Part -> model name -> logits, float32 (rows, findings).
    """
    from zoo.data.pipeline import evaluation_batches, image_errors

    outputs = {recipe.ensemble.name: model.output}
    if len(model.members) > 1:
        # The members' logits are taken from the ensemble's graph; calling the members would compute them twice.
        outputs |= {m.name: z for m, z in zip(model.members, model.get_layer("logits").input, strict=True)}
    outputs = {name: z for name, z in outputs.items() if only is None or name in only}
    all_at_once = keras.Model(model.input, outputs)
    found = {}
    for part, places in rows.items():
        paths = table["Image_path"].to_numpy()[places]
        batches = evaluation_batches(paths, None, image_size=recipe.ensemble.image_size, batch_size=BATCH, read=read)
        with (
            image_errors(),
            progress.task(f"predicting {part}, {BATCH} images a step", -(-len(places) // BATCH)) as advance,
        ):
            logits = _over_views(all_at_once, batches, recipe.tta, min(BATCH, len(places)), advance)
        # Put the ensemble first again: JAX returns dictionaries in alphabetical order.
        found[part] = {name: np.asarray(logits[name], np.float32) for name in outputs}
    return found


def _over_views(
    model: keras.Model, batches: Iterable[Any], tta: TtaSpec | None, size: int, advance: Callable[[], None]
) -> dict[str, np.ndarray]:
    """The logits of each output, averaged over the views of each image; a smaller batch is filled up to `size`."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in model.output}
    for batch in batches:
        images = np.asarray(batch)
        # TensorFlow would trace the network again for the last batch alone.
        each = [model.predict_on_batch(view) for view in views(filled_up(images, size), tta)]
        for name, parts in found.items():
            mean = np.mean([np.asarray(logits[name], np.float64) for logits in each], axis=0)
            parts.append(mean[: len(images)])
        advance()
    return {name: np.concatenate(parts) for name, parts in found.items()}


def write(path: Path, table: pd.DataFrame, split: Split, logits: Mapping[str, np.ndarray], recipe: Recipe) -> None:
    """Writes one row for each image of some parts: its part, name, patient and logits."""
    frames = []
    for part, values in logits.items():
        frame = pd.DataFrame(values, columns=[f"logit_{f}" for f in recipe.ensemble.findings])
        rows = table.iloc[split.rows(part)]
        frame.insert(0, "Patient_ID", rows["Patient_ID"].to_numpy())
        frame.insert(0, "Image_name", rows["Image_name"].to_numpy())
        frame.insert(0, "split", part)
        frames.append(frame)
    write_text(path, pd.concat(frames).to_csv(index=False))
