"""Converts typed results to the JSON of `metrics.json` and back.

The format of the file follows from these rules:

- A dataclass becomes an object with its fields in order; a mapping becomes an object, a tuple a list.
- `Estimates` become an object whose keys are measures such as "f1@max_f1".
- None becomes null; a field whose default is None is left out. An `Origin` is written as in `decision.json`.
- Unknown keys in a file are ignored, so that later versions may add fields, but not those of a number.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

from zoo.config import limits
from zoo.config.json_schema import Keywords
from zoo.config.specs import to_dict
from zoo.core.errors import EvaluationError, RecipeError
from zoo.evaluation.decision import Origin
from zoo.evaluation.result.checks import SameImages, SharedNames
from zoo.evaluation.result.evaluation import Evaluation
from zoo.evaluation.result.numbers import AT_A_POINT, Estimate, Estimates, Mean, Measure
from zoo.labels.parts import part_of

#: Blocks that an evaluation of prediction files writes as null, instead of leaving them out, if they are None.
_OF_FILES = ("ensemble", "comparison", "readers")

#: Measures between 0 and 1.
_SHARES = frozenset(("auc", "auc_delong", "average_precision", "brier", "ece", *AT_A_POINT))


def to_json(result: Any) -> Any:
    """Converts a result, or any part of one, to JSON values.

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
    """Converts the contents of `metrics.json` to a typed result.

    Args:
        data: The parsed file. Older files call the validation part "tune".

    Raises:
        EvaluationError: A field is missing or has the wrong type; the message gives its path.
    """
    found: Evaluation = _read(Evaluation, data, "metrics.json")
    return dataclasses.replace(found, split=part_of(found.split) or found.split)


def is_open(cls: type) -> bool:
    """Whether unknown fields of a result's dataclass are ignored, as later versions may add some."""
    return cls not in (Estimate, Mean)


def _written(result: Any, field: dataclasses.Field[Any]) -> list[Any]:
    """Returns the value of a field as a list of one item, or an empty list if the file leaves it out."""
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
    if origin is typing.Annotated:
        return _read_limited(arguments, data, where)
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, data, where)
    if hint is Estimates:
        found = Estimates(_read(Mapping[Measure, Estimate], data, where))
        for measure, number in found.by_measure.items():
            _check_number(measure, number, f"{where}: {measure}")
        return found
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


def _check_number(measure: Measure, number: Estimate, where: str) -> None:
    """Refuses a number that no evaluation can give; differences of two measures may be negative."""
    if measure.name in _SHARES and number.value is not None and not -1 <= number.value <= 1:
        raise EvaluationError(f"{where}: {number.value} is no share, nor the difference of two")
    if number.low is not None and number.high is not None and number.low > number.high:
        raise EvaluationError(f"{where}: the interval from {number.low} to {number.high} ends before it begins")
    if number.positives > number.n:
        raise EvaluationError(f"{where}: {number.positives:,} positives of {number.n:,} labels")


def _read_limited(arguments: tuple[Any, ...], data: Any, where: str) -> Any:
    read = _read(arguments[0], data, where)
    held = {str(key): value for key, value in read.by_measure.items()} if isinstance(read, Estimates) else read
    for rules in arguments[1:]:
        if isinstance(rules, Keywords) and (found := limits.problem(rules, held)):
            raise EvaluationError(f"{where}: {found}")
    return read


def _read_fields(cls: type, data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise _wrong("an object", data, where)
    values, hints = {}, _hints(cls)
    if not is_open(cls) and (unknown := data.keys() - hints.keys()):
        raise EvaluationError(f"{where}: unknown field {min(unknown)!r}")
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
    return typing.get_type_hints(cls, include_extras=True)
