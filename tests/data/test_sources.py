"""One image gives the same pixels from wherever it comes; what is one image, what several, and what none."""

import io
import os
import pickle
import threading

import numpy as np
import pytest
from films import FILM, GREY, RAMP, encoded, png
from PIL import Image, ImageOps, ImageSequence

from zoo.core.errors import ImageError, UsageError, UsageTypeError
from zoo.data import contents
from zoo.data.images.depth import DepthWarning
from zoo.data.images.limits import Limits
from zoo.data.images.reading import read_image
from zoo.data.images.sources import each_image, hold, hold_each, one_image

BIG = FILM.resize((600, 500))  # large enough to be scaled in the DCT
COLOUR = np.dstack([GREY, GREY[::-1], 255 - GREY])
DEEP = np.rint(RAMP / 255 * 900).astype(np.uint16)  # would fit 10 bits


def turned(image: Image.Image, kind: str, **options) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded(image, kind, exif=exif, **options)


FILES = {
    "grey jpeg": encoded(BIG, "JPEG"),
    "colour jpeg": encoded(Image.fromarray(COLOUR).resize((600, 500)), "JPEG"),
    "turned jpeg": turned(BIG, "JPEG"),
    "progressive jpeg": turned(BIG, "JPEG", progressive=True),
    "cmyk jpeg": encoded(BIG.convert("CMYK"), "JPEG"),
    "turned png": turned(FILM, "PNG"),
    "turned webp": turned(FILM, "WEBP", lossless=True),
    "turned tiff": turned(FILM, "TIFF"),
    "packed tiff": turned(FILM, "TIFF", compression="tiff_lzw"),
    "palette": encoded(FILM.convert("P"), "PNG"),
    "transparent palette": encoded(FILM.convert("P"), "PNG", transparency=200),
    "one bit": encoded(FILM.convert("1"), "PNG"),
    "grey and alpha": png(np.dstack([GREY, 255 - GREY])),
    "colour and alpha": png(np.dstack([COLOUR, 255 - GREY])),
    "16 bits": png((RAMP * 257).astype(np.uint16)[..., None]),
    "12 declared bits": png(DEEP[..., None], b"\x0c"),
    "16-bit colour": png(COLOUR.astype(np.uint16) * 257),
    "16-bit tiff": encoded(Image.fromarray((RAMP * 257).astype(np.uint16)), "TIFF"),
    "white is zero": encoded(Image.fromarray((RAMP * 257).astype(np.uint16)), "TIFF", tiffinfo={262: 0}),
    "32-bit tiff": encoded(Image.fromarray(GREY.astype(np.int32)), "TIFF"),
    "bmp": encoded(FILM, "BMP"),
    "pages": encoded(FILM, "TIFF", save_all=True, append_images=[Image.fromarray(255 - GREY)]),
    "animated png": encoded(FILM, "PNG", save_all=True, append_images=[Image.fromarray(255 - GREY)]),
    "two pictures": encoded(FILM, "MPO", save_all=True, append_images=[Image.fromarray(255 - GREY)]),
}

#: What a Pillow image does not hold any more once it is loaded.
LOST = {"12 declared bits": DepthWarning, "16-bit colour": ImageError}


@pytest.mark.parametrize("size", [None, 48])
@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_same_pixels_by_every_road(tmp_path, name, size):
    data, path = FILES[name], tmp_path / "image"
    path.write_bytes(data)
    expected = read_image(path, size)
    with path.open("rb") as opened, Image.open(path) as lazy, path.open("rb", buffering=0) as raw:
        opened.read(7)
        sources = [str(path), data, bytearray(data), memoryview(data), io.BytesIO(data), opened, raw, lazy]
        for source in [*sources, Image.open(io.BytesIO(data)), opened, lazy]:
            np.testing.assert_array_equal(read_image(source, size), expected)
        assert opened.tell() == 7
        np.testing.assert_array_equal(read_image(lazy, size, channels=3), read_image(path, size, channels=3))
        lazy.load()  # as its owner may still do
        assert lazy.getpixel((0, 0)) is not None


@pytest.mark.parametrize("size", [None, 48])
@pytest.mark.parametrize("name", sorted(set(FILES) - set(LOST)))
def test_a_loaded_image_equals_a_full_decode(tmp_path, name, size):
    data, path = FILES[name], tmp_path / "image"
    path.write_bytes(data)
    expected = read_image(data, size).astype(int)
    for opened in (path, io.BytesIO(data)):
        loaded = Image.open(opened)
        loaded.load()
        if name == "turned tiff" and opened is path:  # a fault of Pillow's
            with pytest.raises(ImageError, match="a turned TIFF"):
                read_image(loaded)
            continue
        # A JPEG's luma is taken before or after its conversion to colour, and its scale before or after its DCT.
        tolerance = 1 if "jpeg" in name else 0
        assert np.abs(read_image(loaded, size) - expected).mean() <= tolerance


def test_what_pillow_lost_in_loading_is_said(tmp_path):
    declared = Image.open(io.BytesIO(FILES["12 declared bits"]))
    declared.load()
    with pytest.warns(DepthWarning, match="10-bit"):
        read_image(declared)
    (tmp_path / "deep.png").write_bytes(FILES["16-bit colour"])
    deep = Image.open(tmp_path / "deep.png")
    deep.load()
    with pytest.raises(ImageError, match="16 bits a colour"):
        read_image(deep)
    few = Image.open(io.BytesIO(png(COLOUR.astype(np.uint16) * 16)))  # 12 bits, without a file to look at
    few.load()
    with pytest.raises(ImageError, match="16 bits a colour"):
        read_image(few)


@pytest.mark.parametrize("name", ["turned jpeg", "turned png", "turned webp"])
def test_a_converted_image_is_turned_once(name):
    data = FILES[name]
    expected = read_image(data, 40).astype(int)
    image = Image.open(io.BytesIO(data))
    for derived in (image.convert("L"), image.convert("RGB"), ImageOps.exif_transpose(image)):
        assert np.abs(read_image(derived, 40) - expected).mean() <= 1


def test_a_page_that_was_sought_for_is_the_one_that_is_read():
    pages = Image.open(io.BytesIO(FILES["pages"]))
    pages.seek(1)
    np.testing.assert_array_equal(read_image(pages)[..., 0], 255 - GREY)
    pages.seek(0)
    np.testing.assert_array_equal(read_image(pages)[..., 0], GREY)


def test_a_change_made_to_a_loaded_image_counts():
    for kind, options in (("PNG", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {"lossless": True})):
        image = Image.open(io.BytesIO(encoded(FILM, kind, **options)))
        image.paste("white", (0, 0, 8, 8))
        assert (read_image(image)[:8, :8] == 255).all(), kind


def test_a_format_that_pillow_alone_opens_is_read_as_pillow_has_it():
    gif = encoded(FILM, "GIF")
    np.testing.assert_array_equal(read_image(Image.open(io.BytesIO(gif)))[..., 0], GREY)
    with pytest.raises(ImageError, match="a GIF image, which is not supported"):
        read_image(gif)


@pytest.mark.parametrize(
    "array, image",
    [
        (GREY, GREY),
        (GREY[..., None], GREY),
        (np.asfortranarray(GREY), GREY),
        (GREY[::-1][::-1], GREY),
        (np.dstack([GREY] * 3), GREY),
        (np.dstack([GREY] * 3 + [np.full_like(GREY, 255)]), GREY),
        (GREY.astype(np.int64), GREY),
        (GREY.astype(np.float16), GREY),
        (RAMP, GREY),
        (RAMP.astype(">f4"), GREY),
        (np.rint(RAMP * 257).astype(np.uint16), GREY),
        (np.rint(RAMP * 257).astype(">u2"), GREY),
        (np.rint(RAMP * 257).astype(np.uint16)[..., None], GREY),
        (GREY > 99, (GREY > 99) * np.uint8(255)),
        (np.ma.masked_array(GREY, np.zeros(GREY.shape, bool)), GREY),
    ],
)
def test_arrays_of_any_number_type_are_the_same_pixels(array, image):
    np.testing.assert_allclose(read_image(array)[..., 0].astype(int), image.astype(int), atol=1)
    np.testing.assert_array_equal(read_image(array)[..., 0], read_image(np.ascontiguousarray(image))[..., 0])


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "I;16", "I"])
def test_a_pillow_image_and_its_array_are_the_same(mode):
    image = FILM if mode == "1" else Image.fromarray((RAMP * 257).astype(np.uint16)) if mode == "I;16" else FILM
    image = image if mode == "I;16" else image.convert(mode)
    np.testing.assert_array_equal(read_image(np.asarray(image)), read_image(image))


class TorchTensor:
    """Answers as a torch tensor does: NumPy is refused until it is detached and in main memory."""

    def __init__(self, array, detached=False, here=False):
        self.array, self.detached, self.here = array, detached, here
        self.dtype, self.shape = f"torch.{array.dtype}", array.shape

    def detach(self):
        return TorchTensor(self.array, True, self.here)

    def cpu(self):
        return TorchTensor(self.array, self.detached, True)

    def __array__(self, dtype=None, copy=None):
        if not self.detached:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.")
        if not self.here:
            raise TypeError("can't convert cuda:0 device type tensor to numpy.")
        return self.array


class TorchHalf(TorchTensor):
    """Of bfloat16, which torch hands over as float32 alone."""

    def __init__(self, array, detached=False, here=False):
        super().__init__(array, detached, here)
        self.dtype = "torch.bfloat16"

    def detach(self):
        return TorchHalf(self.array, True, self.here)

    def cpu(self):
        return TorchHalf(self.array, self.detached, True)

    def float(self):
        return TorchTensor(self.array, self.detached, self.here)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Got unsupported ScalarType BFloat16")


@pytest.mark.parametrize("kind", [TorchTensor, TorchHalf])
def test_a_torch_tensor_is_its_array(kind):
    tensor = kind(np.rint(RAMP).astype(np.float32))
    np.testing.assert_array_equal(read_image(tensor)[..., 0], GREY)
    assert [np.shape(image) for image in each_image(kind(np.stack([RAMP] * 5)))] == [(32, 24)] * 5
    assert np.shape(one_image(tensor)) == (32, 24)


@pytest.mark.tensorflow_only
def test_tensorflow_tensors_are_their_arrays(tmp_path):
    import tensorflow as tf

    for dtype in (tf.uint8, tf.float32, tf.bfloat16):
        np.testing.assert_array_equal(read_image(tf.cast(tf.constant(GREY // 4 * 4), dtype))[..., 0], GREY // 4 * 4)
    np.testing.assert_array_equal(read_image(tf.Variable(GREY))[..., 0], GREY)
    FILM.save(tmp_path / "image.png")
    np.testing.assert_array_equal(read_image(tf.io.read_file(str(tmp_path / "image.png")))[..., 0], GREY)
    assert len(list(each_image(tf.zeros((4, 32, 24, 3))))) == 4
    assert len(list(each_image(tf.data.Dataset.from_tensor_slices(np.stack([GREY] * 3))))) == 3


@pytest.mark.jax_only
def test_jax_arrays_are_their_arrays():
    import jax.numpy as jnp

    for dtype in (jnp.uint8, jnp.float32, jnp.bfloat16):
        np.testing.assert_array_equal(read_image(jnp.asarray(GREY // 4 * 4, dtype))[..., 0], GREY // 4 * 4)
    assert len(list(each_image(jnp.zeros((4, 32, 24, 3))))) == 4
    assert len(list(each_image(jnp.zeros((32, 24))))) == 1


@pytest.mark.parametrize(
    "shape, count",
    [
        ((130, 160), 1),
        ((130, 160, 1), 1),
        ((130, 160, 3), 1),
        ((130, 160, 4), 1),
        ((5, 130, 160), 5),
        ((1, 130, 160), 1),
        ((3, 130, 160), 3),
        ((0, 130, 160), 0),
        ((5, 130, 160, 1), 5),
        ((5, 130, 160, 3), 5),
        ((5, 130, 160, 4), 5),
        ((0, 130, 160, 3), 0),
        ((0,), 0),
    ],
)
def test_an_array_is_one_image_or_a_stack_by_its_shape(shape, count):
    assert len(list(each_image(np.zeros(shape, np.uint8)))) == count


@pytest.mark.parametrize(
    "shape, said",
    [
        ((), "neither"),
        ((160,), "neither"),
        ((130, 160, 2), "neither"),
        ((5, 130, 160, 2), "neither"),
        ((5, 3, 130, 160), "channels come last"),
        ((1, 5, 130, 160, 3), "neither"),
    ],
)
def test_an_array_of_another_shape_is_neither(shape, said):
    with pytest.raises(UsageError, match=said) as caught:
        each_image(np.zeros(shape))
    assert str(shape) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("nothing", [None, 3, {"a.png": 1}, {"a.png"}, np.float32(3), object()])
def test_what_is_no_image_and_not_several_is_said_in_one_line(nothing):
    with pytest.raises((UsageTypeError, UsageError)) as caught:
        each_image(nothing)
    assert "\n" not in str(caught.value)


def test_a_table_is_not_read_by_its_columns_names():
    import pandas as pd

    table = pd.DataFrame({"path": ["a.png", "b.png"]})
    with pytest.raises(UsageTypeError, match="a column of paths"):
        each_image(table)
    assert list(each_image(table["path"])) == ["a.png", "b.png"]
    assert list(each_image(np.array(["a.png", "b.png"]))) == ["a.png", "b.png"]


@pytest.mark.parametrize(
    "item", [None, [[1, 2], [3, 4]], 3.5, {"a": 1}, np.ma.masked_array(GREY, GREY > 9)], ids=lambda i: type(i).__name__
)
def test_a_value_among_images_that_is_none_is_named_by_its_number(item):
    with pytest.raises(UsageTypeError, match=r"^image 1: "):
        list(hold_each([GREY, item]))
    with pytest.raises(UsageTypeError):
        read_image(item)


def test_an_object_array_is_no_image():
    with pytest.raises(UsageError, match="objects"):
        each_image(np.full((3, 3), None))
    paths = np.array(["a.png", GREY], dtype=object)
    assert [type(held) for held in hold_each(paths)] == [str, np.ndarray]


def test_one_image_is_wanted():
    assert one_image("a.png") == "a.png"
    assert one_image(GREY[None]).shape == GREY.shape
    with pytest.raises(UsageTypeError, match="got a list"):
        one_image([GREY])
    with pytest.raises(UsageError, match=r"\(2, 32, 24\) of 2"):
        one_image(np.stack([GREY, GREY]))


def test_a_generator_may_close_or_reuse_what_it_gave(tmp_path):
    FILM.save(tmp_path / "image.png")

    def images():
        with (tmp_path / "image.png").open("rb") as file:
            yield file
        with Image.open(tmp_path / "image.png") as image:
            yield image
        with Image.open(io.BytesIO(encoded(FILM, "GIF"))) as image:
            yield image
        memory = np.empty_like(GREY)
        for pixels in (GREY, 255 - GREY):
            memory[:] = pixels
            yield memory
        yield bytearray(encoded(FILM, "PNG"))

    held = list(hold_each(images()))
    for source, expected in zip(held, [GREY] * 4 + [255 - GREY, GREY], strict=True):
        np.testing.assert_array_equal(read_image(source)[..., 0], expected)


def test_one_open_file_given_many_times_is_read_by_many_threads():
    file = io.BytesIO(encoded(BIG, "JPEG"))
    image = Image.open(file)
    expected = read_image(file, 32)
    held = list(hold_each([file, image] * 20))
    results = [None] * len(held)

    def work(i):
        results[i] = read_image(held[i], 32)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(held))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected) for result in results)


def test_a_stream_without_a_place_is_read_as_far_as_the_limit():
    class Pipe(io.RawIOBase):
        def __init__(self, data):
            self.left, self.given = data, 0

        def readable(self):
            return True

        def readinto(self, memory):
            part, self.left = self.left[:1000], self.left[1000:]
            memory[: len(part)] = part
            self.given += len(part)
            return len(part)

    data = encoded(BIG, "JPEG")
    np.testing.assert_array_equal(read_image(Pipe(data)), read_image(data))
    endless = Pipe(bytes(100_000))
    with pytest.raises(ImageError, match="at most 10,000 bytes"):
        read_image(endless, limits=Limits(bytes=10_000))
    assert endless.given < 20_000


def test_files_that_cannot_be_read_say_why(tmp_path):
    FILM.save(tmp_path / "image.png")
    with (tmp_path / "image.png").open("rb") as closed, Image.open(tmp_path / "image.png") as lazy:
        pass
    verified = Image.open(tmp_path / "image.png")
    verified.verify()
    for source, said in [
        (closed, "closed file"),
        (io.StringIO("text"), "mode 'rb'"),
        (lazy, "closed or verified"),
        (verified, "closed or verified"),
    ]:
        with pytest.raises(ImageError, match=said) as caught:
            read_image(source)
        assert str(caught.value).count("image.png") <= 1
    with (tmp_path / "image.png").open("r", encoding="latin1") as text, pytest.raises(ImageError, match="mode 'rb'"):
        read_image(text)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_a_pipe_with_a_name_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "pipe.png")
    assert contents.digest(tmp_path / "pipe.png") == ""


def test_memory_of_pixels_is_not_taken_for_a_file():
    with pytest.raises(UsageTypeError, match=r"np\.asarray"):
        read_image(memoryview(GREY))


def test_a_held_array_in_a_list_is_not_copied():
    assert hold(GREY) is GREY
    assert next(iter(hold_each([GREY]))) is GREY


def test_real_images_are_the_same_by_every_road(nih_dir):
    for path in sorted((nih_dir / "images").iterdir())[:12]:
        expected = read_image(path, 224)
        for source in (path.read_bytes(), io.BytesIO(path.read_bytes()), Image.open(path)):
            np.testing.assert_array_equal(read_image(source, 224), expected)
        loaded = Image.open(path).convert("L")
        for source in (loaded, np.asarray(loaded), np.asarray(loaded, np.float32), np.asarray(loaded.convert("RGB"))):
            assert np.abs(read_image(source, 224).astype(int) - expected).mean() < 1


class _Stream:
    """A file object that has `read` and nothing else."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


class _NoPath:
    def __fspath__(self) -> int:
        return 5


def test_a_file_object_with_read_alone_is_read():
    data = encoded(FILM, "PNG")
    np.testing.assert_array_equal(read_image(_Stream(data)), read_image(data))


def test_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path):
    closed = io.BytesIO(encoded(FILM, "PNG"))
    closed.close()
    with pytest.raises(ImageError, match="a closed file: open it again"):
        read_image(closed)
    with (tmp_path / "new").open("wb") as writing, pytest.raises(ImageError, match="opened for writing"):
        read_image(writing)


def test_what_gives_no_path_is_named():
    with pytest.raises(UsageTypeError, match="_NoPath is not readable as a path"):
        read_image(_NoPath())


def test_a_webp_that_was_pickled_gives_its_pixels():
    data = encoded(FILM, "WEBP", lossless=True)
    again = pickle.loads(pickle.dumps(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(read_image(again), read_image(data))


def test_grey_with_premultiplied_transparency_is_laid_on_black():
    image = Image.fromarray(np.dstack([GREY, 255 - GREY]), "LA")
    difference = np.abs(read_image(image.convert("La")).astype(int) - read_image(image))
    assert difference.max() <= 1


@pytest.mark.parametrize("kind", ["TIFF", "PNG"])
def test_pages_of_one_file_are_held_as_they_were_given(kind):
    pages = [FILM, ImageOps.invert(FILM), ImageOps.flip(FILM), ImageOps.mirror(FILM)]
    file = io.BytesIO(encoded(pages[0], kind, save_all=True, append_images=pages[1:]))
    held = list(hold_each(ImageSequence.Iterator(Image.open(file))))
    for page, found in zip(pages, held, strict=True):
        np.testing.assert_array_equal(read_image(found), np.asarray(page)[..., None])


def test_a_generator_may_draw_on_the_image_that_it_gave():
    def drawn():
        image = FILM.copy()
        yield image
        image.paste(0, (0, 0, *image.size))

    np.testing.assert_array_equal(read_image(next(iter([*hold_each(drawn())]))), read_image(FILM))


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"folder/image.png", r"give it as text, os\.fsdecode\(path\)"),
        (np.array(["a.png", "b.png"]), "these are paths, not pixels"),
        (np.frombuffer(FILES["grey jpeg"], np.uint8), r"given as bytes, array\.tobytes\(\)"),
    ],
)
def test_a_path_and_the_contents_of_a_file_in_the_wrong_form_get_a_hint(given, says):
    with pytest.raises(ImageError, match=says) as error:
        read_image(given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("given", [b"\xff\xd8 damaged.jpg", b"no path", np.zeros(3)])
def test_what_is_damaged_gets_no_such_hint(given):
    with pytest.raises(ImageError) as error:
        read_image(given)
    assert "give" not in str(error.value)
