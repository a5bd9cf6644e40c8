"""Views of test-time augmentation: which there are, and their pixels."""

import numpy as np
import pytest

from zoo.config.tta import TtaSpec
from zoo.core.errors import RecipeError
from zoo.data.tta import views

SQUARE = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)


def pixels(spec):
    return [view[0, ..., 0].tolist() for view in views(SQUARE, spec)]


def test_the_image_is_first_then_mirrored_then_shifted_with_its_edge_repeated():
    itself, mirrored, right, left, down, up = pixels(TtaSpec(True, shifts=(0.25,)))
    assert itself == SQUARE[0, ..., 0].tolist()
    assert mirrored[0] == [3, 2, 1, 0]
    assert (right[1], left[1]) == ([4, 4, 5, 6], [5, 6, 7, 7])
    assert (down[:2], up[2:]) == ([[0, 1, 2, 3]] * 2, [[12, 13, 14, 15]] * 2)


def test_scales_are_about_the_centre_and_bilinear():
    _, doubled, halved = pixels(TtaSpec(scales=(2.0, 0.5)))
    # Places 0.75, 1.25, 1.75, 2.25 of a row, and 4 times that down the rows.
    assert doubled[0] == [round(4 * 0.75 + x) for x in (0.75, 1.25, 1.75, 2.25)]
    assert halved[0] == [0, 0, 2, 3] or halved[0] == [0, 1, 3, 3]  # places 0 (edge), 0.5, 2.5, 3 (edge)
    assert doubled[3][3] == 15 - doubled[0][0]  # symmetric


def test_a_batch_is_not_changed_and_each_image_is_on_its_own():
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 1), dtype=np.uint8)
    before = images.copy()
    spec = TtaSpec(True, (1.1, 0.9), (0.1,))
    together = list(views(images, spec))
    np.testing.assert_array_equal(images, before)
    assert len(together) == spec.count == 8
    assert {view.dtype for view in together} == {np.dtype(np.uint8)}
    for i in range(3):
        for one, all_of_them in zip(views(images[i : i + 1], spec), together, strict=True):
            np.testing.assert_array_equal(one[0], all_of_them[i])


@pytest.mark.parametrize("wrong", [{}, {"scales": (1.0,)}, {"scales": (3.0,)}, {"shifts": (0.0,)}, {"shifts": (0.5,)}])
def test_what_is_no_view_is_refused(wrong):
    with pytest.raises(RecipeError, match="tta"):
        TtaSpec(**wrong)
