"""Finds the tensors of a network in what a PyTorch file holds: a state dict, a module, or a dict with one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zoo.core.errors import WeightsError
from zoo.models.weights.inert_values import Record
from zoo.models.weights.torch_values import NumpyArray, Tensor

#: Keys under which training scripts keep the network, in the order in which they are tried.
PLACES = ("state_dict", "model_state_dict", "model", "net", "network", "module")

_MAX_TENSORS, _MAX_DEPTH = 100_000, 100


@dataclass
class Found:
    """What was found.

    Attributes:
        tensors: Name -> tensor.
        attributes: Name -> plain value of the outermost record and of the module: a number, text, tuple of these, a
            `Tensor` or an array.
        others: Entries of the outermost record that are neither.
    """

    tensors: dict[str, Tensor] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def find(root: Any) -> Found:
    """Finds tensors and plain values.

    Raises:
        WeightsError: There are no tensors, or too many.
    """
    found = Found()
    _open(root, found, 0)
    if not found.tensors:
        raise WeightsError(f"it holds no tensors of a network, but {_kind(root)}")
    return found


def _open(root: Any, found: Found, depth: int) -> None:
    if isinstance(root, Record) and isinstance(root.state, dict) and "_modules" in root.state:
        _walk(root, found)
        hidden = {"_modules", "_parameters", "_buffers", "training"}
        _keep({k: v for k, v in root.state.items() if k not in hidden}, found)
        return
    entries = root.items if isinstance(root, Record) else root
    if not isinstance(entries, dict):
        return
    # Checkpoints may hold other tensors beside the network, such as the state of a random generator.
    place = next((p for p in PLACES if isinstance(entries.get(p), dict | Record)), None)
    if place is None and any(isinstance(value, Tensor) for value in entries.values()):
        found.tensors.update((k, v) for k, v in entries.items() if isinstance(v, Tensor) and isinstance(k, str))
        _keep({k: v for k, v in entries.items() if not isinstance(v, Tensor)}, found)
        return
    _keep({k: v for k, v in entries.items() if k != place}, found)
    if place is not None and depth < _MAX_DEPTH:
        _open(entries[place], found, depth + 1)


def _walk(root: Record, found: Found) -> None:
    """Adds the parameters and buffers of a module and of those in it, under the names that `state_dict` gives them."""
    waiting, steps = [("", root, 0)], 0
    while waiting:
        prefix, module, depth = waiting.pop()
        state, steps = module.state, steps + 1
        if depth > _MAX_DEPTH or steps > _MAX_TENSORS or len(found.tensors) > _MAX_TENSORS:
            raise WeightsError(f"its modules are nested more than {_MAX_DEPTH} deep, or are more than {_MAX_TENSORS:,}")
        for name, value in [*_entries(state, "_parameters"), *_entries(state, "_buffers")]:
            if isinstance(value, Tensor):
                found.tensors[prefix + name] = value
            elif value is not None:
                raise WeightsError(f"its tensor {(prefix + name)[:80]!r} is {_kind(value)}, which is not read")
        children = [(n, m) for n, m in _entries(state, "_modules") if isinstance(m, Record)]
        waiting += [
            (f"{prefix}{n}.", m, depth + 1) for n, m in reversed(children) if isinstance(m.state, dict) and len(n) < 200
        ]


def _entries(state: dict[Any, Any], name: str) -> Iterator[tuple[str, Any]]:
    entries = state.get(name)
    entries = entries.items if isinstance(entries, Record) else entries
    if isinstance(entries, dict):
        yield from ((k, v) for k, v in entries.items() if isinstance(k, str))


def _keep(entries: dict[Any, Any], found: Found) -> None:
    for name, value in entries.items():
        if not isinstance(name, str) or name.startswith("_"):
            continue
        plain, value = _plain(value)
        if plain:
            found.attributes[name] = value
        else:
            found.others.append(f"{name[:80]} ({_kind(value)})")


def _plain(value: Any) -> tuple[bool, Any]:
    """Whether a value is plain, and the value with lists as tuples; lists of lists are not plain."""
    if isinstance(value, NumpyArray) and value.value is not None:
        return True, value.value
    if isinstance(value, list | tuple):
        parts = tuple(v.value if isinstance(v, NumpyArray) and v.value is not None else v for v in value)
        return all(isinstance(v, bool | int | float | str | None | np.ndarray) for v in parts), parts
    return isinstance(value, bool | int | float | str | None | Tensor), value


def _kind(value: Any) -> str:
    return f"a {value.name[:80]}" if isinstance(value, Record) else f"a {type(value).__name__}"
