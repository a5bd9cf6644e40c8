"""Checkpoints that survive a kill at any moment: written under a temporary name, renamed, and verified by checksum.

A checkpoint is a folder of three files: all variables in `variables.safetensors`, the remaining state in `state.json`,
and the sha256 of both in `sha256.json`. Unlike Keras' weights files it includes the dropout seeds and the optimizer's
variables, so that training resumes exactly.
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
from zoo.training import mirrored

VARIABLES, STATE, CHECKSUMS = "variables.safetensors", "state.json", "sha256.json"

#: File in a checkpoint that is kept until another one with such a file is written.
PINNED = "pinned"

#: Number of checkpoints that are kept: the newest, and the one before it in case the newest gets damaged; besides, the
#: newest pinned one.
KEPT = 2


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint that was read and verified.

    Attributes:
        arrays: Name -> value of every variable.
        state: The state given to `Checkpoints.save`.
    """

    arrays: Mapping[str, np.ndarray]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run. The caller must hold the run's lock, so that one process writes at a time.

    Args:
        folder: Folder of the checkpoints; created if missing. Incomplete checkpoints of a killed process are removed.

    Example:
        >>> import tempfile
        >>> checkpoints = Checkpoints(Path(tempfile.mkdtemp()))
        >>> _ = checkpoints.save({"model/00000": np.zeros(2)}, {"epoch": 3})
        >>> checkpoints.load().state
        {'epoch': 3}
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            recover_inside(folder)
        except OSError as error:
            raise CheckpointError(f"{folder}: cannot keep checkpoints here ({error})") from error

    def save(self, arrays: Mapping[str, np.ndarray], state: Mapping[str, Any], *, pin: bool = False) -> Path:
        """Writes a checkpoint; once it is safely on disk, all older ones but the last are deleted.

        Args:
            arrays: Name -> value of every variable.
            state: Further state that can be written as JSON.
            pin: Whether it is kept until another pinned one is written.

        Returns:
            Folder of the new checkpoint.

        Raises:
            CheckpointError: It cannot be written, for example on a full disk; the previous checkpoint is kept.
        """
        existing = self._folders()
        target = self.folder / f"{int(existing[-1].name) + 1 if existing else 1:08d}"
        try:
            with whole_folder(target) as new:
                _write(new, arrays, state)
                if pin:
                    (new / PINNED).touch()
            _verify(target)
        except (OSError, SafetensorError) as error:
            shutil.rmtree(target, ignore_errors=True)
            raise CheckpointError(
                f"{self.folder}: the checkpoint cannot be written ({error}); the previous one is kept"
            ) from error
        found = [*existing, target]
        pinned = self._pinned(found)[-1:]
        for old in found[:-KEPT]:
            if old not in pinned:
                shutil.rmtree(old)
        return target

    def pinned(self) -> Snapshot | None:
        """Loads the newest pinned checkpoint; None if there is none, or if it is damaged, with a warning."""
        for folder in self._pinned(self._folders())[-1:]:
            try:
                return _read(folder)
            except (OSError, ValueError, SafetensorError) as error:
                warn_user(f"{folder}: damaged ({error})")
        return None

    def load(self) -> Snapshot | None:
        """Loads the newest undamaged checkpoint, with a warning for each damaged one; None if there is none at all.

        Raises:
            CheckpointError: All checkpoints are damaged.
        """
        damaged: list[Path] = []
        for folder in reversed(self._folders()):
            try:
                snapshot = _read(folder)
            except (OSError, ValueError, SafetensorError) as error:
                warn_user(f"{folder}: damaged ({error}); going back to the previous one")
                damaged.append(folder)
                continue
            # Damaged checkpoints must not count towards `KEPT`.
            for useless in damaged:
                shutil.rmtree(useless)
            return snapshot
        if damaged:
            raise CheckpointError(
                f"{self.folder}: every checkpoint is damaged ({', '.join(p.name for p in damaged)}); "
                "delete the folder to start again"
            )
        return None

    @staticmethod
    def _pinned(folders: Sequence[Path]) -> list[Path]:
        return [folder for folder in folders if (folder / PINNED).exists()]

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
    """Collects every variable that training changes, named by kind and position.

    Keras' own names are not used, since they differ between processes. Included are weights, batch-norm statistics and
    seed generators; the optimizer's moments, counters, loss scale and averaged weights; and the running sums of the
    current epoch's loss.
    """
    kinds: dict[str, Sequence[keras.Variable]] = {
        "model": model.variables,
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    # Some Keras versions list the metric or optimizer variables of a compiled model among its own.
    seen: set[int] = set()
    found: dict[str, keras.Variable] = {}
    for kind, variables in kinds.items():
        new = [v for v in variables if id(v) not in seen]
        seen.update(id(v) for v in new)
        found |= {f"{kind}/{i:05d}": v for i, v in enumerate(new)}
    return found


def collect(model: keras.Model) -> dict[str, np.ndarray]:
    """Copies the value of each variable in `variables_of`."""
    return {k: mirrored.value_of(v) for k, v in variables_of(model).items()}


def restore(model: keras.Model, arrays: Mapping[str, np.ndarray]) -> None:
    """Sets each variable in `variables_of` after comparing their number, shapes and dtypes.

    Raises:
        CheckpointError: The arrays belong to another model or optimizer; no variable was changed.
    """
    variables = variables_of(model)
    for name in {**variables, **arrays}:
        here = _form(mirrored.value_of(variables[name])) if name in variables else "nothing"
        saved = _form(arrays[name]) if name in arrays else "nothing"
        if here != saved:
            raise CheckpointError(
                f"the checkpoint belongs to another model: {name} is {saved} in the checkpoint and {here} in this model"
            )
    for name, variable in variables.items():
        mirrored.set_value(variable, arrays[name])


def _form(value: Any) -> str:
    return f"{keras.backend.standardize_dtype(value.dtype)} {tuple(value.shape)}"
