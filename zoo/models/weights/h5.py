"""Converts Keras weights files (`*.weights.h5`) to safetensors in a child process.

A damaged HDF5 file can crash the library that reads it or keep it busy for ever, and nothing inside the process can
prevent either. A child process with limits reads it, so that the caller gets an error instead.

    python -m zoo.models.weights.h5 FILE FOLDER     (the spec as JSON on standard input; null for any tensors)
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from zoo.config.specs import EnsembleSpec, from_dict, to_dict
from zoo.core.errors import RecipeError, UnknownNameError, WeightsError
from zoo.core.exchange import beside, real_path
from zoo.core.file_kinds import looks_like

if TYPE_CHECKING:
    import h5py

#: Name of the file in which a child hands over tensors.
_TENSORS = "tensors.safetensors"

#: Exit status of a child that refused the file and gave a reason.
_REFUSED = 3


def convert(
    path: str | Path, spec: EnsembleSpec, folder: str | Path, *, timeout_s: float = 120.0, memory_gb: float = 4.0
) -> None:
    """Writes `<member>.safetensors` for each member of an ensemble, all of them or none.

    Args:
        path: A local `.weights.h5` file written by an `Ensemble` of `spec`. It is trusted not to be an attack, but may
            be damaged.
        spec: The specification of the ensemble; its backbones and heads are those that the package registers.
        folder: Output folder; created if missing.
        timeout_s: Seconds until the child is killed, including the start of the backend.
        memory_gb: Memory in GB that reading may take in addition to the built model (on Linux).

    Raises:
        WeightsError: No such file; not HDF5; damaged; of another model; with links or values in other files; or the
            child crashed or ran out of time or memory.
    """
    path, folder = _checked(path), Path(folder)
    with beside(real_path(folder / "converted")) as new:
        _run_child(path, spec, new, timeout_s, memory_gb)
        for member in spec.members:
            (new / f"{member.name}.safetensors").replace(folder / f"{member.name}.safetensors")


def tensors(path: str | Path, *, timeout_s: float = 120.0, memory_gb: float = 4.0) -> dict[str, np.ndarray]:
    """Reads all values of an HDF5 weights file, such as those that older versions of Keras wrote (`.h5`).

    Args:
        path: The file; it may be damaged.
        timeout_s: Seconds until the child that reads it is killed.
        memory_gb: Memory in GB that reading may take (on Linux).

    Returns:
        Path in the file, such as "conv1/conv/conv1/conv/kernel:0" -> value.

    Raises:
        WeightsError: As `convert`.
    """
    path = _checked(path)
    with tempfile.TemporaryDirectory() as folder:
        _run_child(path, None, Path(folder), timeout_s, memory_gb)
        return load_file(Path(folder) / _TENSORS)


def _checked(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no weights file at {path}")
    if not looks_like(path).startswith("an HDF5 file"):
        raise WeightsError(f"{path} is not a Keras weights file (.weights.h5): it is {looks_like(path)}")
    return path


def _run_child(path: Path, spec: EnsembleSpec | None, folder: Path, timeout_s: float, memory_gb: float) -> None:
    order = {"ensemble": None if spec is None else to_dict(spec), "timeout_s": timeout_s, "memory_gb": memory_gb}
    command = [sys.executable, "-m", "zoo.models.weights.h5", str(path.absolute()), str(folder.absolute())]
    # The child needs no GPU and must not take GPU memory from its parent.
    env = os.environ | {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
    try:
        done = subprocess.run(
            command,
            input=json.dumps(order),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
            env=env,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise WeightsError(
            f"{path} was not converted: reading was stopped after {timeout_s:g} s; "
            "the file is damaged, or the machine is busy and needs a longer timeout_s"
        ) from None
    if done.returncode == 0:
        return
    lines = (done.stdout if done.returncode == _REFUSED else done.stderr).strip().splitlines()
    reason = lines[-1] if lines else f"exit status {done.returncode} without a message"
    if done.returncode < 0:
        reason = (
            f"the process that read it was killed by {_signal_name(-done.returncode)}; "
            f"the file is damaged, or takes more than {memory_gb:g} GB of memory"
        )
    raise WeightsError(f"{path} was not converted: {reason}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# What follows runs in the child.


def main() -> int:
    """Converts in this process and returns the exit status; prints the reason if the file is refused."""
    path, folder = (Path(argument) for argument in sys.argv[1:3])
    order = json.load(sys.stdin)
    _limit_time(order["timeout_s"])
    try:
        if order["ensemble"] is None:
            _tensors_here(path, folder, order["memory_gb"])
        else:
            _convert_here(path, from_dict(EnsembleSpec, order["ensemble"], "ensemble"), folder, order["memory_gb"])
    except MemoryError:
        reason = f"reading it takes more than {order['memory_gb']:g} GB of memory, or the file is damaged"
    except (OSError, KeyError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        if not isinstance(error, WeightsError | RecipeError | UnknownNameError):
            whose = f" of {order['ensemble']['name']!r}" if order["ensemble"] else ""
            reason = f"not readable as weights{whose}: {reason}"
    else:
        return 0
    sys.stdout.write(f"\n{reason}\n")
    return _REFUSED


def _convert_here(path: Path, spec: EnsembleSpec, folder: Path, memory_gb: float) -> None:
    import h5py  # noqa: F401  (itself needs memory)

    with _limited_memory(memory_gb):
        shapes = _shapes(path)
    # Without a limit: the memory that a backend takes says nothing about the file.
    from zoo.models.ensemble import Ensemble
    from zoo.models.weights.files import save_safetensors, uninitialized

    with uninitialized():
        model = Ensemble.from_spec(spec)
    _require_shapes(shapes, [tuple(variable.shape) for variable in model.weights])
    with _limited_memory(memory_gb):
        model.load_weights(path)
    for member in model.members:
        save_safetensors(member, folder / f"{member.name}.safetensors")


def _tensors_here(path: Path, folder: Path, memory_gb: float) -> None:
    import h5py

    with _limited_memory(memory_gb):
        _shapes(path)
        with h5py.File(path, "r") as file:
            found = {name: np.ascontiguousarray(dataset[()]) for name, dataset in _datasets(file, "", set())}
        save_file(found, folder / _TENSORS)


def _shapes(path: Path) -> list[tuple[int, ...]]:
    """The shape of each weight; refuses what Keras never writes: values in other files, or missing ones."""
    import h5py

    shapes = []
    with h5py.File(path, "r") as file:
        for name, dataset in _datasets(file, "", set()):
            if dataset.is_virtual or dataset.external:
                raise WeightsError(f"{name} lies in another file; only a file that holds its own values is read")
            if dataset.dtype.kind not in "fiu" or dataset.shape is None:
                raise WeightsError(f"{name} holds no numbers but {dataset.dtype}")
            if dataset.id.get_storage_size() != dataset.nbytes:
                stored = dataset.id.get_storage_size()
                raise WeightsError(f"{name} of shape {dataset.shape} needs {dataset.nbytes:,} bytes, it has {stored:,}")
            shapes.append(dataset.shape)
    return shapes


def _require_shapes(found: list[tuple[int, ...]], wanted: list[tuple[int, ...]]) -> None:
    """Keras matches weights by their order and says little when they do not fit."""
    extra, missing = Counter(found) - Counter(wanted), Counter(wanted) - Counter(found)
    if extra or missing:
        shown = [", ".join(map(str, list(shapes)[:4])) or "none" for shapes in (extra, missing)]
        raise WeightsError(
            f"it is of another model: it holds {len(found)} weights, the model {len(wanted)}; "
            f"{extra.total()} shapes are the file's alone ({shown[0]}), {missing.total()} the model's ({shown[1]})"
        )


def _datasets(group: h5py.Group, prefix: str, seen: set[Any]) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yields every dataset below a group with its path, each object once."""
    import h5py

    for key in group:
        name = f"{prefix}{key}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise WeightsError(f"{name} is a link; only a file that holds its own values is read")
        item = group[key]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise WeightsError(f"{name} is a second name of one object; Keras writes no such file")
        seen.add(address)
        if isinstance(item, h5py.Dataset):
            yield name, item
        elif isinstance(item, h5py.Group):
            yield from _datasets(item, f"{name}/", seen)


def _limit_time(timeout_s: float) -> None:
    """Ends this process shortly after the timeout, so that it does not outlive a killed parent."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(timeout_s) + 10)


@contextlib.contextmanager
def _limited_memory(memory_gb: float) -> Iterator[None]:
    """Limits the memory to this many GB more than the process has now, on Linux; a crash leaves no core dump."""
    status = Path("/proc/self/status")
    if not status.is_file():
        yield
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = resource.getrlimit(resource.RLIMIT_DATA)
    # Private writable memory. The address space is no measure: backends reserve much of it.
    taken = next(line for line in status.read_text().splitlines() if line.startswith("VmData:"))
    limit = int(taken.split()[1]) * 1024 + int(memory_gb * 1e9)
    if before[1] != resource.RLIM_INFINITY:
        limit = min(limit, before[1])
    resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


if __name__ == "__main__":
    sys.exit(main())
