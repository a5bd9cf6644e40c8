"""What must be equal for a run to be resumed, and the position from which it is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from zoo._version import __version__
from zoo.config.codec import from_dict
from zoo.config.specs import to_dict
from zoo.core.errors import CheckpointError, RecipeError
from zoo.core.progress import Progress
from zoo.core.warn import warn_user
from zoo.data.identity import DataIdentity, refuse_other_data
from zoo.data.splits import Split
from zoo.training.checkpoint import Checkpoints
from zoo.training.jobs import Position
from zoo.training.recipe import Recipe

#: Fields that do not affect the trained weights: a run may be resumed with other values of them. Weights of the
#: members that are no numbers train the plain mean; they are fitted afterwards. The number of devices, which may be
#: "all", is compared as the identity knows it.
FREE_FIELDS = frozenset(
    {"checkpoint_minutes", "cache", "fill_missing", "table.images", "ensemble.weighting", "teaching.teacher", "devices"}
)

#: What a checkpoint is of that does not say how many devices it was trained on.
ONE = "1 device"

#: File in the run folder that records the data of the run.
DATA = "data.json"


def refuse_changes(recipe: Recipe, data: DataIdentity, run_dir: Path) -> None:
    """Raises if a run that has begun would be resumed with another recipe or on other data; reads no weights.

    Raises:
        CheckpointError: The message names the differences.
    """
    if not has_begun(run_dir) or not (run_dir / "recipe.json").is_file():
        return
    try:
        saved = json.loads((run_dir / "recipe.json").read_bytes())
        before = DataIdentity.load(run_dir / DATA) if (run_dir / DATA).is_file() else None
    except (ValueError, RecursionError) as error:  # `CheckpointError` is one
        # The checkpoint has the recipe and hashes of the data too, and is compared; it only cannot name what differs.
        warn_user(f"{run_dir}: recipe.json or {DATA} is damaged ({type(error).__name__}) and is written anew")
        (run_dir / DATA).unlink(missing_ok=True)
        return
    _refuse_recipe(saved, recipe, run_dir)
    if before is not None:
        refuse_other_data(before, data, run_dir)


def has_begun(run_dir: Path) -> bool:
    """Whether a run, or a member of it, has a checkpoint."""
    return any(True for where in ("", "members/*/") for _ in run_dir.glob(f"{where}checkpoint/[0-9]*"))


def identity_of(recipe: Recipe, split: Split, precision: str, data: DataIdentity, devices: str = ONE) -> dict[str, Any]:
    """What must be equal for a run to be resumed, and the versions, of which a change gives a warning."""
    return {
        "recipe": to_dict(recipe),
        "split": split.hash,
        "data": data.key,
        "precision": precision,
        "devices": devices,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """What a result depends on beside the recipe and the data, of which a change gives a warning."""
    return {"zoo": __version__, "keras": keras.__version__, "backend": keras.config.backend()}


def resume(
    checkpoints: Checkpoints, now: Mapping[str, Any], recipe: Recipe, run_dir: Path, progress: Progress, who: str = ""
) -> tuple[Position, Mapping[str, np.ndarray] | None]:
    """The position and variables to resume from; the start and None in a new folder.

    Args:
        checkpoints: The checkpoints.
        now: Identity of the run as it would be resumed.
        recipe: The recipe.
        run_dir: Folder of the run, for messages.
        progress: Receives how far the run was.
        who: Name of the member that the checkpoints are of, "" for all of them.

    Raises:
        CheckpointError: Recipe, split, data, precision or devices differ; the message names what does.
    """
    snapshot = checkpoints.load()
    if snapshot is None:
        return Position(), None
    compare(snapshot.state["identity"], now, recipe, run_dir)
    position = Position(**snapshot.state["position"])
    done = f"{len(position.history)} epochs" + (f" and {position.step} steps" if position.step else "")
    progress.message(f"{who}{': ' if who else ''}resuming after {done}")
    return position, snapshot.arrays if position.begun else None


def compare(saved: Mapping[str, Any], now: Mapping[str, Any], recipe: Recipe, run_dir: Path) -> None:
    """Compares the identity of a checkpoint with that of the run as it would be resumed.

    Raises:
        CheckpointError: Recipe, split, data, precision or devices differ; the message names what does.
    """
    _refuse_recipe(saved["recipe"], recipe, run_dir)
    for what, key in saved.get("data", {}).items():
        if key and now["data"][what] and key != now["data"][what]:
            raise CheckpointError(f"{run_dir} was trained on other {what}: use another run folder (--run) or --replace")
    if saved["split"] != now["split"]:
        raise CheckpointError(f"{run_dir} was trained with another split or table: use a new run folder or --replace")
    if saved["precision"] != now["precision"]:
        raise CheckpointError(
            f"{run_dir} was trained in {saved['precision']}, but this device would use {now['precision']}: "
            "resume it on a similar device, or use a new run folder"
        )
    before, here = (identity.get("devices", ONE) for identity in (saved, now))  # older ones know of one alone
    if before != here:
        raise CheckpointError(
            f"{run_dir} was trained on {before}, and would go on with {here}, which adds numbers in another order: use "
            "as many (devices in the recipe), or a new run folder or --replace"
        )
    for name, version in saved["versions"].items():
        if version != now["versions"].get(name):
            warn_user(
                f"{run_dir} is resumed under {name} {now['versions'].get(name)} but began under {version}: the result "
                "will not be bit for bit that of an uninterrupted run"
            )


def _refuse_recipe(saved: Mapping[str, Any], recipe: Recipe, run_dir: Path) -> None:
    changed = differences(saved, recipe)
    if changed:
        raise CheckpointError(
            f"{run_dir} was trained with another recipe (it differs in {', '.join(changed)}): use a new run folder "
            "or --replace"
        )


def differences(saved: Mapping[str, Any], recipe: Recipe) -> list[str]:
    """Lists the paths of the fields, except `FREE_FIELDS`, in which a recipe differs from a saved one (`to_dict`).

    Fields that did not exist when it was saved count as their defaults.
    """
    try:
        saved = to_dict(from_dict(Recipe, saved))
    except RecipeError:  # it has fields that are gone: compared as it is
        plain = Recipe(recipe.name, recipe.ensemble, recipe.stages)
        saved = {**to_dict(plain), **saved}
    before, now = dict(_flat(saved)), dict(_flat(to_dict(recipe)))
    changed = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    return [path for path in changed if path not in FREE_FIELDS and path.partition(".")[0] != "tta"]


def _flat(value: Any, path: str = "") -> Iterable[tuple[str, Any]]:
    items = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for key, item in items:
        yield from _flat(item, f"{path}.{key}".lstrip("."))
