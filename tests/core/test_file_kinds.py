import io
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from zoo.core.file_kinds import READABLE, UNKNOWN, image_kind, looks_like


def archive(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        for name in names:
            zipped.writestr(name, "{}")
    return file.getvalue()


@pytest.mark.parametrize(
    "content, kind",
    [
        (b"", "an empty file"),
        (b"\n <!DOCTYPE HTML><html>", "an HTML page"),
        (b"<html>", "an HTML page"),
        (b"<?xml version='1.0'?><Error>", "an XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "a git-lfs pointer"),
        (b' {"a": 1}', "a JSON text"),
        (pickle.dumps({"a": 1}), "a Python pickle"),
        (pickle.dumps({"a": 1}, protocol=2), "a Python pickle"),
        (archive("metadata.json", "config.json", "model.weights.h5"), "a Keras archive"),
        (archive("model/data.pkl", "model/data/0"), "a PyTorch archive"),
        (archive("arr_0.npy"), "a NumPy archive"),
        (archive("notes.txt"), "a zip archive"),
        (b"\x1f\x8b\x08", "a gzip archive"),
        (b"\x89PNG\r\n", "a PNG image"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\0\x18ftypavif", "an AVIF image"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"some words", UNKNOWN),
    ],
)
def test_a_file_is_known_by_its_first_bytes(content: bytes, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert looks_like(path).startswith(kind)


def test_weights_files_are_known_by_their_first_bytes(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["a"] = [1.0]
    save_file({"a": np.zeros(3, "float32")}, tmp_path / "w.safetensors")
    assert looks_like(tmp_path / "w.h5").startswith("an HDF5 file")
    assert looks_like(tmp_path / "w.safetensors") == "a safetensors file"


def box(brand: bytes, *others: bytes) -> bytes:
    """The start of an ISO media file."""
    return b"\0\0\0\x20ftyp" + brand + bytes(4) + b"".join(others)


@pytest.mark.parametrize(
    "head, name",
    [
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG"),
        (b"BM" + bytes(12) + b"\x28\0\0\0", "BMP"),
        (b"II*\0", "TIFF"),
        (b"MM\0+", "TIFF"),
        (b"RIFF\1\2\3\4WEBPVP8 ", "WebP"),
        (b"GIF89a", "GIF"),
        (box(b"heic"), "HEIC"),
        (box(b"xxxx", b"mif1", b"heic"), "HEIC"),
        (box(b"avif"), "AVIF"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"\xff\x4f\xff\x51", "JPEG 2000"),
        (b"\xff\x0a", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (bytes(128) + b"DICM", "DICOM"),
        (b"\x08\0\5\0CS\x0a\0ISO_IR 100", "DICOM"),
        (b"P5\n12 12 255\n", "Netpbm"),
    ],
)
def test_an_image_is_known_by_its_content(head: bytes, name: str) -> None:
    kind = image_kind(head)
    assert kind is not None
    assert kind.name == name
    assert kind.readable == (kind in READABLE) == (not kind.advice)


@pytest.mark.parametrize(
    "head",
    [
        b"P5 is text",
        b"P6\n# 1 2\n",
        bytes(128) + b"DICM\2\0\2\0UI" + b"1.2.840.10008.1.3.10\0",
        b"",
        b"BMI,Age\n31,40\n" + bytes(20),
        b"RIFF\0\0\0\0WAVE",
        box(b"isom", b"mp42"),
        b"PK\3\4",
        b"P5",
        b"II",
    ],
)
def test_what_only_begins_like_an_image_is_none(head: bytes) -> None:
    assert image_kind(head) is None
