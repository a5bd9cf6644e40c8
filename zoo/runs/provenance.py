"""The origin of a release: data, split, seed, code and versions."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from zoo._version import __version__
from zoo.config.specs import to_dict
from zoo.core import home
from zoo.data import splits
from zoo.training.recipe import Recipe


def of_training(
    recipe: Recipe, table: pd.DataFrame, split: splits.Split, data_facts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Returns the origin of a release: data, recipe, split, seed, code and versions."""
    found = origin(table, split, recipe.seed, data_facts)
    made_by = to_dict(dataclasses.replace(recipe, ensemble=recipe.ensemble.without_paths()))
    return {"data": found["data"], "recipe": made_by, **found}


def origin(
    table: pd.DataFrame, split: splits.Split, seed: int, data_facts: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Returns what every release says of its origin: data, split, seed, code and versions."""
    import keras

    return {
        "data": {**(data_facts or {}), "films": len(table), "patients": len({*splits.patients_of(table)})},
        "split": {
            "by": split.by,
            "seed": split.seed,
            "hash": split.hash,
            "films": {part: len(rows) for part, rows in split.parts.items()},
            "leaked_patients": splits.leaked_patients(table, split),
        },
        "seed": seed,
        "zoo": __version__,
        "code": _code(),
        "keras": keras.__version__,
        "backend": keras.config.backend(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _code() -> str:
    """sha256 over the package's source code, which distinguishes two builds of one version."""
    root = home.PACKAGE
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()
