"""Weights files of every format become tensors; nothing in them is executed."""

import h5py
import numpy as np
import pytest
from published_files import densenet
from safetensors.numpy import save_file

from zoo.core.errors import WeightsError
from zoo.models.ports import files
from zoo.models.ports.convert import convert


def test_half_precision_becomes_float32_and_integers_stay(tmp_path):
    save_file({"a": np.ones(3, "float16"), "n": np.array([7])}, tmp_path / "a.safetensors")
    found = files.read(tmp_path / "a.safetensors").tensors
    assert {name: str(value.dtype) for name, value in found.items()} == {"a": "float32", "n": "int64"}


def test_an_old_keras_file_is_the_same_network_as_one_of_torch(tmp_path):
    """The layout of Keras 2: a group a layer, whose weights repeat its name; "conv1/conv" of today's "conv1_conv"."""
    theirs = convert(densenet(14), findings=[f"f{i}" for i in range(14)])
    path = tmp_path / "brucechou1983.h5"
    with h5py.File(path, "w") as file:
        for name, value in theirs.weights.items():
            layer, _, part = name.removeprefix("backbone/").rpartition("/")
            layer = {"head": "predictions", "conv1_conv": "conv1/conv", "conv1_bn": "conv1/bn"}.get(layer, layer)
            file[f"{layer}/{layer}/{part}:0"] = value
    found = convert(files.read(path).tensors)
    assert found.port.name == "keras-densenet121"
    assert found.findings[13] == "Hernia"
    assert found.weights.keys() == theirs.weights.keys()
    for name, value in theirs.weights.items():
        np.testing.assert_array_equal(found.weights[name], value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "a.pt"), (b"GIF89a" + bytes(100), "a.pt"), (b"PK\x03\x04" + bytes(100), "a.pt"), (b"\x80\x02.", "a.pt")],
)
def test_what_is_no_weights_file_is_refused_in_one_line(tmp_path, content, message):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        files.read(tmp_path / "a.pt")
    assert "\n" not in str(caught.value)


def test_a_missing_and_a_huge_file(tmp_path, monkeypatch):
    with pytest.raises(WeightsError, match="no weights file at"):
        files.read(tmp_path / "none.pt")
    (tmp_path / "a.safetensors").write_bytes(bytes(10))
    with pytest.raises(WeightsError, match=r"a\.safetensors"):
        files.read(tmp_path / "a.safetensors")
    monkeypatch.setattr(files, "MAX_BYTES", 5)
    with pytest.raises(WeightsError, match="10 bytes are too many"):
        files.read(tmp_path / "a.safetensors")
