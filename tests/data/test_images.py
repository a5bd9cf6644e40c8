"""Every source ends as the same array, or as an `ImageError` that names it."""

import numpy as np
import pytest
from films import FILM, GREY, RAMP, quiet
from PIL import Image

from zoo.core.errors import ImageError
from zoo.data.images.listing import list_images
from zoo.data.images.reading import read_image

FILMS = {".png": {}, ".bmp": {}, ".tif": {}, ".webp": {"lossless": True}, ".jpg": {"quality": 100}}


@pytest.mark.parametrize("suffix", FILMS)
def test_every_format_is_read_by_its_content_and_not_its_name(tmp_path, suffix):
    path = tmp_path / "film.jpg"
    FILM.save(tmp_path / f"film{suffix}", **FILMS[suffix])
    (tmp_path / f"film{suffix}").rename(path)
    pixels = quiet(path)
    assert pixels.shape == (32, 24, 1)
    assert pixels.dtype == np.uint8
    np.testing.assert_allclose(pixels[..., 0].astype(int), GREY, atol=2 if suffix == ".jpg" else 0)


def test_a_path_its_bytes_its_image_and_its_array_are_the_same(tmp_path):
    FILM.save(tmp_path / "film.png")
    sources = [tmp_path / "film.png", str(tmp_path / "film.png"), (tmp_path / "film.png").read_bytes(), FILM, GREY]
    for source in sources:
        np.testing.assert_array_equal(read_image(source, size=16), read_image(GREY, size=16))
    np.testing.assert_array_equal(read_image(GREY, channels=3), np.repeat(GREY[..., None], 3, axis=2))


def test_resize_stretches_to_a_square_with_antialiasing():
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 64))  # (64, 128): columns black and white in turn
    small = read_image(stripes, size=16)
    assert small.shape == (16, 16, 1)
    assert np.abs(small.astype(int) - 127).max() <= 1


@pytest.mark.parametrize("make", ["missing", "folder"])
def test_a_path_without_a_file(tmp_path, make):
    path = tmp_path / make
    if make == "folder":
        path.mkdir()
    with pytest.raises(ImageError, match=r"no such file|a folder"):
        read_image(path)


@pytest.mark.parametrize(
    "array, reason",
    [
        (RAMP / 255, "Multiply by 255"),
        ((GREY > 99).astype(np.uint8), "Multiply by 255"),
        (RAMP / 127.5 - 1, "-1..1"),
        (RAMP * 257, "0..65535"),
        (np.where(RAMP > 99, np.nan, RAMP), "NaN"),
        (GREY[None, ..., None], r"\(h, w\)"),
        (GREY * 1j, "integers, floats or booleans"),
        (np.full((32, 32), 7.0), "constant"),
    ],
)
def test_arrays_in_another_range_are_refused(array, reason):
    with pytest.raises(ImageError, match=reason):
        read_image(array)


def test_float_arrays_are_rounded():
    np.testing.assert_array_equal(read_image(RAMP)[..., 0], GREY)
    np.testing.assert_array_equal(read_image(GREY[..., None].astype(np.float16))[..., 0], GREY)


def test_wrong_arguments_are_told_apart_from_bad_images():
    with pytest.raises(TypeError, match="list"):
        read_image([GREY])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="channels"):
        read_image(GREY, channels=2)


def test_real_images_are_all_readable(nih_dir):
    paths = list_images(nih_dir / "images")
    for path in paths:
        assert read_image(path, 64).shape == (64, 64, 1)
    for path in paths[:5]:
        full = np.asarray(Image.open(path).convert("L").resize((224, 224), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(read_image(path, 224)[..., 0] - full).mean() < 1.0
