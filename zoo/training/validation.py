"""Loss and AUC of a model on the validation part."""

from __future__ import annotations

import keras
import numpy as np

from zoo.data.pipeline import image_errors
from zoo.evaluation.metrics import roc_auc
from zoo.training import processes
from zoo.training.nonfinite import NotFinite
from zoo.training.stage import Stage
from zoo.training.surroundings import Surroundings


def validate(model: keras.Model, around: Surroundings, stage: Stage) -> dict[str, float]:
    """Computes loss and mean AUC over the whole validation part, not as a mean over batches.

    Args:
        model: The compiled model of the stage.
        around: Gives the images, their labels and the loss.
        stage: Gives the size of batches and images.

    Returns:
        "val_loss" and "val_auc".

    Raises:
        NotFinite: A logit or the loss is NaN or infinite.
    """
    examples = around.examples
    labels = examples.validation_labels
    batches = examples.validation_batches(stage)
    with image_errors():
        found = model.predict(batches, verbose=0) if processes.count() == 1 else processes.predict(model, batches)
    logits = found[: len(labels)]
    if not np.isfinite(logits).all():
        raise NotFinite(0, "the network gives NaN or infinite logits of validation images")
    targets = labels if examples.validation_targets is None else examples.validation_targets
    loss = float(around.loss(targets, logits))
    if not np.isfinite(loss):
        raise NotFinite(0, f"the metric val_loss is {loss}")
    return {"val_loss": loss, "val_auc": float(np.nanmean(roc_auc(labels, logits)))}
