"""Overlays: colours in order, the image left alone where nothing is, and PNGs that say what they are."""

import numpy as np
import pytest
from PIL import Image

from zoo.explain.explanation import Explanation
from zoo.explain.overlay import colours, overlay, save_png

RAMP = np.tile(np.linspace(0, 1, 8, dtype=np.float32), (4, 1))
FILM = np.full((4, 8), 100, np.uint8)

#: Linear sRGB to what a protanope and a deuteranope see of it (Vienot, Brettel and Mollon 1999).
VISION = {
    "normal": np.eye(3),
    "protan": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deutan": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
    "grey": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}


def test_the_film_stays_where_nothing_speaks_for_the_finding():
    picture = overlay(FILM, RAMP)
    assert picture.shape == (4, 8, 3)
    assert picture.dtype == np.uint8
    np.testing.assert_array_equal(picture[:, 0], 100)
    np.testing.assert_array_equal(overlay(FILM, RAMP, alpha=0), np.full((4, 8, 3), 100))
    np.testing.assert_array_equal(overlay(FILM, np.ones((4, 8)), alpha=1)[0, 0], colours()[255])


@pytest.mark.parametrize("vision", VISION)
def test_the_order_of_the_colours_is_seen_by_every_colour_vision(vision):
    s = colours() / 255
    linear = np.where(s <= 0.04045, s / 12.92, ((s + 0.055) / 1.055) ** 2.4) @ np.transpose(VISION[vision])
    luminance = np.clip(linear, 0, 1) @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance[::4]) > 0).all()
    assert luminance[-1] > 8 * luminance[0]


@pytest.mark.parametrize(
    ("film", "heatmap", "alpha", "match"),
    [
        (FILM.astype(float), RAMP, 0.5, "uint8"),
        (FILM, RAMP[:, :4], 0.5, r"got uint8 \(4, 8\) and \(4, 4\)"),
        (FILM, 2 * RAMP, 0.5, r"heatmap must be in 0\.\.1, got 0\.\.2"),
        (FILM, RAMP * np.nan, 0.5, r"heatmap must be in 0\.\.1, got nan"),
        (FILM, RAMP, 1.5, r"alpha must be in 0\.\.1, got 1\.5"),
    ],
)
def test_what_cannot_be_laid_over_is_refused(film, heatmap, alpha, match):
    with pytest.raises(ValueError, match=match):
        overlay(film, heatmap, alpha)


def test_a_saved_overlay_says_what_it_is(tmp_path):
    found = Explanation(FILM, RAMP, RAMP, 1.5, 0.8176, "gradcam", 3, "Edema", {})
    path = found.save(tmp_path / "edema.png")
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert "Research software, not a medical device" in image.info["Disclaimer"]
        assert image.info["Finding"] == "Edema"
        assert image.info["Method"] == "gradcam"
        assert image.info["Probability"] == "0.818"
        np.testing.assert_array_equal(np.asarray(image), found.overlay())


def test_any_picture_is_saved_with_the_sentence(tmp_path):
    with Image.open(save_png(tmp_path / "film", FILM)) as image:
        assert image.format == "PNG"
        assert image.mode == "L"
        assert image.info["Disclaimer"].startswith("Research software")
