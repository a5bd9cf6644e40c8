"""What an image declares does not decide what it costs: each bound gives one line, before or while it is decoded."""

import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from films import FILM, GREY, encoded
from PIL import Image

from zoo.core.errors import ImageError, UsageError
from zoo.data.images.limits import Limits, TimedBytes
from zoo.data.images.reading import read_image

RNG = np.random.default_rng(0)
NOISE = Image.fromarray(RNG.integers(0, 256, (64, 80), dtype=np.uint8))
JPEG = encoded(NOISE, "JPEG")
PROGRESSIVE = encoded(NOISE, "JPEG", progressive=True)
FRAME, SCAN = JPEG.index(b"\xff\xc0"), JPEG.index(b"\xff\xda")
SECOND_SCAN = PROGRESSIVE.index(b"\xff\xda", PROGRESSIVE.index(b"\xff\xda") + 2)


def chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


HEADER = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 24, 32, 8, 0, 0, 0, 0))
PIXELS = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row.tobytes() for row in GREY)))
END = chunk(b"IEND")


def riff(*chunks: tuple[bytes, bytes]) -> bytes:
    body = b"".join(name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2) for name, data in chunks)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def canvas(width: int, height: int) -> tuple[bytes, bytes]:
    return b"VP8X", bytes(4) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")


def webp_pixels() -> tuple[bytes, bytes]:
    data = encoded(FILM, "WEBP", lossless=True)
    (length,) = struct.unpack_from("<I", data, 16)
    return data[12:16], data[20 : 20 + length]


def tiff(strips: int, compression: int, data: bytes, lengths: bool = True) -> bytes:
    """A TIFF of 100 pixels a row whose strips, a row each, are all the same bytes."""
    tags = [(256, 4, 1, 100), (257, 4, 1, strips), (258, 3, 1, 8), (259, 3, 1, compression), (262, 3, 1, 1)]
    end = 14 + 12 * (len(tags) + 3 + lengths)
    tags += [(273, 4, strips, end), (277, 3, 1, 1), (278, 4, 1, 1)]
    tags += [(279, 4, strips, end + 4 * strips)] if lengths else []
    place = end + 4 * strips * (1 + lengths)
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    values = struct.pack("<I", place) * strips + struct.pack("<I", len(data)) * strips * lengths
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + values + data


def tiled(side: int, data: bytes) -> bytes:
    """A TIFF of 32 x 32 pixels in one tile of `side` x `side`."""
    tags = [(256, 4, 1, 32), (257, 4, 1, 32), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    tags += [(322, 4, 1, side), (323, 4, 1, side), (324, 4, 1, 134), (325, 4, 1, len(data))]
    directory = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + data


def big_tiff(tags: int) -> bytes:
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, tags) + struct.pack("<HHQQ", 300, 3, 1, 1) * tags


MANY = 120_000

HOSTILE = {
    "empty chunks": (HEADER + chunk(b"IDAT") * MANY + PIXELS + END, "a PNG of more than 100,000 chunks"),
    "chunks behind the pixels": (HEADER + PIXELS + chunk(b"IDAT") * MANY + END, "100,000 chunks"),
    "chunks of text": (HEADER + chunk(b"tEXt", b"a\0b") * MANY + PIXELS + END, "100,000 chunks"),
    "a chunk of text": (HEADER + chunk(b"tEXt", b"a\0" + bytes(9_000_000)) + PIXELS + END, "bytes of metadata"),
    "filling at the start": (JPEG[:2] + b"\xff" * 9_000_000 + JPEG[2:], "100,000 bytes of filling"),
    "filling before the scan": (JPEG[:SCAN] + b"\xff" * 9_000_000 + JPEG[SCAN:], "100,000 bytes of filling"),
    "filling that is no marker": (JPEG[:SCAN] + bytes(9_000_000) + JPEG[SCAN:], "100,000 bytes of filling"),
    "filling in pairs": (JPEG[:SCAN] + b"\xff\0" * 4_000_000 + JPEG[SCAN:], "100,000 segments"),
    "filling among the scans": (
        PROGRESSIVE[:SECOND_SCAN] + b"\xff" * 9_000_000 + PROGRESSIVE[SECOND_SCAN:],
        "4,096 bytes of filling",
    ),
    "filling before the end": (JPEG[:-2] + b"\xff" * 9_000_000 + JPEG[-2:], "4,096 bytes of filling"),
    "comments": (JPEG[:SCAN] + b"\xff\xfe\0\2" * MANY + JPEG[SCAN:], "a JPEG of more than 100,000 segments"),
    "comments among the scans": (
        PROGRESSIVE[:SECOND_SCAN] + b"\xff\xfe\0\2" * MANY + PROGRESSIVE[SECOND_SCAN:],
        "100,000 segments",
    ),
    "exif in pieces": (JPEG[:2] + (b"\xff\xe1\xff\xffExif\0\0" + bytes(65527)) * 130 + JPEG[2:], "bytes of metadata"),
    "scans": (PROGRESSIVE[:-2] + PROGRESSIVE[SECOND_SCAN:-2] * 100 + b"\xff\xd9", "a JPEG of more than 100 scans"),
    "strips of one place": (tiff(900, 5, bytes(100_000)), "strips are together longer than the file"),
    "strips without a length": (tiff(900, 32773, bytes(100_000), lengths=False), "strips are together longer"),
    "strips": (tiff(100_001, 1, bytes(100)), "a TIFF of 100,001 strips"),
    "a tile": (tiled(40_000, zlib.compress(bytes(10_000_000))), "tiles of 40000 x 40000 pixels"),
    "tags": (big_tiff(MANY), "a TIFF of 120,000 tags"),
    "chunks of a webp": (riff(canvas(24, 32), webp_pixels(), *[(b"abcd", b"")] * MANY), "a WebP of more than 100,000"),
    "a canvas": (riff(canvas(16_000, 16_000), webp_pixels()), "16000 x 16000 pixels; at most 64 megapixels"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_a_file_declares_is_refused_before_it_is_decoded(case, tmp_path):
    data, reason = HOSTILE[case]
    path = tmp_path / "image"
    path.write_bytes(data)
    start = time.thread_time()
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path, 32)
    assert time.thread_time() - start < 1.5
    assert str(caught.value).startswith(f"{path}: ")
    assert str(caught.value).count(str(path)) == 1
    assert "\n" not in str(caught.value)


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    path = tmp_path / "sparse.png"
    with path.open("wb") as file:
        file.write(HEADER)
        file.truncate(5 * 2**30)
    start = time.thread_time()
    with pytest.raises(ImageError, match=r"a file of 5\.369 GB; at most 256 MB are read"):
        read_image(path)
    with path.open("rb") as file, pytest.raises(ImageError, match=r"5\.369 GB"):
        read_image(file)
    with Image.open(io.BytesIO(encoded(FILM, "PNG"))) as image, pytest.raises(ImageError, match="at most"):
        read_image(image, limits=Limits(bytes=50))
    with pytest.raises(ImageError, match="at most 50 bytes"):
        read_image(JPEG, limits=Limits(bytes=50))
    assert time.thread_time() - start < 0.5


def ordinary() -> dict[str, bytes]:
    """Files near a limit, or with what only looks like a fault, which stay readable."""
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(JPEG)) + JPEG
    return {
        "many chunks": HEADER + chunk(b"IDAT") * 5_000 + PIXELS + END,
        "some filling": JPEG[:SCAN] + b"\xff" * 5_000 + JPEG[SCAN:],
        "a thumbnail": JPEG[:2] + thumbnail + JPEG[2:],
        "filling behind the end": JPEG + b"\xff" * 50_000,
        "scans behind the end": PROGRESSIVE + PROGRESSIVE[SECOND_SCAN:] * 200,
        "restarts": encoded(NOISE, "JPEG", restart_marker_blocks=1),
        "colour scans": encoded(NOISE.convert("RGB"), "JPEG", progressive=True),
        "a strip for a row": encoded(NOISE, "TIFF", compression="tiff_lzw", strip_size=80),
        "deflated": encoded(NOISE, "TIFF", compression="tiff_adobe_deflate", strip_size=80),
        "a tiff of tiles": tiled(64, zlib.compress(np.pad(GREY, ((0, 32), (0, 40))).tobytes())),
        "webp": riff(canvas(24, 32), webp_pixels(), (b"abcd", b"")),
    }


@pytest.mark.parametrize("case", ordinary())
def test_ordinary_files_stay_readable(case):
    pixels = read_image(ordinary()[case])[..., 0].astype(int)
    if case == "a tiff of tiles":  # 32 x 32, on the right of which lies what was filled up
        pixels = pixels[:, :24]
    assert np.abs(pixels - (np.asarray(NOISE) if pixels.shape == (64, 80) else GREY)).mean() < 12


def slow() -> bytes:
    """Colour profiles that take a millisecond each to unpack."""
    return HEADER + chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9)) * 3_000 + PIXELS + END


def test_time_is_bounded_in_threads_too():
    data, limits = slow(), Limits(seconds=0.2)

    def seconds(_) -> float:
        start = time.thread_time()
        with pytest.raises(ImageError, match=r"not decoded within 0\.2 s of processor time"):
            read_image(data, 32, limits=limits)
        return time.thread_time() - start

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(seconds, range(4))) < 0.6


def test_a_dicom_sequence_that_takes_too_long_says_so():
    """pydicom calls every error inside a sequence a missing tag."""
    pytest.importorskip("pydicom")
    syntax = b"\2\0\x10\0UI\x14\x001.2.840.10008.1.2.1\0"
    head = bytes(128) + b"DICM" + b"\2\0\0\0UL\4\0" + struct.pack("<I", len(syntax)) + syntax
    items = b"\x08\0\x40\x11SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\0\xe0\0\0\0\0" * 50_000
    with pytest.raises(ImageError, match=r"not decoded within 0\.05 s"):
        read_image(head + items, limits=Limits(seconds=0.05))


def test_every_decoder_looks_at_the_clock(monkeypatch):
    """Whatever reads a file through Pillow in blocks stops when the time is over."""
    for data in (JPEG, PROGRESSIVE, HEADER + PIXELS + END, encoded(FILM, "BMP"), encoded(FILM, "TIFF")):
        with monkeypatch.context() as patch:
            ticks = iter([0.0, 0.0, *[10.0] * 1000])
            patch.setattr("zoo.data.images.limits.time.thread_time", lambda ticks=ticks: next(ticks))
            with pytest.raises(ImageError, match="not decoded within 5 s"):
                read_image(data)


def test_a_file_with_a_time_is_a_file():
    file = TimedBytes(b"abc", 5)
    assert (file.read(1), file.read(), file.read()) == (b"a", b"bc", b"")
    assert file.seek(1) == 1
    assert file.getvalue() == b"abc"


@pytest.mark.parametrize(
    "limits, reason",
    [
        (Limits(pixels=700), "at most 0.0007 megapixels"),
        (Limits(side=30), "each side needs 30"),
        (Limits(aspect=1.2), "more than 1.2 times"),
    ],
)
def test_limits_of_size_hold_for_files_arrays_and_images(limits, reason):
    for source in (
        encoded(FILM, "PNG"),
        encoded(FILM, "WEBP"),
        GREY,
        FILM,
        Image.open(io.BytesIO(JPEG)).crop((0, 0, 24, 32)),
    ):
        with pytest.raises(ImageError, match=reason.replace(".", r"\.")):
            read_image(source, limits=limits)


def test_limits_are_frozen_positive_and_pillows_at_most():
    limits = Limits()
    with pytest.raises(AttributeError):
        limits.bytes = 1  # type: ignore[misc]
    assert (limits.bytes, limits.seconds) == (256_000_000, 5)
    for wrong in ({"bytes": 0}, {"seconds": -1}, {"seconds": float("nan")}, {"pixels": 10**9}):
        with pytest.raises(UsageError, match=next(iter(wrong))):
            Limits(**wrong)


@pytest.mark.parametrize(
    "marker, bits, words",
    [
        (0xC0, 12, "a 12-bit JPEG"),
        (0xC1, 12, "a 12-bit JPEG"),
        (0xC2, 16, "a 16-bit JPEG"),
        (0xC3, 8, "a lossless JPEG"),
        (0xC3, 16, "a lossless JPEG"),
        (0xC5, 8, "a hierarchical JPEG"),
        (0xC9, 8, "an arithmetic-coded JPEG"),
        (0xCA, 8, "an arithmetic-coded JPEG"),
        (0xCB, 8, "a lossless, arithmetic-coded JPEG"),
        (0xF7, 8, "a JPEG-LS image"),
    ],
)
def test_a_kind_of_jpeg_that_is_not_read_is_named_and_not_called_damaged(marker, bits, words):
    data = JPEG[: FRAME + 1] + bytes([marker]) + JPEG[FRAME + 2 : FRAME + 4] + bytes([bits]) + JPEG[FRAME + 5 :]
    with pytest.raises(ImageError, match=f"{words}, which is not supported: convert it") as caught:
        read_image(data)
    assert "damaged" not in str(caught.value)


@pytest.mark.parametrize(
    "head, words",
    [
        (b"\0\0\0\x18ftypheic" + bytes(40), "a HEIC image, which is not supported: convert it to PNG or JPEG"),
        (b"\0\0\0\x18ftypavif" + bytes(40), "an AVIF image, which is not supported: convert it"),
        (b"\xff\x0a" + bytes(40), "a JPEG XL image, which is not supported: convert it"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "a JPEG 2000 image, which is not supported: convert it"),
        (bytes(128) + b"DICM" + bytes(40), "a DICOM file"),
        (encoded(FILM, "GIF"), "a GIF image, which is not supported: save its first frame as PNG"),
        (b"%PDF-1.7" + bytes(40), "not an image: a PDF document"),
        (b"\xff\xd8\xff\xe0" + bytes(40), "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged"),
    ],
)
def test_what_is_not_read_says_what_it_is_and_what_to_do(head, words, tmp_path):
    (tmp_path / "image.png").write_bytes(head)
    with pytest.raises(ImageError, match=words):
        read_image(tmp_path / "image.png")


def test_an_error_of_the_system_names_the_file_once(tmp_path, monkeypatch):
    def denied(*_):
        raise PermissionError(13, "Permission denied", str(tmp_path / "image.png"))

    (tmp_path / "image.png").write_bytes(JPEG)
    monkeypatch.setattr("zoo.data.images.reading.file_bytes", denied)
    with pytest.raises(ImageError) as caught:
        read_image(tmp_path / "image.png")
    assert str(caught.value) == f"{tmp_path / 'image.png'}: permission denied"
