"""The Hub's check of a card's metadata, which the client asks for before it uploads a README.md."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from .answers import Answer, as_json
from .request import Request

_LICENSES = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd
    bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0
    cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0
    cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
    ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0
    isc lppl-1.3c ms-pl mpl-2.0 odc-by odbl openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl llama2
    llama3 gemma unknown other
"""
_KNOWN_LICENSES = frozenset(_LICENSES.split())


def validate_yaml(request: Request) -> Answer:
    """400 with what is wrong, each with the place of it; 200 with what is only missing."""
    errors, warnings = check(request.json()["content"])
    rows = {"errors": [{"message": e} for e in errors], "warnings": [{"message": w} for w in warnings]}
    return as_json(rows, status=400 if errors else 200)


def check(content: str) -> tuple[list[str], list[str]]:
    """The errors and warnings of a card."""
    block = re.match(r"\s*---[ \t]*\r?\n(.*?)(?:\r?\n)?---[ \t]*(?:\r?\n|$)", content, re.DOTALL)
    if not block or not block[1].strip():
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        data = yaml.safe_load(block[1])
    except yaml.YAMLError as error:
        return [f"bad YAML: {' '.join(str(error).split())}"], []
    if not isinstance(data, dict):
        return ["the metadata must be a mapping"], []
    warnings = [] if data.get("license") else ['"license" is missing: a repo without it may not be used by others']
    return list(_errors(data)), warnings


def _errors(data: dict[str, Any]) -> Iterator[str]:
    for name in ("library_name", "pipeline_tag", "license_name", "license_link"):
        if name in data:
            yield from _text(data[name], name)
    for name in ("tags", "datasets", "metrics", "language", "license", "base_model"):
        if name in data:
            yield from _texts(data[name], name)
    licenses = data.get("license", [])
    for name in licenses if isinstance(licenses, list) else [licenses]:
        if isinstance(name, str) and name not in _KNOWN_LICENSES:
            yield f'"license" must be one of the known licenses or "other", not "{name}"'
    if "model-index" in data:
        yield from _each(data["model-index"], "model-index", _model)


def _model(model: dict[str, Any], at: str) -> Iterator[str]:
    yield from _text(model.get("name"), f"{at}.name")
    yield from _each(model.get("results"), f"{at}.results", _result)


def _result(result: dict[str, Any], at: str) -> Iterator[str]:
    for part, required in (("task", ("type",)), ("dataset", ("type", "name"))):
        value = result.get(part)
        if not isinstance(value, dict):
            yield f'"{at}.{part}" is required and must be a mapping'
            continue
        for name in required:
            yield from _text(value.get(name), f"{at}.{part}.{name}")
        for name in ("config", "split", "revision"):
            if value.get(name) is not None:
                yield from _text(value[name], f"{at}.{part}.{name}")
    yield from _each(result.get("metrics"), f"{at}.metrics", _metric)


def _metric(metric: dict[str, Any], at: str) -> Iterator[str]:
    yield from _text(metric.get("type"), f"{at}.type")
    value = metric.get("value")
    if value is None or (isinstance(value, float) and value != value):
        yield f'"{at}.value" is required and must be a number or a string'
    if "name" in metric:
        yield from _text(metric["name"], f"{at}.name")


def _each(value: object, at: str, rule: Callable[[dict[str, Any], str], Iterator[str]]) -> Iterator[str]:
    if not isinstance(value, list) or not value:
        yield f'"{at}" must be a list that is not empty'
        return
    for i, row in enumerate(value):
        if isinstance(row, dict):
            yield from rule(row, f"{at}[{i}]")
        else:
            yield f'"{at}[{i}]" must be a mapping'


def _texts(value: object, at: str) -> Iterator[str]:
    for i, row in enumerate(value if isinstance(value, list) else [value]):
        yield from _text(row, f"{at}[{i}]" if isinstance(value, list) else at)


def _text(value: object, at: str) -> Iterator[str]:
    if value is None or value == "":
        yield f'"{at}" is required'
    elif not isinstance(value, str):
        yield f'"{at}" must be a string'
