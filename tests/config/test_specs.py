"""Saved dataclasses: a round trip, strict reading, overrides by path."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import pytest

from zoo.config.specs import MAX_FINDINGS, MAX_MEMBERS, EnsembleSpec, MemberSpec, from_dict, override, to_dict
from zoo.core.errors import RecipeError, UnknownNameError
from zoo.labels.findings import FINDINGS


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = 1e-3
    epochs: int = 3


@dataclasses.dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = Inner()
    stages: tuple[Inner, ...] = (Inner(), Inner(epochs=5))
    kind: Literal["a", "b"] = "a"
    weights: str | None = None
    limit: float | None = None
    flag: bool = False
    sizes: tuple[int, ...] | None = (1, 2)
    extra: Mapping[str, float] = dataclasses.field(default_factory=dict)
    anything: Any = None


def ensemble(**changes: Any) -> EnsembleSpec:
    return EnsembleSpec(**{"name": "pair", "members": (MemberSpec("resnet50"), MemberSpec("densenet121"))} | changes)


@pytest.mark.parametrize(
    "spec",
    [
        MemberSpec("tiny", head="gem", dropout=0.0, weights="imagenet", batch_norm_momentum=0.9, alias="first"),
        ensemble(weighting=(1.0, 0.5), image_size=64, findings=FINDINGS[:3]),
        ensemble(weighting=((1.0, 0.0), (0.5, 0.0)), findings=FINDINGS[:2], untrained=(FINDINGS[1],)),
        Outer("x", extra={"a": 1.0}, sizes=None, limit=2.0),
    ],
    ids=lambda s: type(s).__name__,
)
def test_a_spec_survives_json(spec):
    assert from_dict(type(spec), json.loads(json.dumps(to_dict(spec)))) == spec


def test_a_member_is_called_by_its_backbone_unless_named():
    assert MemberSpec("resnet50").name == "resnet50"
    assert ensemble().member("densenet121").backbone == "densenet121"
    with pytest.raises(UnknownNameError, match="did you mean 'densenet121'"):
        ensemble().member("densenet12")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"members": ()}, "1 to 32 members, got 0"),
        ({"members": tuple(MemberSpec("tiny", alias=f"m{i}") for i in range(MAX_MEMBERS + 1))}, "got 33"),
        ({"members": (MemberSpec("tiny"), MemberSpec("tiny"))}, "need different names"),
        ({"image_size": 7}, "8 to 2048, got 7"),
        ({"image_size": 1_000_000}, "8 to 2048, got 1000000"),
        ({"findings": ()}, "findings must be"),
        ({"findings": ("Edema", "Edema")}, "different names"),
        ({"findings": tuple(map(str, range(MAX_FINDINGS + 1)))}, "findings must be"),
        ({"weighting": (1.0,)}, "2 numbers >= 0"),
        ({"weighting": (1.0, -0.1)}, "2 numbers >= 0"),
        ({"weighting": (0.0, 0.0)}, "not all 0"),
        ({"weighting": (1.0, float("nan"))}, "2 numbers >= 0"),
        ({"weighting": (float("inf"), 1.0)}, "2 numbers >= 0"),
        ({"weighting": ((1.0,) * 14,)}, r"2 rows of 14 numbers, got \[14\]"),
        ({"weighting": ((1.0,) * 14, 1.0)}, r"2 rows of 14 numbers, got \[14, 'a number'\]"),
        ({"weighting": ((1.0,) * 14, (1.0,) * 13)}, r"2 rows of 14 numbers, got \[14, 13\]"),
        ({"weighting": ((1.0,) * 14, (-1.0,) * 14)}, "finite numbers >= 0"),
        ({"weighting": ((0.0,) + (1.0,) * 13,) * 2}, "0 in every member for Atelectasis, which is not among"),
        ({"weighting": ((1e308,) * 14, (1e308,) * 14)}, "the sum of a finding is infinite"),
        ({"weighting": 0.5}, "a word, 2 numbers, or 2 rows of numbers, got 0.5"),
        ({"weighting": "fited"}, "weighting must be 'uniform', 'fitted', 'fitted_per_finding' or numbers, got 'fited'"),
        ({"untrained": ("Effusion",)}, "untrained 'Effusion' is none of its findings"),
        ({"untrained": FINDINGS}, "all of its findings are untrained"),
    ],
)
def test_an_impossible_ensemble_is_refused_before_it_is_built(changes, message):
    with pytest.raises(RecipeError, match=message):
        ensemble(**changes)


def test_weights_may_be_lists_and_arrays():
    rows = np.array([[1.0, 0.0], [0.5, 0.5]])
    for given, kept in (
        ([0.9, 0.1], (0.9, 0.1)),
        (rows, ((1.0, 0.0), (0.5, 0.5))),
        ([*rows], ((1.0, 0.0), (0.5, 0.5))),
    ):
        spec = ensemble(weighting=given, findings=FINDINGS[:2])
        assert spec.weighting == kept
        assert from_dict(EnsembleSpec, to_dict(spec)) == spec
    assert ensemble(weighting=[]).weighting == "uniform"


@pytest.mark.parametrize("name", ["tested", "uniform", "fitted", "fitted_per_finding", "greedy", "given"])
def test_a_member_is_not_called_like_a_file_of_a_release_or_a_choice_of_weights(name):
    with pytest.raises(RecipeError, match="is none of"):
        MemberSpec("tiny", alias=name)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_dropout_is_a_share(rate):
    with pytest.raises(RecipeError, match=r"member 'tiny': dropout must be in \[0, 1\)"):
        MemberSpec("tiny", dropout=rate)
    with pytest.raises(RecipeError, match=r"member 'tiny': batch_norm_momentum must be in \[0, 1\), or None"):
        MemberSpec("tiny", batch_norm_momentum=rate)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"nmae": "x"}, "unknown field 'nmae'; did you mean 'name'"),
        ({"inner": {"rat": 1}}, "inner: unknown field 'rat'; did you mean 'rate'"),
        ({"inner": 3}, "inner: expected an object, got int"),
        ({"stages": [{"epochs": "3"}]}, r"stages\.0\.epochs: expected int, got '3'"),
        ({"stages": "ab"}, "stages: expected a list, got 'ab'"),
        ({"kind": "c"}, "kind: one of 'a', 'b', got 'c'"),
        ({"flag": 1}, "flag: expected bool, got 1"),
        ({"name": None}, "name: expected str, got None"),
        ({"inner": {"epochs": True}}, r"inner\.epochs: expected int, got True"),
        ({"inner": {"epochs": 3.0}}, r"inner\.epochs: expected int, got 3\.0"),
        ({"limit": "much"}, "limit: expected float, got 'much'"),
        ({"sizes": [1, "2"]}, r"sizes\.1: expected int, got '2'"),
        ({"extra": [1]}, "extra: expected an object"),
        ({"extra": {"a": "1"}}, r"extra\.a: expected float, got '1'"),
    ],
)
def test_reading_is_strict_and_names_the_field(change, message):
    with pytest.raises(RecipeError, match=message):
        from_dict(Outer, {"name": "x"} | change)


def test_a_missing_field_and_what_is_no_object():
    with pytest.raises(RecipeError, match="Outer: field 'name' is missing"):
        from_dict(Outer, {})
    with pytest.raises(RecipeError, match="Outer: expected an object, got list"):
        from_dict(Outer, ["name"])


def test_a_whole_number_will_do_for_a_float():
    assert from_dict(Inner, {"rate": 1}) == Inner(rate=1.0)
    assert type(from_dict(Inner, {"rate": 1}).rate) is float


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("name", "y", Outer("y")),
        ("name", "12", Outer("12")),
        ("inner.rate", "1e-5", Outer("x", inner=Inner(rate=1e-5))),
        ("stages.1.epochs", "7", Outer("x", stages=(Inner(), Inner(epochs=7)))),
        ("sizes.0", "9", Outer("x", sizes=(9, 2))),
        ("sizes", "[4]", Outer("x", sizes=(4,))),
        ("sizes", "None", Outer("x", sizes=None)),
        ("kind", "b", Outer("x", kind="b")),
        ("flag", "True", Outer("x", flag=True)),
        ("flag", "true", Outer("x", flag=True)),
        ("weights", "imagenet", Outer("x", weights="imagenet")),
        ("weights", "2024", Outer("x", weights="2024")),
        ("weights", "null", Outer("x", weights=None)),
        ("limit", "3", Outer("x", limit=3.0)),
        ("extra", '{"a": 1}', Outer("x", extra={"a": 1.0})),
    ],
)
def test_an_override_reads_the_text_in_the_fields_type(path, text, expected):
    original = Outer("x")
    assert override(original, path, text) == expected
    assert original == Outer("x")


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("nane", "y", "nane: unknown field 'nane'; did you mean 'name'"),
        ("stages.0.epoch", "1", r"stages\.0\.epoch: unknown field 'epoch'; did you mean 'epochs'"),
        ("stages.2.epochs", "1", "'2' is not an index of 2 items"),
        ("stages.-1.epochs", "1", "'-1' is not an index"),
        ("stages.².epochs", "1", "'²' is not an index"),
        ("stages.first", "1", "'first' is not an index"),
        ("name.first", "1", "there is nothing below a str"),
        ("inner.epochs", "1.5", r"inner\.epochs: expected int, got 1\.5"),
        ("inner.rate", "fast", r"inner\.rate: expected float, got 'fast'"),
        ("inner.rate", "NaN", r"inner\.rate: expected float, got 'NaN'"),
        ("inner.rate", "1e400", r"inner\.rate: expected float, got '1e400'"),
        ("limit", "-Infinity", "limit: expected float, got '-Infinity'"),
        ("flag", "yes", "flag: expected bool, got 'yes'"),
        ("kind", "c", "kind: one of 'a', 'b', got 'c'"),
        ("", "c", "unknown field ''"),
    ],
)
def test_an_override_that_does_not_fit_names_path_and_what_would(path, text, message):
    with pytest.raises(RecipeError, match=message) as caught:
        override(Outer("x"), path, text)
    assert "\n" not in str(caught.value)


def test_an_override_is_checked_like_a_spec_made_by_hand():
    with pytest.raises(RecipeError, match="image_size must be 8 to 2048"):
        override(ensemble(), "image_size", "4")
    changed = override(ensemble(), "members.1.dropout", "0.5")
    assert [m.dropout for m in changed.members] == [0.3, 0.5]


def test_every_field_of_a_saved_type_is_described_in_its_schema():
    from zoo.config.json_schema import definitions
    from zoo.evaluation.decision import Decision

    for cls in (EnsembleSpec, Decision):
        for name, schema in definitions(cls).items():
            assert schema["description"], name
            for field, facts in schema["properties"].items():
                assert "$ref" in facts or facts["description"], f"{name}.{field}"


def test_some_members_alone_are_untrained_where_none_of_them_speaks():
    rows = ((1.0, 0.0, 2.0), (1.0, 1.0, 0.0))
    pair = ensemble(weighting=rows, findings=FINDINGS[:3])
    alone = pair.only({"densenet121"})
    assert (alone.weighting, alone.untrained) == ((rows[1],), (FINDINGS[2],))
    assert alone.shares == ((1.0, 1.0, 0.0),)
    assert pair.shares == ((0.5, 0.0, 1.0), (0.5, 1.0, 0.0))
    assert ensemble().only({"resnet50"}).untrained == ()


def test_some_members_share_the_weights_of_those_left_out():
    three = ensemble(members=tuple(MemberSpec("tiny", alias=name) for name in "abc"), weighting=(0.6, 0.3, 0.0))
    pair = three.only({"a", "b"})
    assert pair.weighting == (0.6, 0.3)
    assert [row[0] for row in pair.shares] == pytest.approx([2 / 3, 1 / 3])
    assert three.only({"c"}).shares == ((1.0,) * 14,)
    assert ensemble(weighting="fitted").only({"resnet50"}).weighting == "uniform"


@pytest.mark.parametrize(
    ("before", "now"), [([], "uniform"), ([0.9, 0.1], (0.9, 0.1)), ([[1.0] * 14] * 2, ((1.0,) * 14,) * 2)]
)
def test_files_that_call_the_weights_of_members_otherwise_are_read(before, now):
    saved = to_dict(ensemble())
    del saved["weighting"]
    assert from_dict(EnsembleSpec, {**saved, "member_weights": before}) == ensemble(weighting=now)
    assert from_dict(EnsembleSpec, {**saved, "member_weights": before}, limited=True).weighting == now
    with pytest.raises(RecipeError, match="'member_weights' is the former name of 'weighting'; give one of them"):
        from_dict(EnsembleSpec, {**saved, "member_weights": before, "weighting": "uniform"})


@pytest.mark.parametrize(
    ("text", "weighting"),
    [("fitted", "fitted"), ("[0.9, 0.1]", (0.9, 0.1)), ('"fitted_per_finding"', "fitted_per_finding")],
)
def test_weights_can_be_set_from_the_command_line(text, weighting):
    assert override(ensemble(), "weighting", text).weighting == weighting
    assert override(ensemble(weighting=(0.5, 0.5)), "weighting.1", "0.25").weighting == (0.5, 0.25)


def test_a_word_that_is_no_weighting_is_refused_with_those_that_are():
    with pytest.raises(RecipeError, match="weighting: one of 'uniform', 'fitted', 'fitted_per_finding', got 'fited'"):
        override(ensemble(), "weighting", "fited")
