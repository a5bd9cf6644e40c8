"""Scores of heatmaps against masks, by hand."""

import numpy as np
import pytest

from zoo.explain.explanation import enlarge
from zoo.explain.pointing import energy_inside, grow, pointing_game


def at(*places, shape=(9, 11), value=1.0):
    found = np.zeros(shape)
    for place in places:
        found[place] = value
    return found


MASK = at((4, 5), (4, 6)) > 0


def test_a_maximum_in_the_mask_is_a_hit():
    heatmaps = np.stack([at((4, 5)), at((4, 7)), at((4, 6)) - 0.5, at((0, 0)) + at((4, 5), value=0.9)])
    np.testing.assert_array_equal(pointing_game(heatmaps, np.stack([MASK] * 4)), [1, 0, 1, 0])


def test_the_tolerance_is_a_distance_in_pixels():
    heatmaps = np.stack([at((4, 8)), at((4, 2)), at((2, 5)), at((2, 8)), at((5, 7))])
    masks = np.stack([MASK] * 5)
    np.testing.assert_array_equal(pointing_game(heatmaps, masks, tolerance=1), [0, 0, 0, 0, 0])
    np.testing.assert_array_equal(pointing_game(heatmaps, masks, tolerance=2), [1, 0, 1, 0, 1])
    np.testing.assert_array_equal(pointing_game(heatmaps, masks, tolerance=3), [1, 1, 1, 1, 1])


@pytest.mark.parametrize("radius", [0, 1, 2, 5, 40])
def test_growing_takes_all_pixels_within_the_radius(radius):
    masks = np.random.default_rng(0).random((3, 12, 17)) > 0.97
    y, x = np.indices(masks.shape[1:])
    for mask, grown in zip(masks, grow(masks, radius), strict=True):
        near = [np.hypot(y - j, x - i) <= radius for j, i in np.argwhere(mask)]
        np.testing.assert_array_equal(grown, np.logical_or.reduce([mask, *near]))


def test_of_several_maxima_the_nearest_to_the_middle_counts():
    rim = np.zeros((9, 11))
    rim[:5, :6] = 1  # its inner end is the image's middle, which the mask holds
    assert pointing_game(rim[None], MASK[None]) == 1
    assert pointing_game(at((3, 5), (0, 0), (4, 7))[None], MASK[None]) == 0
    assert pointing_game(at((3, 5), (5, 5))[None], at((3, 5), (2, 5))[None] > 0) == 0.5


def test_a_corner_of_a_coarse_grid_points_at_the_middle_of_its_cell():
    heatmap = enlarge(np.array([[0, 1], [0, 0]], np.float32), (40, 40))
    mask = np.zeros((40, 40), bool)
    mask[8:12, 28:32] = True
    assert pointing_game(heatmap[None], mask[None]) == 1


def test_a_map_without_a_positive_value_shows_nothing():
    empty = np.stack([np.zeros((9, 11)), at((4, 5)) - 2])
    np.testing.assert_array_equal(pointing_game(empty, np.stack([MASK] * 2)), [0, 0])
    np.testing.assert_array_equal(energy_inside(empty, np.stack([MASK] * 2)), [0, 0])


def test_energy_counts_the_positive_part_alone():
    heatmaps = np.stack([at((4, 5), (0, 0), (0, 1), (0, 2)), at((4, 5)) - at((0, 0)), np.ones((9, 11))])
    np.testing.assert_allclose(energy_inside(heatmaps, np.stack([MASK] * 3)), [0.25, 1, 2 / 99])


def test_an_empty_mask_has_no_score():
    masks = np.stack([MASK, np.zeros_like(MASK)])
    heatmaps = np.stack([at((4, 5))] * 2)
    np.testing.assert_array_equal(pointing_game(heatmaps, masks, tolerance=3), [1, np.nan])
    np.testing.assert_array_equal(energy_inside(heatmaps, masks), [1, np.nan])


@pytest.mark.parametrize("score", [pointing_game, energy_inside])
@pytest.mark.parametrize(
    ("heatmaps", "masks", "match"),
    [
        (np.ones((1, 9, 11)), MASK, r"got \(1, 9, 11\) and bool \(9, 11\)"),
        (np.ones((9, 11)), MASK, r"heatmaps \(n, h, w\)"),
        (np.ones((1, 9, 11)), MASK[None].astype(int), "bool masks"),
        (np.full((1, 9, 11), np.nan), MASK[None], "NaN"),
    ],
)
def test_other_shapes_and_types_are_refused(score, heatmaps, masks, match):
    with pytest.raises(ValueError, match=match):
        score(heatmaps, masks)


def test_a_negative_tolerance_is_refused():
    with pytest.raises(ValueError, match="0 pixels or more, got -1"):
        pointing_game(np.ones((1, 9, 11)), MASK[None], tolerance=-1)
