"""The one decoder: modes, orientation, scaling in the DCT, and files that are damaged, hostile or no image."""

import contextlib
import hashlib
import io

import numpy as np
import pytest
from films import FILM, GREY, RAMP, encoded, png, quiet
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from zoo.core.errors import ImageError
from zoo.data.images.decode import DECODER
from zoo.data.images.limits import Limits
from zoo.data.images.reading import read_image


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "CMYK", "P", "YCbCr"])
def test_every_mode_of_a_grey_film_is_that_film(mode):
    image = FILM.convert(mode)
    np.testing.assert_allclose(quiet(image)[..., 0].astype(int), GREY, atol=2)
    kind = {"CMYK": "JPEG", "YCbCr": "JPEG"}.get(mode, "PNG")
    np.testing.assert_allclose(quiet(encoded(image, kind))[..., 0].astype(int), GREY, atol=6)


def test_one_bit_is_black_and_white():
    assert set(np.unique(read_image(encoded(FILM.point(lambda v: 255 * (v > 99)).convert("1"), "PNG")))) == {0, 255}


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparent_pixels_are_black(mode):
    image = FILM.convert(mode)
    alpha = np.full(GREY.shape, 255, np.uint8)
    alpha[:16] = 0
    image.putalpha(Image.fromarray(alpha))
    pixels = read_image(encoded(image, "PNG"))[..., 0]
    assert (pixels[:16] == 0).all()
    np.testing.assert_array_equal(pixels[16:], GREY[16:])


def test_a_transparent_palette_entry_is_black():
    image = Image.fromarray((GREY > 99).astype(np.uint8), "L").convert("P")
    image.putpalette([200, 200, 200, 100, 100, 100])
    pixels = read_image(encoded(image, "PNG", transparency=0))[..., 0]
    assert set(np.unique(pixels)) == {0, 100}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_exif_orientation_is_followed_once(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = {
        1: GREY,
        2: GREY[:, ::-1],
        3: GREY[::-1, ::-1],
        4: GREY[::-1],
        5: GREY.T,
        6: np.rot90(GREY),
        7: GREY[::-1, ::-1].T,
        8: np.rot90(GREY, -1),
    }[orientation]
    options = {"quality": 100} if kind == "JPEG" else {}
    file = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    np.testing.assert_allclose(read_image(file)[..., 0].astype(int), GREY, atol=2)


def test_the_first_frame_is_taken():
    frames = [FILM, Image.fromarray(255 - GREY)]
    for kind in ("TIFF", "PNG"):
        file = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
        np.testing.assert_array_equal(read_image(file)[..., 0], GREY)


@pytest.mark.parametrize("size", [56, 64, 100, 112, 113, 128])
def test_a_dct_scaled_jpeg_is_within_one_grey_level_of_a_full_decode(size):
    file = encoded(natural_film(512), "JPEG", quality=92)
    full = Image.open(io.BytesIO(file)).resize((size, size), Image.Resampling.BILINEAR)
    difference = np.abs(read_image(file, size)[..., 0].astype(int) - np.asarray(full).astype(int))
    assert difference.mean() < 1.0


def natural_film(side: int) -> Image.Image:
    """Noise whose amplitude falls with the square of the frequency, as in X-rays, and a little white noise."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    smooth = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(side, side))) / np.maximum(frequency, 1 / side) ** 2)
    pixels = 128 + 45 * smooth / smooth.std() + rng.normal(0, 4, (side, side))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def test_a_jpeg_is_never_scaled_below_twice_the_wanted_size(monkeypatch):
    drafted = []
    draft = JpegImageFile.draft

    def spy(self, mode, size):
        box = draft(self, mode, size)
        drafted.append(self.size)
        return box

    monkeypatch.setattr(JpegImageFile, "draft", spy)
    file = encoded(FILM.resize((600, 300)), "JPEG")
    for size in (16, 20, 75, 76, 300, 500):
        assert read_image(file, size=size).shape == (size, size, 1)
    read_image(file)
    assert drafted == [(75, 38), (150, 75), (300, 150), (600, 300), (600, 300), (600, 300), (600, 300)]


BAD = {
    "empty": (b"", "empty"),
    "html": (b"\n<!DOCTYPE html><html>404</html>", "HTML"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git-lfs"),
    "dicom": (bytes(128) + b"DICM" + bytes(64), "DICOM"),
    "gif": (encoded(FILM, "GIF"), "GIF"),
    "noise": (b"nothing of the kind", "unknown content"),
    "half jpeg": (encoded(FILM.resize((256, 256)), "JPEG")[:2000], "truncated"),
    "half png": (encoded(FILM.resize((256, 256)), "PNG")[:800], "truncated"),
    "one pixel": (encoded(Image.new("L", (1, 1)), "PNG"), "1 x 1 pixels"),
    "a line": (encoded(Image.new("L", (200, 9)), "PNG"), "more than 10 times"),
    "black": (encoded(Image.new("L", (32, 32)), "PNG"), "constant image: every pixel is 0"),
    "large": (png(GREY[..., None], size=(9000, 9000)), "64 megapixels"),
    "bomb": (png(GREY[..., None], size=(2**31 - 1, 2**31 - 1)), "bomb"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_image_is_one_clear_line_with_the_file_name(tmp_path, case):
    data, reason = BAD[case]
    path = tmp_path / "film.png"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path, size=32)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    with pytest.raises(ImageError, match="bytes: "):
        read_image(data)


def test_the_pixel_limit_is_below_the_one_at_which_pillow_warns():
    assert Limits().pixels < Image.MAX_IMAGE_PIXELS


def test_a_png_that_lacks_its_end_chunk_alone_is_complete():
    np.testing.assert_array_equal(read_image(png(GREY[..., None], end=False))[..., 0], GREY)


def test_no_cut_of_a_file_is_read_as_another_picture():
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG"):
        whole = encoded(Image.fromarray(rng.integers(0, 256, (64, 64), dtype=np.uint8)), kind)
        pixels = read_image(whole)
        for end in range(0, len(whole) - 40, 97):
            with pytest.raises(ImageError):
                read_image(whole[:end])
        for end in range(len(whole) - 40, len(whole)):
            try:
                cut = read_image(whole[:end])
            except ImageError:
                continue
            np.testing.assert_array_equal(cut, pixels)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::PIL.Image.DecompressionBombWarning")
def test_random_damage_gives_pixels_or_an_image_error():
    rng = np.random.default_rng(0)
    for kind in ("JPEG", "PNG", "TIFF", "BMP", "WEBP"):
        whole = np.frombuffer(encoded(FILM, kind), np.uint8)
        for _ in range(60):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 4)] = rng.integers(0, 256, 4)
            with contextlib.suppress(ImageError):
                assert read_image(damaged.tobytes(), size=16).shape == (16, 16, 1)


#: sha256 over what the decoder makes of files that hold the same samples for ever.
PIXELS = {3: "2f47422f8de6a8336087bad8e62002162396eb798319301de3e68a649223426d"}


def test_other_pixels_from_a_rule_raise_the_decoders_version():
    """Caches of images are made anew when `DECODER` is raised, and only then: a changed rule has to raise it."""
    colour = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)
    alpha = np.dstack([colour, np.where(GREY > 99, 255, 100).astype(np.uint8)])
    deep = (RAMP / 255 * 4095).astype(np.uint16)[..., None]
    files = [png(GREY[..., None]), png(colour), png(alpha), png(deep, b"\x0c"), png(deep * 16)]
    digest = hashlib.sha256()
    for file in files:
        for size in (None, 20, 40):
            # Pillow 12 and 13 differ by a grey level where an image with alpha is made smaller.
            if (file, size) != (files[2], 20):
                digest.update(read_image(file, size).tobytes())
    assert {DECODER: digest.hexdigest()} == PIXELS
