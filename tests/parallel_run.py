"""python tests/parallel_run.py DATA RUN     trains two tiny members side by side, and prints each step."""

import dataclasses
import sys
from pathlib import Path

from small_run import make_recipe, make_table, split_of

from zoo.core.progress import Silent
from zoo.training.recipe import Recipe, Stage

STAGES = (
    Stage("stage1", epochs=2, batch_size=12, learning_rate=3e-3, ema_momentum=0.7),
    Stage("stage2", epochs=1, batch_size=12, learning_rate=1e-3, unfreeze_top=6, last_weights="last.weights.h5"),
)


class Told(Silent):
    """Prints steps at once, so that a test knows when to kill."""

    def on_step(self, title: str, epoch: int, step: int, steps: int, loss: float) -> None:
        print(f"step of {title}", flush=True)


def recipe_of_two() -> Recipe:
    """Two members, two stages of three steps an epoch, a checkpoint after every step."""
    recipe = make_recipe(members=2, stages=STAGES, checkpoint_minutes=1e-9)
    return dataclasses.replace(recipe, members="parallel")


def main(data: str, run: str) -> None:
    from zoo.training.stages import train

    recipe, table = recipe_of_two(), make_table(Path(data))
    train(recipe, table, split_of(table, recipe), run, progress=Told())


if __name__ == "__main__":
    main(*sys.argv[1:])
