"""What a file is by its first bytes, for errors about a file that should have been another."""

from __future__ import annotations

from pathlib import Path

#: First bytes -> what has them. Texts are compared without case and leading blanks.
_BINARY = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (.h5), which is not read from a download"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    *((b"\x80" + bytes([protocol]), "a Python pickle, which can run code and is never read") for protocol in range(6)),
)
_TEXT = (
    (b"<!doctype", "an HTML page, perhaps an error page saved as the file"),
    (b"<html", "an HTML page, perhaps an error page saved as the file"),
    (b"<?xml", "an XML page, perhaps an error page saved as the file"),
    (b"version https://git-lfs", "a git-lfs pointer, not the file itself (run 'git lfs pull')"),
    (b"{", "a JSON text"),
)

#: Name of a zip archive's first entry -> whose archive it is.
_ARCHIVES = (
    (b"metadata.json", "a Keras archive (.keras), which can run code and is never read"),
    (b"config.json", "a Keras archive (.keras), which can run code and is never read"),
    (b"data.pkl", "a PyTorch archive (.pt), which can run code and is never read"),
    (b".npy", "a NumPy archive (.npz)"),
)

UNKNOWN = "another file"


def looks_like(path: Path) -> str:
    """What a file that should have been something else seems to be: "an HTML page, ...", or `UNKNOWN`.

    Reads 256 bytes and nothing more. A safetensors file has no mark of its own but the first byte of its header.
    """
    with path.open("rb") as file:
        head = file.read(256)
    if not head:
        return "an empty file"
    # A safetensors file begins with a length, whose bytes can be those of any of the others.
    if head[8:9] == b"{" and head[4:8] == bytes(4):
        return "a safetensors file"
    text = head.lstrip().lower()
    kind = next((kind for start, kind in _BINARY if head.startswith(start)), None) or next(
        (kind for start, kind in _TEXT if text.startswith(start)), UNKNOWN
    )
    if kind == "a zip archive":
        length = int.from_bytes(head[26:28], "little")
        return next((archive for name, archive in _ARCHIVES if head[30 : 30 + length].endswith(name)), kind)
    return kind
