"""Weights and other files that are made to do harm: cases 1, 7, 8, 17 and 18 of `hostile.py`."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import tiny_release
from hostile import Reading, agree, check_refused, put, read_all, safetensors, write
from safetensors.numpy import load_file, save_file

import zoo
from zoo.core.errors import IntegrityError, ReleaseError
from zoo.names import sources
from zoo.release import manifest

WEIGHTS, CONFIG = "tiny0.safetensors", "config.json"
KERNEL = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
EIGHT = bytes(8)


def tensor(**facts: object) -> bytes:
    return safetensors({"a": {**KERNEL, **facts}}, EIGHT)


#: Case 7: weights that are no sound safetensors file, and 8: that are another file.
FILES = {
    "nothing": (b"", "is an empty file"),
    "nine bytes": (bytes(9), "an empty header alone has 10"),
    "an HTML page": (b"<html><body>503 Service Unavailable</body></html>", "is an HTML page"),
    "a git-lfs pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        "is a git-lfs pointer",
    ),
    "an HDF5 file": (b"\x89HDF\r\n\x1a\n" + bytes(100), "is an HDF5 file"),
    "a Keras archive": (b"PK\x03\x04" + bytes(22) + b"\x0d\0\0\0metadata.json", "is a Keras archive"),
    "a pickle": (b"\x80\x04\x95" + bytes(100), "is a Python pickle"),
    "a PNG image": (b"\x89PNG\r\n\x1a\n" + bytes(100), "is a PNG image"),
    "a header of 2^63 bytes": (safetensors({}, length=2**63), "its header should have 9,223,372,036,854,775,808 bytes"),
    "a header longer than the file": (safetensors({"a": KERNEL}, EIGHT, length=500), "the whole file has"),
    "a header cut off": (safetensors({"a": KERNEL}, EIGHT, length=30), "not a readable safetensors file"),
    "a header that is a list": (safetensors([], EIGHT), "its header is no JSON object"),
    "a header without UTF-8": (safetensors(b'{"\xff":1}', EIGHT), "codec can't decode"),
    "a nested header": (safetensors(b'{"a":' + b"[" * 10**6, EIGHT), "not a readable safetensors file"),
    "a tensor twice": (safetensors(b'{"a":{},"a":{}}', EIGHT), "key 'a' appears twice"),
    "tensors that overlap": (
        safetensors({"a": KERNEL, "b": {**KERNEL, "data_offsets": [4, 12]}}, bytes(12)),
        "begins at byte",
    ),
    "a gap between tensors": (
        safetensors({"a": KERNEL, "b": {**KERNEL, "data_offsets": [12, 20]}}, bytes(20)),
        "begins at byte",
    ),
    "a hole at the start": (tensor(data_offsets=[4, 12]), "begins at byte"),
    "values cut off": (safetensors({"a": KERNEL}, bytes(7)), "cut off or added to"),
    "bytes behind the last tensor": (safetensors({"a": KERNEL}, bytes(9)), "cut off or added to"),
    "places backwards": (tensor(data_offsets=[8, 0]), "has -8 bytes, its shape"),
    "places below 0": (tensor(data_offsets=[-8, 0]), "needs two numbers >= 0 as data_offsets"),
    "places of 2^64": (tensor(data_offsets=[2**64, 2**64 + 8]), "needs two numbers >= 0 as data_offsets"),
    "a shape that overflows": (tensor(shape=[2**62, 4]), "over the limit of"),
    "a shape of 16 TB": (tensor(shape=[4 * 10**12]), "over the limit of"),
    "a shape below 0": (tensor(shape=[-1, -2]), "has no shape of"),
    "a shape that is true": (tensor(shape=[True, 2]), "has no shape of"),
    "a shape of halves": (tensor(shape=[0.5, 4]), "has no shape of"),
    "a shape of 1,000 axes": (tensor(shape=[1] * 1000), "has no shape of at most 16"),
    "a dtype nobody knows": (tensor(dtype="F1024"), "has dtype 'F1024'"),
    "a dtype nobody writes": (tensor(dtype="F64", shape=[1]), "has dtype 'F64'"),
    "a dtype that is a list": (tensor(dtype=["F32"]), "has dtype"),
    "more facts than three": (tensor(code="x"), "needs dtype, shape and data_offsets, and nothing else"),
    "a fact too few": (safetensors({"a": {"dtype": "F32"}}, EIGHT), "needs dtype, shape and data_offsets"),
    "metadata that are no object": (safetensors({"__metadata__": 1, "a": KERNEL}, EIGHT), "its metadata are no JSON"),
    "a name that leads outside": (safetensors({"../../x": KERNEL}, EIGHT), "tensor name '../../x' is not a plain one"),
    "a name of control characters": (safetensors({"a\x1b[2J": KERNEL}, EIGHT), "is not a plain one"),
    "60,000 tensors": (
        safetensors({str(i): {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for i in range(60_000)}),
        "over the limit of 50,000",
    ),
    "a million tensors": (safetensors(b"{" + b'"a":{},' * 10**6 + b'"b":{}}'), "over the limit of 4,194,304"),
    "more numbers than the manifest says": (tensor(), "2 numbers, the manifest says 33,459"),
}

#: Golden images, which are read where the backend is another: the same reader, and one tensor of known shape.
IMAGES = {
    "no safetensors": (b"hello", "not a readable safetensors file"),
    "a dtype nobody writes": (tensor(dtype="F8_E4M3", shape=[8]), "has dtype 'F8_E4M3'"),
    "another size of images": (
        safetensors({"images": {"dtype": "U8", "shape": [4, 8, 8, 1], "data_offsets": [0, 256]}}, bytes(256)),
        "expected uint8 images of shape (n, 32, 32, 1)",
    ),
    "too many": (
        safetensors(
            {"images": {"dtype": "U8", "shape": [99, 32, 32, 1], "data_offsets": [0, 101_376]}}, bytes(101_376)
        ),
        "expected uint8 images of shape (n, 32, 32, 1)",
    ),
    "no image": (safetensors({}), "expected uint8 images of shape"),
}


def truncated(name):
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


#: Case 8 with an honest manifest: file -> what is done, what it looks like.
REPLACED = {
    f"{name}: {what}": (name, write(name, data, agreeing=False), says)
    for name in (WEIGHTS, CONFIG, "parity.safetensors")
    for what, data, says in (
        ("nothing", b"", "an empty file of 0 bytes"),
        ("an HTML page", b"<!DOCTYPE html><title>404</title>", "an HTML page"),
        ("a git-lfs pointer", b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer"),
        ("an HDF5 file", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("a PNG image", b"\x89PNG\r\n\x1a\n", "a PNG image"),
    )
} | {
    f"{WEIGHTS}: cut off": (WEIGHTS, truncated(WEIGHTS), "a safetensors file of 67,882 bytes, cut off"),
    f"{CONFIG}: cut off": (CONFIG, truncated(CONFIG), "a JSON text"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def readings(folder, tmp_path_factory) -> dict[str, Reading]:
    damages = {f"weights: {name}": write(WEIGHTS, data) for name, (data, _) in FILES.items()}
    damages["weights: a header of 100 MB"] = header_of_100_mb
    damages |= {f"images: {name}": write("parity.safetensors", data) for name, (data, _) in IMAGES.items()}
    damages |= {f"replaced: {name}": damage for name, (_, damage, _) in REPLACED.items()}
    return read_all(folder, damages, tmp_path_factory.mktemp("hostile"))


def header_of_100_mb(folder):
    write(WEIGHTS, safetensors(b"{", length=10**8), agreeing=False)(folder)
    os.truncate(folder / WEIGHTS, 10**8 + 8)
    agree(folder)


@pytest.mark.parametrize("name", FILES)
def test_weights_that_are_no_sound_file_are_refused(readings, name):
    found = readings[f"weights: {name}"]
    assert FILES[name][1] in found.said
    assert found.said.isprintable()
    assert found.said.startswith("ReleaseError: ")
    assert WEIGHTS in found.said


def test_a_long_header_is_not_read(readings):
    assert "its header of 100,000,000 bytes is over the limit" in readings["weights: a header of 100 MB"].said


@pytest.mark.parametrize("name", IMAGES)
def test_golden_images_that_are_no_sound_file_are_refused(readings, name):
    assert IMAGES[name][1] in readings[f"images: {name}"].said


@pytest.mark.parametrize("name", REPLACED)
def test_the_wrong_thing_under_a_right_name_is_named(readings, name):
    found = readings[f"replaced: {name}"]
    check_refused(found, REPLACED[name][2])
    assert found.said.startswith("IntegrityError: ")
    assert REPLACED[name][0] in found.said


# What only the built network shows


def reweigh(folder, change):
    tensors = {name: value.copy() for name, value in load_file(folder / WEIGHTS).items()}
    change(tensors)
    save_file(tensors, folder / WEIGHTS)
    agree(folder)
    n = sum(value.size for value in tensors.values())
    put(manifest.MANIFEST, "parameters/tiny0", n)(folder)


def renamed(tensors):
    tensors["head/evil"] = tensors.pop("head/kernel")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t["head/kernel"].__setitem__((0, 0), np.nan), "values of head/kernel are NaN or infinite"),
        (lambda t: t["head/bias"].__setitem__(0, -np.inf), "values of head/bias are NaN or infinite"),
        (lambda t: t.pop("head/bias"), r"1 are not in the file \(head/bias\)"),
        (lambda t: t.update(more=np.zeros(5, "float32")), r"1 are not in the model \(more\)"),
        (renamed, r"not in the file \(head/kernel\).*not in the model \(head/evil\)"),
        (lambda t: t.update({"head/kernel": t["head/kernel"].T.copy()}), r"head/kernel \(3, 64\) in the file"),
        (lambda t: t.update({"head/kernel": t["head/kernel"].astype("int32")}), "head/kernel int32 in the file"),
    ],
    ids=["NaN", "infinity", "missing", "extra", "renamed", "misshapen", "integers"],
)
def test_one_broken_member_is_the_end_of_the_ensemble(copy, folder, change, says):
    reweigh(copy, change)
    with pytest.raises(ReleaseError, match=says) as caught:
        zoo.load(copy)
    assert "\n" not in str(caught.value)
    assert str(copy / WEIGHTS) in str(caught.value)
    assert [m.name for m in zoo.load(copy, members=["tiny1"]).model.members] == ["tiny1"]


def test_an_altered_byte_is_seen_by_find_inspect_and_verify(copy):
    data = bytearray((copy / WEIGHTS).read_bytes())
    data[-5] ^= 1
    (copy / WEIGHTS).write_bytes(data)
    with pytest.raises(IntegrityError, match=rf"{WEIGHTS}: altered"):
        sources.find(copy)
    assert any("altered" in problem for problem in sources.inspect(copy).problems)
    assert "files" in [check.name for check in sources.verify(copy) if not check.ok]
    assert (copy / WEIGHTS).read_bytes() == data


def test_where_the_check_of_another_backend_cannot_be_noted(copy, zoo_home):
    put("parity.json", "backend", "another")(copy)
    zoo_home.mkdir()
    (zoo_home / "checked").write_text("no folder")
    assert len(zoo.load(copy).model.members) == 2
    write("parity.safetensors", b"hello")(copy)
    with pytest.raises(ReleaseError, match=r"parity\.safetensors is not a readable safetensors file"):
        zoo.load(copy)
