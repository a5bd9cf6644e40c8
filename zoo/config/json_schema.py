"""Generates JSON Schemas (draft 2020-12) from dataclasses, so that limits and descriptions are written only once."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_SCALARS: dict[Any, str] = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}


class Keywords:
    """JSON Schema keywords of a field, as in `Annotated[int, Keywords(minimum=8)]`; see `zoo.config.limits`."""

    def __init__(self, **keywords: Any) -> None:
        self.keywords = keywords


def _closed(cls: type) -> bool:
    return False


@dataclass(frozen=True)
class _Rules:
    """What is known about dataclasses beside their fields: further keywords, and which may have unknown fields."""

    extra: Mapping[type, Mapping[str, Any]] = field(default_factory=dict)
    is_open: Callable[[type], bool] = _closed


def document(
    cls: type,
    extra: Mapping[type, Mapping[str, Any]] | None = None,
    is_open: Callable[[type], bool] = _closed,
) -> dict[str, Any]:
    """Returns the schema of a file that holds one dataclass; nested dataclasses are under "$defs".

    Args:
        cls: The dataclass. The first line of its docstring becomes the title, the next paragraph the description. A
            field with "none" in its metadata may be absent or, if that says "empty", an empty object. A class with
            `WRITTEN_AS` is written as that type; in place of one with `OR` there may be that type.
        extra: Dataclass -> additional keywords, for rules between its fields.
        is_open: Whether objects of a dataclass may have unknown fields.

    >>> @dataclasses.dataclass
    ... class Sizes:
    ...     "sizes.json: widths of images."
    ...     widths: tuple[int, ...]
    >>> document(Sizes)["title"], document(Sizes)["required"]
    ('sizes.json: widths of images', ['widths'])
    """
    found: dict[str, Any] = {}
    _refer(cls, found, _Rules(extra or {}, is_open))
    title, *paragraphs = (inspect.getdoc(cls) or "").split("\n\n")
    about = [" ".join(text.split()) for text in paragraphs if not text.startswith("Attributes:")]
    words = {"title": title.removesuffix("."), **({"description": about[0]} if about else {})}
    return {**found.pop(name_of(cls)), **words, "$defs": found}


def definitions(cls: type, extra: Mapping[type, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """Returns the schemas of a dataclass and of all dataclasses in its fields, by `name_of`, for "$defs".

    Args:
        cls: A dataclass. Its docstring, and the entries of its "Attributes:" section, become the descriptions.
        extra: Dataclass -> additional keywords, for rules between its fields.

    >>> @dataclasses.dataclass
    ... class SizeSpec:
    ...     "Size of an image."
    ...     width: typing.Annotated[int, Keywords(minimum=1)] = 8
    >>> definitions(SizeSpec)["size"]["properties"]
    {'width': {'type': 'integer', 'minimum': 1, 'default': 8}}
    """
    found: dict[str, Any] = {}
    _refer(cls, found, _Rules(extra or {}))
    return found


def name_of(cls: type) -> str:
    """Returns the snake-case name of a dataclass, without "Spec" at the end.

    >>> name_of(type("MemberSpec", (), {}))
    'member'
    """
    return re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__.removesuffix("Spec")).lower()


def _refer(cls: type, found: dict[str, Any], rules: _Rules) -> dict[str, Any]:
    name = name_of(cls)
    if name not in found:
        found[name] = {}  # reserves the name in case the dataclass refers to itself
        fields = [f for f in dataclasses.fields(cls) if f.init]
        hints = typing.get_type_hints(cls, include_extras=True)
        summary, words = _words(cls)
        properties = {f.name: {**words.get(f.name, {}), **_of_field(f, hints[f.name], found, rules)} for f in fields}
        for f in fields:
            if f.default is not dataclasses.MISSING and not dataclasses.is_dataclass(f.default):
                properties[f.name]["default"] = list(f.default) if isinstance(f.default, tuple) else f.default
        for old, new in getattr(cls, "FORMER", {}).items():
            properties[old] = {**properties[new], "description": f"Former name of {new}.", "deprecated": True}
        found[name] = {
            "description": summary,
            "type": "object",
            "required": [f.name for f in fields if _required(f)],
            "additionalProperties": rules.is_open(cls),
            "properties": properties,
            **rules.extra.get(cls, {}),
        }
    return {"$ref": f"#/$defs/{name}"}


def _required(f: dataclasses.Field[Any]) -> bool:
    return f.default is f.default_factory is dataclasses.MISSING and "none" not in f.metadata


def _of_field(f: dataclasses.Field[Any], hint: Any, found: dict[str, Any], rules: _Rules) -> dict[str, Any]:
    schema = _schema(hint, found, rules)
    if f.metadata.get("none") == "empty":
        return {"anyOf": [{"type": "object", "maxProperties": 0}, schema]}
    return schema


def _schema(hint: Any, found: dict[str, Any], rules: _Rules) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        limits = [rule.keywords for rule in arguments[1:] if isinstance(rule, Keywords)]
        return {key: value for part in (_schema(arguments[0], found, rules), *limits) for key, value in part.items()}
    if origin in (typing.Union, types.UnionType):
        options = [_schema(option, found, rules) for option in arguments]
        plain = all(option.keys() == {"type"} for option in options)
        return {"type": [option["type"] for option in options]} if plain else {"anyOf": options}
    if written := getattr(hint, "WRITTEN_AS", None):
        return _schema(written, found, rules)
    if dataclasses.is_dataclass(hint):
        reference, other = _refer(typing.cast(type, hint), found, rules), vars(hint).get("OR")
        return {"anyOf": [_refer(other, found, rules), reference]} if other else reference
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is tuple:
        return {"type": "array", "items": _schema(arguments[0], found, rules)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(arguments[1], found, rules)}
    return {} if hint is Any else {"type": _SCALARS[hint]}


def _words(cls: type) -> tuple[str, dict[str, dict[str, str]]]:
    """Returns the first line of a docstring, and the description of each attribute."""
    text = inspect.getdoc(cls) or ""
    sections = [(inspect.getdoc(base) or "").partition("Attributes:\n")[2] for base in reversed(cls.__mro__[:-1])]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", "\n".join(sections), flags=re.M)
    return text.split("\n")[0], {name: {"description": " ".join(words.split())} for name, words in entries}
