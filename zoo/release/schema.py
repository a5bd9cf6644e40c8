"""JSON Schemas of the JSON files in a release, for use from any language."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.json_schema import document
from zoo.config.specs import FORMAT_VERSION, MEMBER_NAME, MemberSpec
from zoo.core.errors import UnknownNameError
from zoo.release.documents import OPEN, Config, Decisions, Golden, Labels, Manifest
from zoo.release.export_facts import ExportFacts

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

#: Files of a release that have a schema, without ".json"; and those of an export.
NAMES = ("config", "labels", "decision", "metrics", "parity", "manifest")
EXPORT = "export"

#: File -> type of its contents.
_TYPES = {
    "config": Config,
    "labels": Labels,
    "decision": Decisions,
    "parity": Golden,
    "manifest": Manifest,
    EXPORT: ExportFacts,
}

#: The name of a member is its alias, or that of its backbone if it has no alias.
_NAMED = {
    "if": {"properties": {"alias": {"const": ""}}},
    "then": {"properties": {"backbone": MEMBER_NAME.keywords}},
    "else": {"properties": {"alias": MEMBER_NAME.keywords}},
}

#: Maximum number of problems reported for a file, and of characters of each.
MAX_PROBLEMS, _MAX_CHARACTERS = 20, 200


def validate(name: str, data: Any) -> list[str]:
    """Lists violations of the schema (JSON Schema, draft 2020-12) in a JSON file of a release.

    A schema covers a single file; `zoo.release.verify` checks that files are consistent.

    Args:
        name: One of `NAMES`, or `EXPORT`.
        data: The parsed document.

    Returns:
        At most `MAX_PROBLEMS` lines, such as "decision.json: ensemble.temperature.0: -1 is not > 0"; [] if the document
        is valid.

    Raises:
        UnknownNameError: There is no such schema.

    Example:
        >>> validate("labels", {"findings": []})
        ['labels.json: findings: fewer than 1 items']
    """
    errors = islice(_validator(name).iter_errors(data), MAX_PROBLEMS)
    return [f"{name}.json: {_message(_closest(error))}" for error in errors]


def load(name: str) -> dict[str, Any]:
    """Returns a schema; raises `UnknownNameError` if there is none with this name.

    It is generated from the type in `_TYPES`, except that of `metrics`, which is written by hand because it is less
    strict than its type: later versions may add blocks.
    """
    if name not in (*NAMES, EXPORT):
        raise UnknownNameError("schema", name, (*NAMES, EXPORT))
    if name not in _TYPES:
        written: dict[str, Any] = json.loads((Path(__file__).parent / "metrics.schema.json").read_text("utf-8"))
        return written
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:xrayslam-zoo:release:{FORMAT_VERSION}:{name}",
    }
    return {**head, **document(_TYPES[name], {MemberSpec: _NAMED}, OPEN)}


@cache
def _validator(name: str) -> Draft202012Validator:
    from jsonschema import Draft202012Validator, validators

    keywords = Draft202012Validator.VALIDATORS
    bounded = {
        keyword: _bounded(keywords[keyword])
        for keyword in ("items", "uniqueItems", "propertyNames", "additionalProperties")
    }
    cls = validators.extend(Draft202012Validator, {**bounded, "pattern": _pattern})
    return cls(load(name))


def _bounded(keyword: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    """Reports a list or object that is too long as one problem, since checking its items could take minutes."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        limit = schema.get("maxItems" if isinstance(instance, list) else "maxProperties")
        if limit is None or not isinstance(instance, list | dict) or len(instance) <= limit:
            yield from keyword(validator, value, instance, schema) or ()

    return check


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """Matches patterns by ECMA-262, in which "$" is the very end; Python would also accept a final line break."""
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern}")


def _closest(error: ValidationError) -> ValidationError:
    """Returns the error of the "anyOf" branch that the document comes closest to."""
    while error.context:
        error = max(error.context, key=lambda e: (len(e.absolute_path), e.validator != "type"))
    return error


def _message(error: ValidationError) -> str:
    where = ".".join(str(key) for key in error.absolute_path)
    text = _what(error)
    text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
    return "".join(c if c.isprintable() else "?" for c in (f"{where}: {text}" if where else text))


def _what(error: ValidationError) -> str:
    """Describes an error more briefly than the library, which repeats the whole value."""
    keyword, limit, found = str(error.validator), error.validator_value, error.instance
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    if keyword in signs:
        return f"{found!r} is not {signs[keyword]} {limit}"
    if keyword == "type":
        expected = limit if isinstance(limit, str) else " or ".join(limit)
        return f"expected {expected}, got {_short(found)}"
    if keyword in ("minItems", "minProperties"):
        return f"fewer than {limit} items"
    if keyword in ("maxItems", "maxProperties"):
        return f"more than {limit} items"
    if keyword == "uniqueItems":
        return "an item appears twice"
    if keyword == "additionalProperties":
        unknown = [key for key in found if key not in error.schema.get("properties", {})]
        return f"unknown field {unknown[0]!r}"
    if keyword == "required":
        return str(error.message).replace("is a required property", "is missing")
    if keyword == "not":
        return f"{_short(found)} is not allowed here"
    return str(error.message)


def _short(value: Any) -> str:
    return type(value).__name__ if isinstance(value, dict | list) else repr(value)
