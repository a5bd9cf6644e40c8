"""The limits that a reader checks are those that the JSON Schema of a field states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import pytest
from jsonschema import Draft202012Validator

from zoo.config import codec, limits
from zoo.config.json_schema import Keywords, document
from zoo.core.errors import RecipeError


@dataclass(frozen=True)
class Inner:
    """An object."""

    share: Annotated[float | None, Keywords(minimum=0, exclusiveMaximum=1)] = None


@dataclass(frozen=True)
class File:
    """A file."""

    name: Annotated[str, Keywords(pattern="^[a-z]+$", maxLength=5, **{"not": {"enum": ["no"]}})]
    sizes: Annotated[
        tuple[Annotated[int, Keywords(minimum=1)], ...], Keywords(minItems=1, maxItems=3, uniqueItems=True)
    ]
    parts: Annotated[Mapping[str, Inner], Keywords(required=["all"], maxProperties=2, propertyNames={"maxLength": 4})]
    version: Annotated[int, Keywords(const=1)] = 1
    kind: Annotated[str, Keywords(enum=["a", "b"])] = "a"


GOOD = {"name": "abc", "sizes": [1, 2], "parts": {"all": {"share": 0}}}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"parts": {"all": {"share": None}, "one": {}}, "version": 1, "kind": "b"}, None),
        ({"name": "Abc"}, "name: 'Abc' does not match ^[a-z]+$"),
        ({"name": "abcdef"}, "name: more than 5 characters"),
        ({"name": "no"}, "name: 'no' is not allowed here"),
        ({"sizes": []}, "sizes: fewer than 1 items"),
        ({"sizes": [0]}, "sizes.0: 0 is not >= 1"),
        ({"sizes": [1, 1]}, "sizes: an item appears twice"),
        ({"sizes": [1, 2, 3, 4]}, "sizes: more than 3 items"),
        ({"parts": {}}, "parts: 'all' is missing"),
        ({"parts": {"all": {"share": 1}}}, "parts.all.share: 1.0 is not < 1"),
        ({"parts": {"all": {}, "longer": {}}}, "parts: more than 4 characters"),
        ({"parts": {"all": {}, "b": {}, "c": {}}}, "parts: more than 2 items"),
        ({"version": 2}, "version: 2 is not 1"),
        ({"kind": "c"}, "kind: 'c' is not one of ['a', 'b']"),
    ],
)
def test_reader_and_schema_agree(change, says):
    data = {**GOOD, **change}
    by_schema = [*Draft202012Validator(document(File)).iter_errors(data)]
    assert bool(by_schema) == (says is not None)
    if says is None:
        codec.read_document(File, data, lambda cls: False)
        return
    with pytest.raises(RecipeError) as caught:
        codec.read_document(File, data, lambda cls: False)
    assert str(caught.value) == says


def test_a_pattern_ends_at_the_very_end():
    assert limits.problem(Keywords(pattern="^a$"), "a\n") == "'a\\n' does not match ^a$"


def test_unknown_fields_of_open_objects_alone_are_ignored():
    data = {**GOOD, "note": "later"}
    assert codec.read_document(File, data, lambda cls: cls is File).sizes == (1, 2)
    with pytest.raises(RecipeError, match="unknown field 'note'"):
        codec.read_document(File, data, lambda cls: cls is Inner)
