"""A run that takes seconds and has all that a checkpoint must hold: BN, dropout, stochastic depth, EMA, loss scale.

python tests/small_run.py DATA RUN CACHE [KILL_POINT]     trains it, killing itself at a named point; CACHE may be ""
"""

import dataclasses
import hashlib
import json
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
from PIL import Image

import zoo  # noqa: F401  (chooses the backend before Keras is imported)
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data.augment import AugmentSpec
from zoo.data.splits import SplitSpec, make_split
from zoo.training.recipe import Recipe, Stage

FINDINGS = ("Atelectasis", "Edema", "No Finding")


def make_table(folder: Path, n: int = 60, seed: int = 0) -> pd.DataFrame:
    """Films of 16 px with a bright left half (Atelectasis) or a bright lower half (Edema), some labels unknown."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 3)) < 0.5).astype(np.float32)
    labels[:, 2] = 1 - labels[:, :2].max(axis=1)
    for i in range(n):
        pixels = rng.integers(60, 120, (16, 16))
        pixels[:, :8] += int(60 * labels[i, 0])
        pixels[8:] += int(60 * labels[i, 1])
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:04d}.png")
    labels[rng.random((n, 3)) < 0.1] = np.nan
    names = [f"{i:04d}.png" for i in range(n)]
    table = pd.DataFrame(
        {
            "Image_path": [str(folder / name) for name in names],
            "Image_name": names,
            "Patient_ID": [f"p{i // 2}" for i in range(n)],
            "Study": "1",
            "Source": "made",
        }
    )
    return table.assign(**dict(zip(FINDINGS, labels.T, strict=True)))


def make_recipe(members: int = 1, **changes: Any) -> Recipe:
    stages = (
        Stage("stage1", epochs=2, batch_size=8, learning_rate=3e-3, weight_decay=1e-2, ema_momentum=0.7, accumulate=2),
        Stage("stage2", epochs=2, batch_size=8, learning_rate=1e-3, unfreeze_top=6, last_weights="last.weights.h5"),
    )
    recipe = Recipe(
        name="small",
        ensemble=EnsembleSpec(
            name="small",
            members=tuple(MemberSpec("tiny", alias=f"tiny{i}", batch_norm_momentum=0.8) for i in range(members)),
            image_size=16,
            findings=FINDINGS,
        ),
        stages=stages,
        augment=AugmentSpec(translation=0.1, brightness=0.05, targeted_noise=3.0, targeted_noise_probability=0.5),
        split=SplitSpec(fractions=(0.6, 0.2, 0.2), seed=1),
        precision="float32",
        seed=7,
    )
    return dataclasses.replace(recipe, **changes)


def split_of(table: pd.DataFrame, recipe: Recipe) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_split(table, recipe.ensemble.findings, recipe.split)


def digest(run: Path) -> dict[str, Any]:
    """What two runs must have in common, bit for bit: the values of their weights, and their history but the seconds.

    Not the bytes of the files: Keras writes the names of layers into them, which count what a process built before.
    """
    weights = {p.relative_to(run).as_posix(): _values_digest(p) for p in sorted(run.rglob("*.h5"))}
    history = pd.read_csv(run / "history.csv").drop(columns="seconds")
    return {"weights": weights, "history": history.to_csv(index=False)}


def _values_digest(path: Path) -> str:
    values = hashlib.sha256()

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            array = item[()]
            values.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())

    with h5py.File(path) as file:
        file.visititems(add)
    return values.hexdigest()


def kill_at(point: str) -> None:
    """Lets this process end itself by SIGKILL when it comes to `point`: "function" or "function:nth call"."""
    from zoo.training import checkpoint, keeping, loop

    name, _, count = point.partition(":")
    places: dict[str, tuple[Any, str, bool]] = {
        "before_aside": (checkpoint, "_write", False),
        "mid_weights": (checkpoint, "save_file", True),
        "before_rename": (Path, "rename", False),
        "after_rename": (checkpoint, "_verify", False),
        "while_deleting": (checkpoint.shutil, "rmtree", False),
        "best_weights": (keeping, "save_weights", True),
        "between_stages": (loop, "fit_job", False),
    }
    owner, attribute, after = places[name]
    original, calls = getattr(owner, attribute), 0

    def dies(*args: Any, **options: Any) -> Any:
        nonlocal calls
        # Folders that are only cleared are no deletion of an old checkpoint.
        calls += name != "while_deleting" or Path(args[0]).name.isdigit()
        last = calls == int(count or 1)
        if last and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **options)
        if last:
            if name == "mid_weights":
                os.truncate(args[1], Path(args[1]).stat().st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, attribute, dies)


def main(data: str, run: str, cache: str, point: str = "") -> None:
    from zoo.data.cache import cache_images
    from zoo.data.images.reading import read_image
    from zoo.training.stages import train

    recipe = make_recipe(precision="mixed_float16", checkpoint_minutes=1e-9)
    table = make_table(Path(data))
    read = cache_images(table["Image_path"], cache, 16, root=data).read if cache else read_image
    if point:
        kill_at(point)
    result = train(recipe, table, split_of(table, recipe), run, read=read)
    print(json.dumps({"stopped": result.stopped, **digest(Path(run))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
