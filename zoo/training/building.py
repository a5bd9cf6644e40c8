"""The model of a job, and its weights files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import keras

from zoo.core.errors import RecipeError, UsageError, WeightsError
from zoo.core.files import sha256, whole_file
from zoo.models import architectures, heads
from zoo.models.drop_path import require_place
from zoo.models.ensemble import Ensemble
from zoo.models.weights import pretrained
from zoo.models.weights.files import uninitialized
from zoo.training import processes
from zoo.training.jobs import Job
from zoo.training.recipe import Recipe


def check(recipe: Recipe, fresh: bool) -> None:
    """Raises what building a member would raise, since the last one may be built after days of training.

    Args:
        recipe: The recipe.
        fresh: Whether nothing was trained yet; later, files that members start from may be gone.

    Raises:
        UnknownNameError: No such backbone or head.
        UsageError: A backbone cannot have the rate of stochastic depth.
        RecipeError: The images of a stage are too small for a backbone.
        WeightsError: There are no weights to start from.
    """
    for member in recipe.ensemble.members:
        row = architectures.get(member.backbone)
        heads.require(member.head)
        if member.drop_path is not None:
            require_place(row, member.drop_path)
        for stage in recipe.stages:
            try:
                row.require_image_size(stage.image_size or recipe.ensemble.image_size)
            except UsageError as error:
                raise RecipeError(f"stage {stage.name!r}: member {member.name!r}: {error}") from None
        if fresh and member.weights is not None:
            pretrained.require(row, member.weights)


def build(job: Job, fresh: bool = True, known: Mapping[str, str] | None = None) -> Ensemble:
    """Builds the job's model with the weights that it starts from, or with uninitialized ones if not `fresh`.

    Args:
        job: The job.
        fresh: Whether it starts here.
        known: Member and file -> sha256 of weights that were written (`Position.weights`).

    Raises:
        WeightsError: The weights of the stage before are missing, or not what was written.
    """
    start = job.start if fresh else None
    if start is not None:
        if not start.is_file():
            raise WeightsError(f"{job.title}: the weights of the stage before are missing: {start}")
        written = (known or {}).get(f"{job.member}/{start.name}")
        if written is not None and sha256(start) != written:
            raise WeightsError(
                f"{start}: damaged or changed after it was written, so {job.title} cannot start from it: bring it "
                "back, or start the run anew (--replace)"
            )
    keras.utils.set_random_seed(job.seed)
    if fresh and start is None:
        return Ensemble.from_spec(job.spec, start=True)
    # JAX compares what several processes put on their devices, and NaN differs from NaN.
    with uninitialized() if processes.count() == 1 else nullcontext():
        model = Ensemble.from_spec(job.spec)
    if start is not None:
        model.load_weights(start)
    return model


def save_weights(model: keras.Model, path: Path) -> None:
    """Writes the model's weights to a `.weights.h5` file, atomically and without the optimizer.

    Of several processes the first one does, and the others wait for it.
    """
    processes.by_first(lambda: _save_weights(model, path))


def _save_weights(model: keras.Model, path: Path) -> None:
    with without_optimizer(model), whole_file(path) as new:
        model.save_weights(new)


@contextmanager
def without_optimizer(model: keras.Model) -> Iterator[None]:
    """Hides the optimizer of a compiled model, which Keras would save, making the file three times as large, and miss
    in the file with a warning.
    """
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        yield
    finally:
        model.optimizer = optimizer
