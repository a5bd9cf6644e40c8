"""Specifications as frozen dataclasses, with strict reading and overrides by path."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, TypeVar

from zoo.config import weighting
from zoo.config.json_schema import Keywords
from zoo.config.pixels import PixelSpec
from zoo.core.errors import RecipeError, UnknownNameError, closest
from zoo.labels.findings import FINDINGS

#: Version of the saved format; a newer version is refused.
FORMAT_VERSION = 1

#: Limits that are checked before memory is allocated for a file.
MAX_IMAGE_SIZE, MAX_MEMBERS, MAX_FINDINGS = 2048, 32, 1024

#: A member's name is also used for a file and a layer, so names that some of these already have are excluded.
_NAME, _TAKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}"), ("ensemble", "parity", "image", "logits")

#: JSON Schema patterns and limits for the same rules; JSON Schema accepts no numbers beyond these limits.
NAME_PATTERN, MAX_NUMBER = f"^{_NAME.pattern}$", sys.float_info.max
MEMBER_NAME = Keywords(pattern=NAME_PATTERN, **{"not": {"enum": list(_TAKEN)}})

#: Types of output names (one per finding) and of counts and shares; `__post_init__` checks the same limits.
Names = Annotated[tuple[str, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS, uniqueItems=True)]
Positive = Annotated[float, Keywords(exclusiveMinimum=0, maximum=MAX_NUMBER)]
_Weight = Annotated[float, Keywords(minimum=0, maximum=MAX_NUMBER)]
_Row = Annotated[tuple[_Weight, ...], Keywords(maxItems=MAX_FINDINGS)]

T = TypeVar("T")


@dataclass(frozen=True)
class MemberSpec:
    """One classifier: a backbone, a head, and its training options.

    Attributes:
        backbone: Registered name, such as "densenet121".
        head: Registered name: "gap", "gem", "attention" or "norm".
        dropout: Dropout rate before the last dense layer.
        weights: Initial weights for training: "imagenet", the path of a weights file, or None (random). Not used when a
            release is loaded.
        batch_norm_momentum: Momentum of batch normalisation; None keeps the architecture's own. Short runs from random
            weights need about 0.9.
        alias: Name of the member in the ensemble, if it differs from the backbone's name.
        pixels: Pixel values that the weights expect, as numbers; None for those of the architecture.
    """

    backbone: str
    head: str = "gap"
    dropout: Annotated[float, Keywords(minimum=0, exclusiveMaximum=1)] = 0.3
    weights: str | None = None
    batch_norm_momentum: float | None = None
    alias: str = ""
    pixels: PixelSpec | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            rule = f"letters, digits, '.', '_' and '-' (at most 96), and is none of {', '.join(_TAKEN)}"
            raise RecipeError(f"a member's name has {rule}; got {self.name[:80]!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise RecipeError(f"member {self.name!r}: dropout must be in [0, 1), got {self.dropout}")

    @property
    def name(self) -> str:
        """Name of the member: its alias, or the name of its backbone."""
        return self.alias or self.backbone


@dataclass(frozen=True)
class EnsembleSpec:
    """Members with a common input whose logits are averaged.

    Attributes:
        name: Name of the model.
        members: One or more members with distinct names.
        image_size: Height and width of the input in pixels.
        findings: Names of the outputs, in order.
        member_weights: One non-negative weight for each member, or one row of such weights (one for each finding) for
            each member; () for the unweighted mean.
        untrained: Findings that no data trained: their logits mean nothing, and their probabilities are NaN.
    """

    name: Annotated[str, Keywords(pattern=NAME_PATTERN)]
    members: Annotated[tuple[MemberSpec, ...], Keywords(minItems=1, maxItems=MAX_MEMBERS)]
    image_size: Annotated[int, Keywords(minimum=8, maximum=MAX_IMAGE_SIZE)] = 224
    findings: Names = FINDINGS
    member_weights: Annotated[tuple[_Weight | _Row, ...], Keywords(maxItems=MAX_MEMBERS)] = ()
    untrained: Annotated[tuple[str, ...], Keywords(maxItems=MAX_FINDINGS, uniqueItems=True)] = ()

    def __post_init__(self) -> None:
        names = [m.name for m in self.members]
        if not _NAME.fullmatch(self.name):
            rule = "letters, digits, '.', '_' and '-' (at most 96)"
            raise RecipeError(f"an ensemble's name has {rule}; got {self.name[:80]!r}")
        if not 1 <= len(names) <= MAX_MEMBERS:
            raise RecipeError(f"ensemble {self.name!r}: 1 to {MAX_MEMBERS} members, got {len(names)}")
        if len(set(names)) != len(names):
            raise RecipeError(f"ensemble {self.name!r}: members need different names, got {names}")
        if len(names) > 1 and self.name in names:
            raise RecipeError(f"ensemble {self.name!r}: a member of several needs a name other than the ensemble's")
        if not 8 <= self.image_size <= MAX_IMAGE_SIZE:
            raise RecipeError(f"image_size must be 8 to {MAX_IMAGE_SIZE}, got {self.image_size}")
        if not 1 <= len(self.findings) <= MAX_FINDINGS or len(set(self.findings)) != len(self.findings):
            raise RecipeError(f"findings must be 1 to {MAX_FINDINGS} different names, got {self.findings}")
        if strange := [name for name in self.untrained if name not in self.findings]:
            raise RecipeError(f"ensemble {self.name!r}: untrained {strange[0]!r} is none of its findings")
        if len(set(self.untrained)) == len(self.findings):
            raise RecipeError(f"ensemble {self.name!r}: all of its findings are untrained")
        if wrong := weighting.problem(self.member_weights, len(names), self.findings, self.untrained):
            raise RecipeError(wrong)

    @property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        """One row for each member: its share in the mean of each finding; see `weighting.by_finding`."""
        return weighting.by_finding(self.member_weights, len(self.members), len(self.findings))

    @property
    def speaking(self) -> dict[str, tuple[str, ...]]:
        """Finding -> names of the members whose logits are averaged for it."""
        names = [member.name for member in self.members]
        return {
            finding: tuple(name for name, share in zip(names, column, strict=True) if share)
            for finding, column in zip(self.findings, zip(*self.shares, strict=True), strict=True)
        }

    def member(self, name: str) -> MemberSpec:
        """Returns the member with this name."""
        for member in self.members:
            if member.name == name:
                return member
        raise UnknownNameError("member", name, [m.name for m in self.members])

    def only(self, names: Collection[str]) -> EnsembleSpec:
        """Returns the spec of these members alone; a finding for which none of them speaks becomes untrained."""
        kept = [i for i, member in enumerate(self.members) if member.name in names]
        members, shares = tuple(self.members[i] for i in kept), [self.shares[i] for i in kept]
        weights = tuple(self.member_weights[i] for i in kept) if self.member_weights else ()
        silent = {f for f, column in zip(self.findings, zip(*shares, strict=True), strict=True) if not sum(column)}
        untrained = tuple(f for f in self.findings if f in silent or f in self.untrained)
        return dataclasses.replace(self, members=members, member_weights=weights, untrained=untrained)

    def without_paths(self) -> EnsembleSpec:
        """Returns a copy with file names instead of local paths, for publication."""
        named = (dataclasses.replace(m, weights=m.weights and PurePath(m.weights).name) for m in self.members)
        return dataclasses.replace(self, members=tuple(named))


def to_dict(spec: Any) -> dict[str, Any]:
    """Converts a dataclass, including nested ones and tuples, to JSON values.

    >>> to_dict(MemberSpec("densenet121"))["backbone"]
    'densenet121'
    """
    found: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(spec)))
    return found


def from_dict(cls: type[T], data: Mapping[str, Any], where: str = "") -> T:
    """Reads a dataclass strictly; an unknown or missing key or a wrong type raises a `RecipeError` naming the field."""
    if not isinstance(data, Mapping):
        raise RecipeError(f"{where or cls.__name__}: expected an object, got {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls) if f.init}  # type: ignore[arg-type]
    unknown = [k for k in data if k not in fields]
    if unknown:
        raise RecipeError(_unknown_field(where, str(unknown[0]), fields))
    missing = [n for n, f in fields.items() if n not in data and _required(f)]
    if missing:
        raise RecipeError(f"{where or cls.__name__}: field {missing[0]!r} is missing")
    values = {k: _convert(hints[k], v, f"{where}.{k}".lstrip(".")) for k, v in data.items()}
    return cls(**values)


def override(spec: T, path: str, text: str) -> T:
    """Returns a copy of `spec` with the field at `path` ("stages.1.learning_rate") set to `text`, read as its type.

    Raises:
        RecipeError: There is no such path, or the text does not fit the type of the field.

    Example:
        >>> override(MemberSpec("densenet121"), "dropout", "0.2").dropout
        0.2
    """
    return typing.cast(T, _override(type(spec), spec, path.split("."), text, path))


def _override(hint: Any, value: Any, keys: list[str], text: str, path: str) -> Any:
    if not keys:
        return _convert(hint, _parse(hint, text), path)
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
    raise RecipeError(f"{path}: there is nothing below a {type(value).__name__}")


def _unknown_field(where: str, key: str, known: typing.Iterable[str]) -> str:
    near = closest(key, known)
    hint = f"; did you mean {near[0]!r}?" if near else f"; fields: {', '.join(known)}"
    return f"{where + ': ' if where else ''}unknown field {key!r}{hint}"


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING


def _item(hint: Any) -> Any:
    options = [h for h in typing.get_args(hint) if typing.get_origin(h) is tuple] if _is_union(hint) else [hint]
    return typing.get_args(options[0])[0]


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _parse(hint: Any, text: str) -> Any:
    """Parses command-line text as JSON if possible; otherwise returns it as a string."""
    if hint is str:
        return text
    if set(typing.get_args(hint)) == {str, type(None)}:
        return None if text in ("None", "null") else text
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        return {"None": None, "True": True, "False": False}.get(text, text)


def _no_number(text: str) -> None:
    raise ValueError(f"{text} is no JSON number")


def _convert(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if _is_union(hint):
        return _convert_union(hint, value, where)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        if value in typing.get_args(hint):
            return value
        raise RecipeError(f"{where}: one of {', '.join(map(repr, typing.get_args(hint)))}, got {value!r}")
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise RecipeError(f"{where}: expected a list, got {value!r}")
        return tuple(_convert(typing.get_args(hint)[0], v, f"{where}.{i}") for i, v in enumerate(value))
    if origin in (dict, Mapping):
        if not isinstance(value, Mapping):
            raise RecipeError(f"{where}: expected an object, got {value!r}")
        return {str(k): _convert(typing.get_args(hint)[1], v, f"{where}.{k}") for k, v in value.items()}
    return _convert_scalar(hint, value, where)


def _convert_union(hint: Any, value: Any, where: str) -> Any:
    problem: RecipeError | None = None
    for option in typing.get_args(hint):
        if option is type(None):
            if value is None:
                return None
            continue
        try:
            return _convert(option, value, where)
        except RecipeError as error:
            problem = error
    raise problem or RecipeError(f"{where}: got {value!r}")


def _convert_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise RecipeError(f"{where}: a number of {len(str(value))} digits is too large") from None
    if hint in (int, str, bool) and type(value) is hint:
        return value
    raise RecipeError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {value!r}")
