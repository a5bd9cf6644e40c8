"""The one codec of `metrics.json`: typed results to JSON and back.

The rules, from which the form of the file follows:

- A dataclass is an object of its fields in their order; a mapping is an object, a tuple is a list.
- `Estimates` are an object too, whose keys are measures such as "f1@max_f1".
- None is null; a field whose default is None is left out. An `Origin` is written as in `decision.json`.
- Whatever a file has beyond the fields is ignored, so that later versions may add to it.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from zoo.config.specs import to_dict
from zoo.core.errors import EvaluationError, RecipeError
from zoo.evaluation.decision import Origin
from zoo.evaluation.result.checks import SameImages, SharedNames
from zoo.evaluation.result.evaluation import Evaluation
from zoo.evaluation.result.numbers import Estimate, Estimates, Mean, Measure
from zoo.labels.parts import part_of

#: Blocks that an evaluation of files of predictions writes as null where they are None.
_OF_FILES = ("ensemble", "comparison", "readers")


def to_json(result: Any) -> Any:
    """A result, or any part of one, as JSON holds it.

    >>> to_json(Estimates({Measure("f1", "half"): Estimate(0.5, None, None, 9, 4)}))
    {'f1@half': {'value': 0.5, 'low': None, 'high': None, 'n': 9, 'positives': 4}}
    """
    if isinstance(result, Estimates):
        return to_json(result.by_measure)
    if isinstance(result, Origin):
        return to_dict(result)
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return {f.name: item for f in dataclasses.fields(result) for item in _written(result, f)}
    if isinstance(result, Mapping):
        return {str(key): to_json(value) for key, value in result.items()}
    if isinstance(result, tuple | list):
        return [to_json(value) for value in result]
    return result


def from_json(data: Mapping[str, Any]) -> Evaluation:
    """What `metrics.json` holds as a typed result.

    Args:
        data: The parsed file. Older files say "tune" for the validation part.

    Raises:
        EvaluationError: Something is missing or of another type; says where.
    """
    found: Evaluation = _read(Evaluation, data, "metrics.json")
    return dataclasses.replace(found, split=part_of(found.split) or found.split)


def _written(result: Any, field: dataclasses.Field[Any]) -> list[Any]:
    """What stands in the file for a field: one value, or none."""
    value, rule = getattr(result, field.name), field.metadata
    if value is None:
        if rule.get("none") == "empty":
            return [{}]
        null = isinstance(result, Evaluation) and field.name in _OF_FILES and result.kinds is not None
        left_out = field.default is None or rule.get("none") == "omit"
        return [] if left_out and not null else [None]
    if rule.get("empty") == "omit" and not (value.by_measure if isinstance(value, Estimates) else value):
        return []
    return [to_json(value)]


def _read(hint: Any, data: Any, where: str) -> Any:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, data, where)
    if hint is Estimates:
        return Estimates(_read(Mapping[Measure, Estimate], data, where))
    if hint is Estimate and isinstance(data, Mapping) and {"findings", "of"} <= data.keys():
        hint = Mean
    if dataclasses.is_dataclass(hint):
        return _read_fields(typing.cast(type, hint), data, where)
    if origin is tuple:
        if not isinstance(data, list | tuple):
            raise _wrong("a list", data, where)
        return tuple(_read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(data, Mapping):
            raise _wrong("an object", data, where)
        key_of = Measure.parse if arguments[0] is Measure else str
        return {key_of(key): _read(arguments[1], item, f"{where}: {key}") for key, item in data.items()}
    return _read_plain(hint, data, where)


def _read_fields(cls: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong("an object", data, where)
    values, hints = {}, _hints(cls)
    for field in dataclasses.fields(cls):
        given = data.get(field.name)
        if field.name in data and not (field.metadata.get("none") == "empty" and given == {}):
            values[field.name] = _read(hints[field.name], given, f"{where}: {field.name}")
        elif field.metadata.get("none") in ("empty", "omit"):
            values[field.name] = None
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise EvaluationError(f"{where}: {field.name!r} is missing")
    try:
        return cls(**values)
    except RecipeError as error:
        raise EvaluationError(f"{where}: {error}") from error


def _read_union(options: tuple[Any, ...], data: Any, where: str) -> Any:
    if data is None and type(None) in options:
        return None
    if SharedNames in options:
        shared = isinstance(data, Mapping) and "shared" in data
        return _read(SharedNames if shared else SameImages, data, where)
    return _read(next(option for option in options if option is not type(None)), data, where)


def _read_plain(hint: Any, data: Any, where: str) -> Any:
    if hint is float and isinstance(data, int | float) and not isinstance(data, bool) and math.isfinite(data):
        return float(data)
    if hint in (int, str, bool) and type(data) is hint:
        return data
    raise _wrong({"float": "a number", "int": "a whole number", "str": "text"}.get(hint.__name__, hint), data, where)


def _wrong(expected: object, data: Any, where: str) -> EvaluationError:
    text = repr(data)
    return EvaluationError(f"{where}: expected {expected}, got {text if len(text) < 60 else type(data).__name__}")


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)
