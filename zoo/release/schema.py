"""The JSON Schemas that are shipped with the package: what each JSON file of a release may hold, for any language."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.json_schema import definitions, name_of
from zoo.config.specs import FORMAT_VERSION, MAX_MEMBERS, MEMBER_NAME, EnsembleSpec, MemberSpec
from zoo.core.errors import UnknownNameError
from zoo.evaluation.decision import Decision

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

#: The files of a release that have a schema, without ".json"; and those of an export.
NAMES = ("config", "labels", "decision", "metrics", "parity", "manifest")
EXPORT = "export"

#: Problems and characters of one problem beyond these say nothing new of a file that somebody broke.
MAX_PROBLEMS, _MAX_CHARACTERS = 20, 200


def validate(name: str, data: Any) -> list[str]:
    """What in a JSON document of a release is not as its schema (JSON Schema, draft 2020-12) wants it.

    A schema sees one file: whether files fit each other is for `zoo.release.verification`.

    Args:
        name: One of `NAMES`, or `EXPORT`.
        data: The parsed document.

    Returns:
        At most `MAX_PROBLEMS` lines, such as "decision.json: ensemble.temperature.0: -1 is not > 0"; [] where the
        document is valid.

    Raises:
        UnknownNameError: No such schema.

    Example:
        >>> validate("labels", {"findings": []})
        ['labels.json: findings: fewer than 1 items']
    """
    errors = islice(_validator(name).iter_errors(data), MAX_PROBLEMS)
    return [f"{name}.json: {_message(_closest(error))}" for error in errors]


def load(name: str) -> dict[str, Any]:
    """The schema itself; `UnknownNameError` where there is none of that name.

    Those of `config` and `decision` are made from the types that these files are read into.
    """
    if name not in (*NAMES, EXPORT):
        raise UnknownNameError("schema", name, (*NAMES, EXPORT))
    if name in ("config", "decision"):
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"urn:xrayslam-zoo:release:{FORMAT_VERSION}:{name}",
            "type": "object",
            **(_config() if name == "config" else _decision()),
        }
    schema: dict[str, Any] = json.loads((Path(__file__).parent / "schemas" / f"{name}.schema.json").read_text("utf-8"))
    return schema


def _config() -> dict[str, Any]:
    version = {
        "description": "Version of the release folder's form. A reader refuses a newer one.",
        "type": "integer",
        "minimum": 1,
        "maximum": FORMAT_VERSION,
    }
    writers = {
        key: {"description": f"Version of {name} that wrote the release.", "type": "string"}
        for key, name in {"zoo": "xrayslam-zoo", "keras": "Keras"}.items()
    }
    # A member's name is its alias, or its backbone's where it has none.
    named = {
        "if": {"properties": {"alias": {"const": ""}}},
        "then": {"properties": {"backbone": MEMBER_NAME.keywords}},
        "else": {"properties": {"alias": MEMBER_NAME.keywords}},
    }
    return {
        "title": "config.json: what the model is made of",
        "description": "Enough to rebuild the network from a library's own code: a registered name for each backbone "
        "and head, and typed numbers. No class names, no layer configurations, nothing that could run.",
        "required": ["format_version", "ensemble"],
        "properties": {"format_version": version, **writers, "ensemble": {"$ref": "#/$defs/ensemble"}},
        "$defs": definitions(EnsembleSpec, {MemberSpec: named}),
    }


def _decision() -> dict[str, Any]:
    one = {"$ref": f"#/$defs/{name_of(Decision)}"}
    return {
        "title": "decision.json: from logits to calls",
        "description": "probability = sigmoid(logit / temperature), or what calibrator and prior_shift make of it; a "
        "finding is called positive where its probability is at or above its threshold. Temperature and thresholds are "
        "valid together, and only for the model they were fitted to: the ensemble has one decision, each member alone "
        "may have its own.",
        "required": ["ensemble"],
        "properties": {
            "ensemble": one,
            "members": {
                "description": "Name of a member -> its own decision, for use without the others.",
                "type": "object",
                "maxProperties": MAX_MEMBERS,
                "additionalProperties": one,
            },
        },
        "$defs": definitions(Decision),
    }


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
    """A list or an object that is too long is one problem: looking at all that is in it could take minutes."""

    def check(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[ValidationError]:
        limit = schema.get("maxItems" if isinstance(instance, list) else "maxProperties")
        if limit is None or not isinstance(instance, list | dict) or len(instance) <= limit:
            yield from keyword(validator, value, instance, schema) or ()

    return check


def _pattern(validator: Any, pattern: str, instance: Any, schema: Any) -> Iterator[ValidationError]:
    """As ECMA-262 has it, where "$" is the very end; Python's own would let a line break follow."""
    from jsonschema.exceptions import ValidationError

    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", pattern), instance):
        yield ValidationError(f"{instance!r} does not match {pattern}")


def _closest(error: ValidationError) -> ValidationError:
    """Of the branches of an "anyOf" the one that the document comes nearest to."""
    while error.context:
        error = max(error.context, key=lambda e: (len(e.absolute_path), e.validator != "type"))
    return error


def _message(error: ValidationError) -> str:
    where = ".".join(str(key) for key in error.absolute_path)
    text = _what(error)
    text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
    return "".join(c if c.isprintable() else "?" for c in (f"{where}: {text}" if where else text))


def _what(error: ValidationError) -> str:
    """Shorter than the library's own words, which repeat the whole of what was found."""
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
