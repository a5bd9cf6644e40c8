"""Stochastic weight averaging (SWA): the mean of the weights at the ends of a stage's last epochs.

Source: Izmailov, Podoprikhin, Garipov, Vetrov and Wilson, "Averaging Weights Leads to Wider Optima and Better
Generalization", UAI 2018 (arXiv:1803.05407).

And the greedy soup: the mean of those of the best epochs that together have the best val_auc. Source: Wortsman et al.,
"Model soups", ICML 2022 (arXiv:2203.05482), recipe 1. There the ingredients are several trainings, here epochs of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo.core.errors import WeightsError
from zoo.models.backbones import leaf_layers
from zoo.training.building import without_optimizer
from zoo.training.recipe import Stage


def epoch_file(folder: Path, stage: Stage, epoch: int) -> Path:
    """Returns the file that keeps the weights at the end of an epoch (counted from 0) until they are averaged."""
    return folder / f"{stage.name}.epoch-{epoch + 1:04d}.weights.h5"


def is_averaged(stage: Stage, epoch: int) -> bool:
    """Tells whether the weights at the end of an epoch (counted from 0) are among those that are averaged.

    Example:
        >>> stage = Stage("s", 5, 8, 1e-3, average_last=2, early_stopping_patience=None)
        >>> [is_averaged(stage, epoch) for epoch in range(5)]
        [False, False, False, True, True]
    """
    return stage.average_last is not None and epoch >= stage.epochs - stage.average_last


def set_average(model: keras.Model, folder: Path, stage: Stage, batches: Iterable[Any]) -> None:
    """Sets a model's weights to the mean of those in the files of the last epochs (`epoch_file`).

    The means and variances of batch norms that were trained are then computed anew for the averaged weights, as
    section 3.2 of the paper requires; frozen batch norms keep theirs.

    Args:
        model: The model of the stage, with the layers trainable as in the stage.
        folder: Folder of the files.
        stage: The stage, with `average_last`.
        batches: Batches of training images with their labels; read only if batch norms were trained.

    Raises:
        WeightsError: A file of saved weights is missing.
    """
    last = stage.average_last or 1
    _set_mean(model, folder, stage, range(stage.epochs - last, stage.epochs))
    refresh_batch_norm(model, batches)


def best_epochs(aucs: Mapping[int, float], stage: Stage) -> list[int]:
    """Returns the epochs whose weights may be part of the greedy soup, best first; the earlier of two equal ones.

    Args:
        aucs: Epoch (from 0) -> val_auc, of all epochs so far.
        stage: The stage; without `soup` there are none.

    Example:
        >>> best_epochs({0: 0.7, 1: 0.8, 2: 0.8, 3: 0.6}, Stage("s", 5, 8, 1e-3, soup=3))
        [1, 2, 0]
    """
    return sorted(aucs, key=lambda epoch: (-aucs[epoch], epoch))[: stage.soup or 0]


def set_soup(
    model: keras.Model,
    folder: Path,
    stage: Stage,
    epochs: Sequence[int],
    batches: Iterable[Any],
    score: Callable[[], float],
) -> list[int]:
    """Sets a model's weights to the greedy soup of those in the files of some epochs (`epoch_file`).

    The statistics of batch norms are computed anew for each mean of several, as by `set_average`.

    Args:
        model: The model of the stage, with the layers trainable as in the stage.
        folder: Folder of the files.
        stage: The stage.
        epochs: The epochs (from 0), best first.
        batches: Batches of training images with their labels, as often as they are asked for.
        score: Returns the val_auc of the model as it is.

    Returns:
        The epochs that are part of the soup.

    Raises:
        WeightsError: A file of saved weights is missing.
    """

    def mix(chosen: Sequence[int]) -> None:
        _set_mean(model, folder, stage, chosen)
        if len(chosen) > 1:
            refresh_batch_norm(model, batches)

    soup = [epochs[0]]
    mix(soup)
    best, kept = score(), _copied(model)
    for epoch in epochs[1:]:
        mix([*soup, epoch])
        if (found := score()) >= best:
            soup, best, kept = [*soup, epoch], found, _copied(model)
    model.set_weights(kept)
    return soup


def _copied(model: keras.Model) -> list[np.ndarray]:
    # JAX frees a model's arrays when it predicts, so they must not be views of them.
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.weights]


def _set_mean(model: keras.Model, folder: Path, stage: Stage, epochs: Sequence[int]) -> None:
    sums: list[np.ndarray] = []
    for epoch in epochs:
        path = epoch_file(folder, stage, epoch)
        if not path.is_file():
            raise WeightsError(f"stage {stage.name!r}: the weights to be averaged are missing: {path}")
        with without_optimizer(model):
            model.load_weights(path)
        values = [np.asarray(keras.ops.convert_to_numpy(v), np.float64) for v in model.weights]
        sums = [total + value for total, value in zip(sums, values, strict=True)] if sums else values
    for variable, total in zip(model.weights, sums, strict=True):
        variable.assign((total / len(epochs)).astype(variable.dtype))


def forget_epochs(folder: Path, stage: Stage, kept: Sequence[int] = ()) -> None:
    """Deletes the files of `epoch_file`, except those of the epochs `kept`."""
    for epoch in set(range(stage.epochs)) - set(kept):
        epoch_file(folder, stage, epoch).unlink(missing_ok=True)


def refresh_batch_norm(model: keras.Model, batches: Iterable[Any]) -> int:
    """Replaces the statistics of trainable batch norms by their mean over batches of images.

    Args:
        model: The model; weights stay as they are.
        batches: (images, labels) or images, in the form that `fit` takes.

    Returns:
        Number of batch norms; 0 if all are frozen, and then no batch is read.

    Example:
        >>> model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
        >>> refresh_batch_norm(model, [np.array([[1.0], [3.0]]), np.array([[2.0], [6.0]])])
        1
        >>> model.layers[0].moving_mean.numpy().tolist()  # (2 + 4) / 2
        [3.0]
    """
    norms = [layer for layer in leaf_layers(model) if _learns_statistics(layer)]
    if not norms:
        return 0
    momenta = [layer.momentum for layer in norms]
    try:
        for seen, batch in enumerate(batches):
            for layer in norms:
                # moving = momentum * moving + (1 - momentum) * new: with these momenta the mean of all batches.
                layer.momentum = seen / (seen + 1)
            model(np.asarray(batch[0] if isinstance(batch, tuple) else batch), training=True)
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
    return len(norms)


def _learns_statistics(layer: keras.layers.Layer) -> bool:
    return isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
