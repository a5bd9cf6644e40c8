"""An image that every format can hold, and files of it that Pillow does not write."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.data.images.reading import read_image

RAMP = np.add.outer(np.arange(32), np.arange(24)) * 255 / 54  # (32, 24), 0 at the top left, 255 at the bottom right
GREY = np.rint(RAMP).astype(np.uint8)
FILM = Image.fromarray(GREY)


def png(samples: np.ndarray, significant: bytes = b"", end: bool = True, size: tuple[int, ...] = ()) -> bytes:
    """A PNG of 8 or 16 bits, written by hand, for what Pillow does not write: (h, w, 1 to 4 channels), `size` a lie."""
    channels = samples.shape[2]
    width, height = size or (samples.shape[1], samples.shape[0])
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", width, height, 8 * samples.itemsize, colour, 0, 0, 0)
    big = samples.astype(samples.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    chunks = [(b"IHDR", header), *([(b"sBIT", significant)] if significant else []), (b"IDAT", zlib.compress(rows))]
    chunks += [(b"IEND", b"")] if end else []
    parts = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def quiet(source, **options) -> np.ndarray:
    """`read_image` where a warning would be an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_image(source, **options)


def noise_folder(folder: Path, stem: str, count: int = 5) -> Path:
    """A folder of PNG files called stem0.png, stem1.png, ...; the one with the number 2 is empty."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8)).save(folder / f"{stem}{i}.png")
    (folder / f"{stem}2.png").write_bytes(b"")
    return folder
