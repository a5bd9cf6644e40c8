import json

import numpy as np
import pytest

from zoo.config.pixels import NAMED, PixelSpec
from zoo.config.specs import MemberSpec, from_dict, override, to_dict
from zoo.core.errors import RecipeError


def apply(name: str, pixel: float) -> list[float]:
    spec = NAMED[name]
    return [(pixel - m) / d for m, d in zip(spec.mean, spec.deviation, strict=True)]


def test_the_named_contracts_have_the_published_values() -> None:
    for name, pixel, value in (
        ("tf", 0, -1.0),
        ("tf", 255, 1.0),
        ("xrv", 0, -1024.0),
        ("xrv", 255, 1024.0),
        ("lite", 127, 0.0),
        ("lite", 255, 1.0),
    ):
        assert apply(name, pixel) == [value] * 3
    np.testing.assert_allclose(apply("torch", 255), (1 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225])
    assert apply("caffe", 0) == [-103.939, -116.779, -123.68]
    assert NAMED["caffe"].order == "bgr"


def test_a_member_carries_its_own_numbers_through_json() -> None:
    member = MemberSpec("tiny", pixels=PixelSpec.scaled((0.5056,) * 3, (0.252,) * 3))
    assert from_dict(MemberSpec, json.loads(json.dumps(to_dict(member)))) == member
    assert override(member, "pixels.order", "bgr").pixels == PixelSpec((255 * 0.5056,) * 3, (255 * 0.252,) * 3, "bgr")
    assert from_dict(MemberSpec, {"backbone": "tiny"}).pixels is None


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"mean": [0, 0], "deviation": [1, 1, 1]}, "mean of pixels must be three numbers from -1e"),
        (
            {"mean": [0, 0, 0], "deviation": [1, 1, 0]},
            "deviation of pixels must be three numbers from 1e-06",
        ),
        ({"mean": [0, 0, float("nan")], "deviation": [1, 1, 1]}, "got .*nan"),
        ({"mean": [0, 0, 0], "deviation": [1, 1, 1], "order": "grb"}, "one of 'rgb', 'bgr', got 'grb'"),
        ({"mean": [0, 0, 0]}, "field 'deviation' is missing"),
        ({"mean": [0, 0, 0], "deviation": [1, 1, 1], "scale": 2}, "unknown field 'scale'"),
    ],
)
def test_numbers_that_cannot_be_computed_with_are_refused(fields: dict, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        from_dict(MemberSpec, {"backbone": "tiny", "pixels": fields})
    if "order" in fields:
        with pytest.raises(RecipeError, match="order of channels must be 'rgb' or 'bgr', got 'grb'"):
            PixelSpec((0.0,) * 3, (1.0,) * 3, "grb")  # type: ignore[arg-type]
