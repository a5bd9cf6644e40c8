"""16-bit pixels: scaled by their depth, never clipped, and a guessed depth is reported."""

import numpy as np
import pytest
from films import RAMP, encoded, png, quiet
from PIL import Image

from zoo.core.errors import ImageError
from zoo.data.images.depth import DepthWarning
from zoo.data.images.reading import read_image


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bits_are_scaled_and_not_clipped(kind):
    deep = np.rint(RAMP * 257).astype(np.uint16)
    np.testing.assert_allclose(quiet(encoded(Image.fromarray(deep), kind))[..., 0], RAMP, atol=1)


@pytest.mark.parametrize("bits, read_as", [(9, 10), (10, 10), (11, 12), (12, 12), (14, 14)])
def test_fewer_bits_in_16_are_told_by_the_largest_value_and_reported(bits, read_as):
    deep = np.rint(RAMP / 255 * (2**bits - 1)).astype(np.uint16)
    with pytest.warns(DepthWarning, match=f"{read_as}-bit"):
        pixels = read_image(png(deep[..., None]))
    np.testing.assert_allclose(pixels[..., 0], deep / (2**read_as - 1) * 255, atol=0.51)
    with pytest.warns(DepthWarning):
        np.testing.assert_array_equal(read_image(deep), pixels)


def test_a_declared_depth_counts_more_than_the_largest_value():
    dark = np.rint(RAMP / 255 * 900).astype(np.uint16)[..., None]  # would fit 10 bits
    np.testing.assert_allclose(quiet(png(dark, b"\x0c")), dark / 4095 * 255, atol=0.51)


def test_samples_stretched_to_16_bits_are_read_so_whatever_is_declared():
    # What the PNG specification asks of a writer with 12-bit samples.
    stretched = (np.rint(RAMP / 255 * 4095) * 16).astype(np.uint16)
    np.testing.assert_allclose(quiet(png(stretched[..., None], b"\x0c"))[..., 0], RAMP, atol=1)


@pytest.mark.parametrize("channels, declared", [(2, b"\x0c\x10"), (3, b"\x0c\x0c\x0c"), (4, b"\x0c\x0c\x0c\x10")])
@pytest.mark.parametrize("bits", [12, 16])
def test_16_bit_colour_keeps_its_low_bytes(channels, declared, bits):
    deep = np.repeat(np.rint(RAMP / 255 * (2**bits - 1))[..., None], channels, axis=2).astype(np.uint16)
    if channels in (2, 4):
        deep[..., -1] = 65535
    np.testing.assert_allclose(quiet(png(deep, declared if bits == 12 else b""))[..., 0], RAMP, atol=1)


def test_white_is_zero_in_a_16_bit_tiff():
    deep = Image.fromarray(np.rint(RAMP * 257).astype(np.uint16))
    np.testing.assert_allclose(quiet(encoded(deep, "TIFF", tiffinfo={262: 0}))[..., 0], 255 - RAMP, atol=1)


def test_float_files_are_refused():
    with pytest.raises(ImageError, match="float"):
        read_image(encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"))
