"""python tests/devices_run.py FOLDER     trains a tiny network on one device, then on two; prints what came of it.

On two devices it is also stopped in the middle of its second epoch and resumed, and resumed on one.

python tests/devices_run.py FOLDER process     the same as one of two processes, as the environment names them
"""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from small_run import digest, make_recipe, make_table, split_of

from zoo.core.errors import CheckpointError
from zoo.core.keras_compat import layers_within
from zoo.core.progress import Silent
from zoo.training import callbacks, checkpoint, fitting, mirrored, processes, replicas, stages
from zoo.training.interruption import Interruption
from zoo.training.jobs import plan
from zoo.training.optimizers import build_optimizer
from zoo.training.recipe import Recipe, Stage

#: 10 steps in each of two epochs; all that has a state of its own: accumulation, moving averages, a soup.
STAGE = Stage(
    "stage1", 2, 8, 3e-3, weight_decay=1e-2, ema_momentum=0.7, accumulate=2, soup=2, early_stopping_patience=None
)


class Losses(Silent):
    """Takes the loss of each step from the mean that is reported."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self._sum = 0.0

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        self._sum = 0.0 if step == 1 else self._sum
        self.losses.append(loss * step - self._sum)
        self._sum = loss * step


@contextmanager
def without_dropout() -> Iterator[None]:
    """Each model is built with a dropout of 0: which units are dropped depends on how a batch is divided."""
    build: Any = fitting.build

    def undropped(*args: Any) -> Any:
        model = build(*args)
        for layer in layers_within(model):
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0
        return model

    fitting.build = undropped  # type: ignore[assignment]
    try:
        yield
    finally:
        fitting.build = build


@contextmanager
def stopped_after(steps: int) -> Iterator[None]:
    """Training stops as at a signal, after some steps."""
    reason, asked = Interruption.reason, 0

    def count(self: Interruption) -> str:
        nonlocal asked
        asked += 1
        return "SIGTERM" if asked > steps else ""

    Interruption.reason = property(count)  # type: ignore[assignment]
    try:
        yield
    finally:
        Interruption.reason = reason  # type: ignore[method-assign]


def recipe_on(devices: int) -> Recipe:
    """The recipe of this file for a number of devices."""
    return make_recipe(stages=(STAGE,), devices=devices, checkpoint_minutes=1e6)


def main(folder: Path) -> dict[str, Any]:
    callbacks.REPORT_EVERY = 0.0
    replicas.prepare(2)
    table = make_table(folder / "films", 140)
    table.to_pickle(folder / "table.pickle")

    def train(name: str, devices: int) -> tuple[str, Losses]:
        recipe, told = recipe_on(devices), Losses()
        result = stages.train(recipe, table, split_of(table, recipe), folder / name, progress=told)
        return result.stopped, told

    with without_dropout():
        curves = [train("one", 1)[1].losses, train("two", 2)[1].losses]
        with stopped_after(14):
            stopped, _ = train("resumed", 2)
        try:
            train("resumed", 1)
            refused = ""
        except CheckpointError as error:
            refused = str(error)
        train("resumed", 2)
    return {
        "backend": keras.config.backend(),
        "curves": curves,
        "stopped": stopped,
        "refused": refused,
        "ends": [digest(folder / "two"), digest(folder / "resumed")],
        "random": random_states(folder),
    }


def together(folder: Path) -> dict[str, Any]:
    """One of two processes with one device each; the second alone is told to stop, and both do."""
    callbacks.REPORT_EVERY = 0.0
    replicas.prepare(2)
    recipe, told = recipe_on(2), Losses()
    table = pd.read_pickle(folder / "table.pickle")
    split = split_of(table, recipe)
    with without_dropout(), stopped_after(14) if processes.number() == 1 else nullcontext():
        stopped = stages.train(recipe, table, split, folder / "processes", progress=told).stopped
    found = {"losses": told.losses, "stopped": stopped, "number": processes.number()}
    processes.leave()
    return found


def random_states(folder: Path) -> list[list[Any]]:
    """The random states of dropout on two devices, and as a checkpoint brings them back."""
    job = plan(recipe_on(2), folder)[0]
    with replicas.sharing(recipe_on(2)), mirrored.scope(2):
        model = fitting.build(job)
        model.compile(optimizer=build_optimizer(model, job.stage, 1), loss="mse")
        mirrored.prepare(model)
        before = checkpoint.collect(model)
        checkpoint.restore(model, {name: np.zeros_like(value) for name, value in before.items()})
        checkpoint.restore(model, before)
    with mirrored.scope(2):  # of a second strategy, messages would be taken for those of the first one
        assert getattr(keras.Model(model.input, model.output), "distribute_strategy", 0) is getattr(
            model, "distribute_strategy", 0
        )
    named = checkpoint.variables_of(model)
    states = [name for name, variable in named.items() if variable.path.endswith("seed_generator_state")]
    return [[values[name].tolist() for name in states] for values in (before, checkpoint.collect(model))]


if __name__ == "__main__":
    print(json.dumps((main if len(sys.argv) == 2 else together)(Path(sys.argv[1]))))
