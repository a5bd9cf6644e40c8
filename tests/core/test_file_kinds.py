import io
import pickle
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

from zoo.core.file_kinds import UNKNOWN, looks_like


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
