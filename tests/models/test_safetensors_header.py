"""Headers that somebody else wrote: each is refused in one line, before memory is taken for what it says."""

import json
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from zoo.core.errors import WeightsError
from zoo.models.weights.header import MAX_HEADER_BYTES, TensorInfo, count_parameters, read_header


def tensor(shape: Any = (1,), dtype: Any = "F32", offsets: Any = (0, 4)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def file_of(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


FOUR = bytes(4)
EMPTY = b",".join(b'"%d":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(60_000))

HOSTILE = {
    "length 2^63": (file_of({}, length=1 << 63), "should have 9,223,372,036,854,775,808 bytes, the whole file has 10"),
    "length 0": (file_of(b"", FOUR), "no JSON object"),
    "header too large": (file_of(b"{" + b" " * MAX_HEADER_BYTES), "over the limit of 4,194,304"),
    "too many tensors": (file_of(b"{" + EMPTY + b"}"), "60,000 tensors are over the limit of 50,000"),
    "no JSON": (file_of(b"{a}      ", FOUR), "Expecting property name"),
    "a list": (file_of([tensor()], FOUR), "no JSON object"),
    "no text": (file_of(b'{"\xff":1}', FOUR), "can't decode byte 0xff"),
    "deep": (file_of(b'{"a":' + b"[" * 100_000, FOUR), "recursion"),
    "digits": (file_of(b'{"a":%s}' % (b"9" * 5000), FOUR), "4300 digits"),
    "not a number": (file_of(b'{"a":NaN}', FOUR), "NaN in its header"),
    "key twice": (file_of(b'{"a":1,"a":2}', FOUR), "key 'a' appears twice"),
    "field twice": (
        file_of(b'{"a":{"dtype":"F32","shape":[1],"shape":[2],"data_offsets":[0,4]}}', FOUR),
        "key 'shape' appears twice",
    ),
    "metadata": (file_of({"__metadata__": 1, "a": tensor()}, FOUR), "metadata are no JSON object"),
    "no fields": (file_of({"a": 1}, FOUR), "a needs dtype, shape and data_offsets"),
    "more fields": (file_of({"a": tensor() | {"b": 1}}, FOUR), "and nothing else"),
    "dtype unknown": (file_of({"a": tensor(dtype="F77")}, FOUR), "a has dtype 'F77', not one of F32, F16, BF16"),
    "dtype F64": (file_of({"a": tensor(dtype="F64", offsets=(0, 8))}, bytes(8)), "a has dtype 'F64'"),
    "dtype a list": (file_of({"a": tensor(dtype=["F32"])}, FOUR), "a has dtype"),
    "shape negative": (file_of({"a": tensor(shape=(-1, -1))}, FOUR), "a has no shape"),
    "shape text": (file_of({"a": tensor(shape="1")}, FOUR), "a has no shape"),
    "shape true": (file_of({"a": tensor(shape=[True])}, FOUR), "a has no shape"),
    "shape of fractions": (file_of({"a": tensor(shape=[1.0])}, FOUR), "a has no shape"),
    "shape of a thousand numbers": (file_of({"a": tensor(shape=[1] * 1000)}, FOUR), "at most 16 numbers"),
    "shape overflows": (file_of({"a": tensor(shape=[2**33, 2**33])}, FOUR), "over the limit of 17,179,869,184 bytes"),
    "shape not the bytes": (file_of({"a": tensor(shape=[2])}, FOUR), r"a has 4 bytes, its shape \[2\] of F32 8"),
    "offsets negative": (file_of({"a": tensor(offsets=(-4, 0))}, FOUR), "two numbers >= 0 as data_offsets"),
    "offsets backwards": (file_of({"a": tensor(offsets=(4, 0))}, FOUR), "a has -4 bytes"),
    "offsets three": (file_of({"a": tensor(offsets=(0, 4, 4))}, FOUR), "two numbers"),
    "offsets outside": (file_of({"a": tensor(offsets=(2**62, 2**62 + 4))}, FOUR), "a begins at byte 4,611,"),
    "overlap": (file_of({"a": tensor(), "b": tensor()}, FOUR), r"b begins at byte \d+, where byte \d+ is due"),
    "hole": (file_of({"a": tensor(), "b": tensor(offsets=(8, 12))}, bytes(12)), r"b begins at byte \d+, where"),
    "cut off": (file_of({"a": tensor()}, bytes(3)), "it was cut off or added to"),
    "added to": (file_of({"a": tensor()}, bytes(5)), "it was cut off or added to"),
    "only values": (file_of({}, FOUR), "it was cut off or added to"),
    "name upwards": (file_of({"../../a": tensor()}, FOUR), r"tensor name '../../a' is not a plain one"),
    "name absolute": (file_of({"/etc/a": tensor()}, FOUR), "tensor name '/etc/a' is not a plain one"),
    "name with a line": (file_of({"a\nb": tensor()}, FOUR), "is not a plain one"),
    "name with a zero": (file_of({"a\0": tensor()}, FOUR), "is not a plain one"),
    "name empty": (file_of({"": tensor()}, FOUR), "is not a plain one"),
    "name endless": (file_of({"a" * 10_000: tensor()}, FOUR), "is not a plain one"),
    "name of another script": (file_of({"кernel": tensor()}, FOUR), "is not a plain one"),
    "empty": (b"", r"\(it is an empty file\): it has 0 bytes"),
    "html": (b"<html><body>404 not found</body></html>", r"\(it is an HTML page"),
    "git-lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", r"\(it is a git-lfs pointer"),
    "pickle": (b"\x80\x04\x95\x10" + bytes(100), r"\(it is a Python pickle"),
}


@pytest.mark.parametrize("content, message", HOSTILE.values(), ids=HOSTILE)
def test_a_header_that_is_not_right_is_refused_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=message) as error:
            read_header(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(error.value).startswith(f"{path} is not a readable safetensors file")
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600
    assert peak < 100e6


def test_the_values_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(file_of({"a": tensor(shape=[2**30], offsets=(0, 2**32))}))
    with path.open("ab") as file:
        file.truncate(path.stat().st_size + 2**32)
    tracemalloc.start()
    try:
        assert count_parameters(path) == 2**30
        assert tracemalloc.get_traced_memory()[1] < 1e6
    finally:
        tracemalloc.stop()


def test_a_file_of_the_library_is_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    arrays = {"a/b": np.zeros((2, 3), "float32"), "c": np.zeros((), "float16"), "d": np.zeros((5,), "uint8")}
    save_file(arrays, path, metadata={"format": "np"})
    header = read_header(path)
    assert {name: (t.dtype, t.shape) for name, t in header.items()} == {
        "a/b": ("F32", (2, 3)),
        "c": ("F16", ()),
        "d": ("U8", (5,)),
    }
    assert [t.start for t in header.values()] == sorted(t.start for t in header.values())
    assert count_parameters(path) == 12


def test_a_tensor_says_its_size() -> None:
    assert (TensorInfo("BF16", (4, 5), 0).size, TensorInfo("BF16", (4, 5), 0).nbytes) == (20, 40)
    assert TensorInfo("I64", (), 0).nbytes == 8


def test_a_folder_or_nothing_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.safetensors"):
        with pytest.raises(WeightsError, match=f"no weights file at {path}"):
            read_header(path)
