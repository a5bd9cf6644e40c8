"""Several processes of one run, on one machine or on many, whose devices JAX joins (`jax.distributed`).

Each process decodes its rows of every batch, and all take the same steps. The first one alone writes; the others wait
for it and read what it wrote, so that all need the same run folder, images and table under the same names.

A process learns of the others from three variables of the environment, `KERAS_DISTRIBUTION_JOB_ADDRESSES` (host and
port of the first process), `KERAS_DISTRIBUTION_NUM_PROCESSES` and `KERAS_DISTRIBUTION_PROCESS_ID` (from 0), or from
what JAX finds by itself: the tasks of a step of Slurm, or the hosts of a TPU slice.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, TypeVar

import keras
import numpy as np

from zoo.core.errors import TrainingError, UsageError
from zoo.training.interruption import Interruption

T = TypeVar("T")

#: Variables of the environment; they are those of `keras.distribution.initialize`.
ADDRESS, COUNT, NUMBER = (f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID"))

#: Seconds that a process waits at its end for the others, which may have died.
_PATIENCE = 60

#: Reasons to stop that processes can tell each other.
_REASONS = ("", "max_hours", "SIGHUP", "SIGINT", "SIGTERM")

_joined = False


@dataclass(frozen=True)
class Told:
    """What a process knows of the others before it joins them; None where JAX finds it out.

    Attributes:
        address: Host and port of the first process.
        count: Number of processes.
        number: Number of this one, from 0.
    """

    address: str | None = None
    count: int | None = None
    number: int | None = None


def told() -> Told | None:
    """Reads what the environment says of other processes; None if this one is alone.

    Raises:
        UsageError: A variable is missing, or not what it has to be.
    """
    env = os.environ
    if ADDRESS in env:
        address, count, number = env[ADDRESS].split(",")[0], env.get(COUNT, ""), env.get(NUMBER, "")
        whole = count.isdecimal() and number.isdecimal() and int(number) < int(count)
        if not whole or not re.fullmatch(r".+:\d+", address):
            raise UsageError(
                f"{ADDRESS} is HOST:PORT of the first process, and needs two whole numbers beside it, {COUNT} and "
                f"{NUMBER} (from 0, below the other), got {address!r}, {count!r} and {number!r}"
            )
        return Told(address, int(count), int(number))
    if "SLURM_STEP_NODELIST" in env and (tasks := int(env.get("SLURM_NTASKS", 1))) > 1:
        return Told(count=tasks)
    return Told() if "," in env.get("TPU_WORKER_HOSTNAMES", "") else None


def join(devices: int | Literal["all"]) -> None:
    """Joins the other processes of the run, if there are any; call it before JAX is first used.

    Without effect in a process that has joined, and for a recipe of one device that Slurm or a TPU slice runs.

    Raises:
        UsageError: The environment is incomplete, or names several processes for one device; the backend is not JAX, or
            the others cannot be reached.
    """
    global _joined
    if _joined or (known := told()) is None:
        return
    if devices == 1:
        if known.address and (known.count or 1) > 1:
            raise UsageError(
                f"{COUNT} names {known.count} processes, and the recipe trains on 1 device, so that each would train "
                f"alone: --set devices=all, or unset {ADDRESS}"
            )
        return
    if keras.config.backend() != "jax":
        raise UsageError(
            "the environment names several processes, which train together on JAX alone, and the backend is "
            f"{keras.config.backend()}: set KERAS_BACKEND=jax, or start one process"
        )
    import jax

    try:
        jax.distributed.initialize(
            known.address, known.count if known.address else None, known.number, shutdown_timeout_seconds=_PATIENCE
        )
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"the other processes of this run cannot be joined: {error}") from error
    _joined = jax.process_count() > 1


def leave() -> None:
    """Leaves the other processes, at a point that all reach; afterwards each is alone with its own devices."""
    global _joined
    if _joined:
        import jax

        jax.distributed.shutdown()
        _joined = False


def count() -> int:
    """Number of processes that train together.

    Example:
        >>> count()
        1
    """
    if not _joined:
        return 1
    import jax

    return jax.process_count()


def number() -> int:
    """Number of this process, from 0.

    Example:
        >>> number()
        0
    """
    if not _joined:
        return 0
    import jax

    return jax.process_index()


def share() -> tuple[int, int]:
    """Which part of each batch is this process's, of how many.

    Example:
        >>> share()
        (0, 1)
    """
    return number(), count()


def largest(value: int) -> int:
    """The largest of a number over all processes, which must all call this at the same point.

    Example:
        >>> largest(3)
        3
    """
    return int(np.max(_gathered(np.array([value], np.int32))))


def by_first(action: Callable[[], T]) -> T | None:
    """Lets the first process do something while the others wait; they get None.

    Raises:
        TrainingError: The first process failed; it raises its own error.

    Example:
        >>> by_first(lambda: "written")
        'written'
    """
    return _only(number() == 0, action, "the first process")


def in_turn(action: Callable[[], T]) -> T:
    """Lets the first process do something, and then the others the same; each gets its own result.

    Raises:
        TrainingError: Another process failed; it raises its own error.

    Example:
        >>> in_turn(lambda: "read")
        'read'
    """
    first = by_first(action)
    others = None if count() == 1 else _only(number() > 0, action, "another process")
    return others if number() else first  # type: ignore[return-value]


def _only(acts: bool, action: Callable[[], T], who: str) -> T | None:
    """Lets some processes do something while the others wait; all stop if one of them fails."""
    if count() == 1:
        return action()
    result, failed = None, True
    try:
        if acts:
            result = action()
        failed = False
    finally:
        failed = bool(largest(failed))
    if failed:
        raise TrainingError(f"{who} of this run failed; its message says why")
    return result


def require_same(text: str, what: str) -> None:
    """Compares a text of all processes.

    Raises:
        TrainingError: It differs.
    """
    digests = _gathered(np.frombuffer(hashlib.sha256(text.encode()).digest(), np.uint8))
    if len(np.unique(digests.reshape(count(), -1), axis=0)) > 1:
        raise TrainingError(f"the {count()} processes of this run found different {what}: they need the same folder")


class Agreed(Interruption):
    """A reason to stop that all processes see at the same step, whichever of them learned of it.

    Args:
        own: What this process learned.
    """

    def __init__(self, own: Interruption) -> None:
        self._own = own

    @property
    def reason(self) -> str:
        """The reason to stop, or "" to continue."""
        return _REASONS[largest(_REASONS.index(self._own.reason))]

    @property
    def signal(self) -> str:  # type: ignore[override]
        """Name of the signal that came, or ""."""
        return _REASONS[largest(_REASONS.index(self._own.signal))]


def predict(model: keras.Model, batches: Iterable[Any]) -> np.ndarray:
    """The outputs of a model for whole batches, of which each process holds its rows; the same in each process."""
    import jax

    distribution = keras.distribution.distribution()
    assert distribution is not None
    everywhere = jax.sharding.NamedSharding(distribution.device_mesh.backend_mesh, jax.sharding.PartitionSpec())

    @partial(jax.jit, out_shardings=everywhere)
    def forward(trained: Any, others: Any, images: Any) -> Any:
        return model.stateless_call(trained, others, images, training=False)[0]

    weights = [[v.value for v in held] for held in (model.trainable_variables, model.non_trainable_variables)]
    found = []
    for batch in batches:
        rows = np.asarray(batch)
        layout = distribution.get_data_layout(rows.shape).backend_layout
        found.append(np.asarray(forward(*weights, jax.make_array_from_process_local_data(layout, rows))))
    return np.concatenate(found)


def _gathered(values: np.ndarray) -> np.ndarray:
    """The values of all processes, one after the other."""
    if count() == 1:
        return values
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.process_allgather(values))
