"""Checkpoints that survive a kill at any instant: written aside, checksummed, renamed, read back.

A checkpoint is a folder of three files: every variable in `variables.safetensors`, the rest in `state.json`, and the
sha256 of both in `sha256.json`. It holds what Keras' own weight files leave out, the states of dropout's seed
generators and the optimiser's variables among it, all in one folder, so that no two files can disagree.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from zoo.core.errors import CheckpointError
from zoo.core.files import recover_inside, sha256, whole_folder
from zoo.core.warn import warn_user

VARIABLES, STATE, CHECKSUMS = "variables.safetensors", "state.json", "sha256.json"

#: The newest, and the one before in case the newest is damaged later.
KEPT = 2


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint that was read and verified.

    Attributes:
        arrays: Name -> value of every variable.
        state: The rest, as it was given to `Checkpoints.save`.
    """

    arrays: Mapping[str, np.ndarray]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run. One process at a time: the caller holds the run's lock.

    Args:
        folder: Where they lie; made when missing. What a killed process left half-written there is removed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            recover_inside(folder)
        except OSError as error:
            raise CheckpointError(f"{folder}: cannot keep checkpoints here ({error})") from error

    def save(self, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> Path:
        """Writes a checkpoint; the ones before it go only when it is safely on the disk, and all but one of them.

        Raises:
            CheckpointError: It cannot be written (a full disk); the one before is kept.
        """
        existing = self._folders()
        target = self.folder / f"{int(existing[-1].name) + 1 if existing else 1:08d}"
        try:
            with whole_folder(target) as new:
                _write(new, arrays, state)
            _verify(target)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(target, ignore_errors=True)
            raise CheckpointError(f"{self.folder}: no checkpoint written ({error}); the one before is kept") from error
        for old in [*existing, target][:-KEPT]:
            shutil.rmtree(old)
        return target

    def load(self) -> Snapshot | None:
        """The newest checkpoint that verifies, with a warning for each damaged one; None when there is none at all.

        Raises:
            CheckpointError: There are some, and all are damaged.
        """
        damaged: list[Path] = []
        for folder in reversed(self._folders()):
            try:
                snapshot = _read(folder)
            except (OSError, ValueError, SafetensorError) as error:
                warn_user(f"{folder}: damaged ({error}); going back to the one before")
                damaged.append(folder)
                continue
            # They would count among the ones that are kept.
            for useless in damaged:
                shutil.rmtree(useless)
            return snapshot
        if damaged:
            raise CheckpointError(
                f"{self.folder}: every checkpoint is damaged ({', '.join(p.name for p in damaged)}); "
                "delete the folder to start anew"
            )
        return None

    def _folders(self) -> list[Path]:
        """Finished checkpoints, oldest first."""
        return sorted(p for p in self.folder.iterdir() if p.name.isdigit() and p.is_dir())


def _write(folder: Path, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
    save_file(dict(arrays), folder / VARIABLES)
    (folder / STATE).write_text(json.dumps(state), "utf-8")
    checksums = {name: sha256(folder / name) for name in (VARIABLES, STATE)}
    (folder / CHECKSUMS).write_text(json.dumps(checksums), "utf-8")


def _read(folder: Path) -> Snapshot:
    _verify(folder)
    state = json.loads((folder / STATE).read_text("utf-8"))
    return Snapshot(load_file(folder / VARIABLES), state)


def _verify(folder: Path) -> None:
    checksums = json.loads((folder / CHECKSUMS).read_text("utf-8"))
    for name in (VARIABLES, STATE):
        if not isinstance(checksums, dict) or sha256(folder / name) != checksums.get(name):
            raise OSError(f"{name} is not what was written")


def variables_of(model: keras.Model) -> dict[str, keras.Variable]:
    """Every variable that training changes, by kind and position: names made by Keras differ between processes.

    Weights, batch-norm statistics, seed generators; the optimiser's moments, counters, loss scale and average of the
    weights; the sums behind the loss of the epoch that runs.
    """
    kinds: dict[str, Sequence[keras.Variable]] = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    # Some Keras versions list a compiled model's metric or optimiser variables among its own.
    seen: set[int] = set()
    found: dict[str, keras.Variable] = {}
    for kind, variables in kinds.items():
        new = [v for v in variables if id(v) not in seen]
        seen.update(id(v) for v in new)
        found |= {f"{kind}/{i:05d}": v for i, v in enumerate(new)}
    return found


def collect(model: keras.Model) -> dict[str, np.ndarray]:
    """The value of each of `variables_of`, copied."""
    return {k: np.array(keras.ops.convert_to_numpy(v)) for k, v in variables_of(model).items()}


def restore(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets each of `variables_of`; compares number, shapes and dtypes before the first is set.

    Raises:
        CheckpointError: The arrays are of another model or optimiser.
    """
    variables = variables_of(model)
    for name in {**variables, **arrays}:
        here = _form(variables[name]) if name in variables else "nothing"
        saved = _form(arrays[name]) if name in arrays else "nothing"
        if here != saved:
            raise CheckpointError(f"the checkpoint is of another model: {name} is {saved} in it, and {here} here")
    for name, variable in variables.items():
        variable.assign(arrays[name])


def _form(value: Any) -> str:
    return f"{keras.backend.standardize_dtype(value.dtype)} {tuple(value.shape)}"
