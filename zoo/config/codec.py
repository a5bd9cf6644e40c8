"""Reads and writes dataclasses as JSON values, strictly, and overrides their fields by path."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from zoo.config import limits
from zoo.config.json_schema import Keywords
from zoo.core.errors import RecipeError, closest

T = TypeVar("T")

#: Characters of a wrong value that a message shows.
_LONGEST = 80


def to_dict(spec: Any) -> dict[str, Any]:
    """Converts a dataclass, including nested ones and tuples, to JSON values.

    >>> @dataclass
    ... class Sizes:
    ...     widths: tuple[int, ...]
    >>> to_dict(Sizes((8, 16)))
    {'widths': [8, 16]}
    """
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(spec)))
    return found


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "", limited: bool = False) -> T:
    """Reads a dataclass strictly; an unknown or missing key or a wrong type raises a `RecipeError` naming the field.

    Args:
        cls: The dataclass.
        data: Its fields.
        where: What the data is, for messages.
        limited: Whether the limits (`Keywords`) of the fields are checked too, as in a file of a release.
    """
    try:
        return _from_dict(cls, data, where, _Reading(limited=limited))
    except RecipeError:
        if limited:
            _from_dict(cls, data, where, _Reading())  # the checks of the class say more than a limit, if one fails
        raise


def read_document(cls: type[T], data: Mapping[str, Any], is_open: Callable[[type], bool]) -> T:
    """Reads the dataclass of a whole file, and checks the limits (`Keywords`) that its JSON Schema states.

    Args:
        cls: Type of the file.
        data: The parsed file.
        is_open: Whether unknown fields of a dataclass are ignored; they are errors otherwise.

    Raises:
        RecipeError: A field is unknown or missing, or has a wrong type or value; the message names it.

    Example:
        >>> @dataclass
        ... class Size:
        ...     width: typing.Annotated[int, Keywords(minimum=8)]
        >>> read_document(Size, {"width": 8, "note": ""}, is_open=lambda cls: True)
        Size(width=8)
    """
    return _from_dict(cls, data, "", _Reading(is_open, limited=True))


@dataclass(frozen=True)
class _Reading:
    """How objects are read: which may have unknown fields, and whether limits are checked."""

    is_open: Callable[[type], bool] = lambda cls: False
    limited: bool = False


def _from_dict(cls: type[T], data: Mapping[str, Any], where: str, how: _Reading) -> T:
    if not isinstance(data, Mapping):
        raise RecipeError(f"{where or cls.__name__}: expected an object, got {type(data).__name__}")
    hints = _hints(cls)  # type: ignore[arg-type]
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    data = _todays_names(cls, data, where)
    unknown = [k for k in data if k not in fields]
    if unknown and not how.is_open(cls):
        raise RecipeError(_unknown_field(where, str(unknown[0]), fields))
    missing = [n for n, f in fields.items() if n not in data and _required(f)]
    if missing:
        raise RecipeError(f"{where or cls.__name__}: field {missing[0]!r} is missing")
    values = {k: _convert(hints[k], data[k], f"{where}.{k}".lstrip("."), how) for k in data if k in fields}
    return cls(**values)


def _todays_names(cls: type, data: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The fields under today's names; a class states the former ones in `FORMER`, former -> today's."""
    former = getattr(cls, "FORMER", {})
    if not former.keys() & data.keys():
        return data
    for old, name in former.items():
        if old in data and name in data:
            raise RecipeError(f"{where or cls.__name__}: {old!r} is the former name of {name!r}; give one of them")
    return {former.get(key, key): value for key, value in data.items()}


def override(spec: T, path: str, text: str) -> T:
    """Returns a copy of `spec` with the field at `path` ("stages.1.learning_rate") set to `text`, read as its type.

    Raises:
        RecipeError: There is no such path, or the text does not fit the type of the field.

    Example:
        >>> from zoo.config.specs import MemberSpec
        >>> override(MemberSpec("densenet121"), "dropout", "0.2").dropout
        0.2

    Below a mapping the path goes on with a key, which is added if it is new.
    """
    return typing.cast(T, _override(type(spec), spec, path.split("."), text, path))


def _override(hint: Any, value: Any, keys: list[str], text: str, path: str) -> Any:
    if not keys:
        return _convert(hint, _parse(hint, text), path, _Reading())
    key, rest = keys[0], keys[1:]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = typing.get_type_hints(type(value))
        if key not in hints:
            raise RecipeError(_unknown_field(path, key, hints))
        return dataclasses.replace(value, **{key: _override(hints[key], getattr(value, key), rest, text, path)})
    if isinstance(value, tuple):
        if not key.isdecimal() or int(key) >= len(value):
            raise RecipeError(f"{path}: {key!r} is not an index of {len(value)} items")
        i = int(key)
        return (*value[:i], _override(_item(hint), value[i], rest, text, path), *value[i + 1 :])
    if isinstance(value, Mapping):
        item = typing.get_args(hint)[1]
        if rest and key not in value and not dataclasses.is_dataclass(item):
            raise RecipeError(f"{path}: there is no {key!r}")
        before = value.get(key) if key in value or not rest else item()
        return {**value, key: _override(item, before, rest, text, path)}
    raise RecipeError(f"{path}: there is nothing below a {type(value).__name__}")


def _unknown_field(where: str, key: str, known: typing.Iterable[str]) -> str:
    near = closest(key, known)
    hint = f"; did you mean {near[0]!r}?" if near else f"; fields: {', '.join(known)}"
    return f"{where + ': ' if where else ''}unknown field {key!r}{hint}"


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _item(hint: Any) -> Any:
    plain = [_unannotated(h) for h in (typing.get_args(hint) if _is_union(hint) else [hint])]
    return typing.get_args(next(h for h in plain if typing.get_origin(h) is tuple))[0]


def _unannotated(hint: Any) -> Any:
    return typing.get_args(hint)[0] if typing.get_origin(hint) is typing.Annotated else hint


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _parse(hint: Any, text: str) -> Any:
    """Parses command-line text as JSON if possible; otherwise returns it as a string."""
    if hint is str:
        return text
    if set(typing.get_args(hint)) == {str, type(None)}:
        return None if text in ("None", "null") else text
    try:
        return json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except ValueError:
        return {"None": None, "True": True, "False": False}.get(text, text)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    """A number that is not rounded to infinity, as 1e400 would be."""
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is too large")
    return value


def _convert(hint: Any, value: Any, where: str, how: _Reading) -> Any:
    if hint is Any:
        return value
    if typing.get_origin(hint) is typing.Annotated:
        return _convert_annotated(hint, value, where, how)
    if _is_union(hint):
        return _convert_union(hint, value, where, how)
    if dataclasses.is_dataclass(hint):
        return _from_dict(typing.cast(type, hint), value, where, how)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise RecipeError(f"{where}: one of {', '.join(map(repr, typing.get_args(hint)))}, got {_shown(value)}")
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where}: expected a list, got {_shown(value)}")
        return tuple(_convert(typing.get_args(hint)[0], v, f"{where}.{i}", how) for i, v in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where}: expected an object, got {_shown(value)}")
        return {str(k): _convert(typing.get_args(hint)[1], v, f"{where}.{k}", how) for k, v in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_annotated(hint: Any, value: Any, where: str, how: _Reading) -> Any:
    inner, *notes = typing.get_args(hint)
    rules = [note for note in notes if isinstance(note, Keywords)] if how.limited else []
    # Before the items are read, since there may be millions.
    if found := next(filter(None, (limits.too_many(rule, value) for rule in rules)), None):
        raise RecipeError(f"{where}: {found}")
    read = _convert(inner, value, where, how)
    if found := next(filter(None, (limits.problem(rule, read) for rule in rules)), None):
        raise RecipeError(f"{where}: {found}")
    return read


def _convert_union(hint: Any, value: Any, where: str, how: _Reading) -> Any:
    problem: RecipeError | None = None
    for option in typing.get_args(hint):
        if option is type(None):
            if value is None:
                return None
            continue
        try:
            return _convert(option, value, where, how)
        except RecipeError as error:
            # Of a word, the first kind that may be a word says most; of anything else, the last kind.
            problem = problem if problem is not None and isinstance(value, str) else error
    raise problem or RecipeError(f"{where}: got {_shown(value)}")


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise RecipeError(f"{where}: a number of {len(str(value))} digits is too large") from None
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise RecipeError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {_shown(value)}")


def _shown(value: object) -> str:
    """Shortens a value for an error message."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
