"""JSON Schemas of the JSON files in a release, for use from any language."""

from __future__ import annotations

from typing import Any

from zoo.config.codec import read_document
from zoo.config.json_schema import document
from zoo.config.specs import FORMAT_VERSION, MEMBER_NAME, EnsembleSpec, MemberSpec
from zoo.core.errors import UnknownNameError, ZooError
from zoo.evaluation.result import Evaluation, from_json
from zoo.evaluation.result.codec import is_open
from zoo.release import manifest
from zoo.release.documents import OPEN, Config, Decisions, Golden, Labels, Manifest
from zoo.release.export_facts import ExportFacts

#: Files of a release that have a schema, without ".json"; and those of an export.
NAMES = ("config", "labels", "decision", "metrics", "parity", "manifest")
EXPORT = "export"

#: File -> type of its contents.
_TYPES: dict[str, type] = {
    "config": Config,
    "labels": Labels,
    "decision": Decisions,
    "metrics": Evaluation,
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

#: "fitted" is a wish of a recipe; a release holds what was found.
_FITTED = {"not": {"required": ["weighting"], "properties": {"weighting": {"enum": ["fitted", "fitted_per_finding"]}}}}

#: Maximum number of characters of a problem.
_MAX_CHARACTERS = 200


def validate(name: str, data: Any) -> list[str]:
    """Reads a JSON file of a release by its type, and returns what is wrong with it.

    This covers a single file; `zoo.release.verify` checks that files are consistent. The schemas are for readers in
    other languages: they are generated from the same types.

    Args:
        name: One of `NAMES`, or `EXPORT`.
        data: The parsed document.

    Returns:
        The first problem, such as "decision.json: ensemble.temperature.0: -1 is not > 0"; [] if the document is valid.

    Raises:
        UnknownNameError: There is no such schema.

    Example:
        >>> validate("labels", {"findings": []})
        ['labels.json: findings: fewer than 1 items']
    """
    cls = _type_of(name)
    try:
        if cls is not Evaluation:
            read_document(cls, data, OPEN.__contains__)
        elif data != {}:
            from_json(data)
    except ZooError as error:
        text = str(error).removeprefix(f"{name}.json: ")
        text = text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS]}..."
        return [f"{name}.json: {manifest.plain(text)}"]
    return []


def load(name: str) -> dict[str, Any]:
    """Returns the schema of a file, generated from its type; raises `UnknownNameError` if there is none of this name.

    >>> load("labels")["required"]
    ['findings']
    """
    cls = _type_of(name)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:xrayslam-zoo:release:{FORMAT_VERSION}:{name}",
    }
    if cls is not Evaluation:
        return {**head, **document(cls, {MemberSpec: _NAMED, EnsembleSpec: _FITTED}, OPEN.__contains__)}
    body = document(cls, is_open=is_open)
    # An empty object says that nothing was evaluated.
    return {**head, **body, "required": [], "if": {"minProperties": 1}, "then": {"required": body["required"]}}


def _type_of(name: str) -> type:
    if name not in _TYPES:
        raise UnknownNameError("schema", name, _TYPES)
    return _TYPES[name]
