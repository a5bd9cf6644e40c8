"""Trains a recipe once for each fold of the patients and writes what each model says of the images it has not seen.

    python tests/benchmarks/cross_validate.py nih_lite --data DIR --out DIR2
    zoo evaluate --predictions DIR2/predictions.csv --labels DIR/Data_Entry*.csv --out DIR2/results

The tested fold serves as the validation part of the training, so the recipe must not select anything on it: no early
stopping, and the last weights or their average are kept. `nih_lite` is such a recipe. Run again to resume.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.progress import Silent
from zoo.data.splits import Split
from zoo.data.tables.reading import read_table
from zoo.evaluation.decision import probabilities
from zoo.training import predicting, stages
from zoo.training.recipe import Recipe, apply_overrides, load_recipe


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    options = parser.parse_args()
    recipe = apply_overrides(load_recipe(options.recipe), options.set)
    check(recipe)
    table = read_table(recipe.dataset, options.data)
    fold = folds_of(table["Patient_ID"].astype(str).to_numpy(), options.folds, options.seed)
    parts = []
    for number in range(options.folds):
        split = split_of(table, fold == number, recipe.split.seed)
        run = options.out / str(number)
        stages.train(recipe, table, split, run)
        rows = split.parts["validation"]
        model = predicting.load_best(recipe, run)
        logits = predicting.predict_logits(model, table, {"validation": rows}, recipe, Silent())
        shown = pd.DataFrame(
            probabilities(logits["validation"][recipe.ensemble.name]), columns=recipe.ensemble.findings
        )
        shown.insert(0, "Image_name", table["Image_name"].to_numpy()[rows])
        parts.append(shown.drop(columns=[f for f in recipe.ensemble.findings if table[f].isna().all()]))
        print(f"fold {number + 1} of {options.folds}: {len(rows):,} images", flush=True)
    pd.concat(parts).to_csv(options.out / "predictions.csv", index=False)


def check(recipe: Recipe) -> None:
    """Refuses a recipe that would choose its weights by the fold it is tested on."""
    for stage in recipe.stages:
        if stage.average_last is None or stage.early_stopping_patience is not None:
            raise SystemExit(
                f"stage {stage.name!r} selects weights on the validation part, which is the tested fold here"
            )


def folds_of(patients: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """The fold of each row: patients in order of their number, shuffled, and dealt out in turn."""
    names = sorted(set(patients), key=lambda name: (len(name), name))
    order = np.random.default_rng(seed).permutation(len(names))
    dealt = {names[place]: position % folds for position, place in enumerate(order)}
    return np.array([dealt[name] for name in patients])


def split_of(table: pd.DataFrame, tested: np.ndarray, seed: int) -> Split:
    """A split whose validation part is the tested fold; the test part, which nothing here reads, is its first image."""
    rows = {"train": np.flatnonzero(~tested), "validation": np.flatnonzero(tested)}
    rows["test"] = rows["validation"][:1]
    names, patients = (table[column].astype(str).to_numpy() for column in ("Image_name", "Patient_ID"))
    assert not set(patients[rows["train"]]) & set(patients[rows["validation"]])
    shares = tuple(len(part) / len(table) for part in rows.values())
    return Split(
        rows, "patient", seed, f"{int(rows['test'][0]):064x}", shares,
        {part: tuple(names[found]) for part, found in rows.items()},
        {part: tuple(patients[found]) for part, found in rows.items()}, {part: {} for part in rows},
    )  # fmt: skip


if __name__ == "__main__":
    main()
