"""Files of PyTorch are read to the right values without it. Those in `torch_files` were written by PyTorch 2.13."""

import io
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from zoo.core.errors import WeightsError
from zoo.models.weights.torch_file import read_torch

FILES = Path(__file__).parent / "torch_files"


def network() -> dict[str, np.ndarray]:
    """The i-th tensor counts up from 10 * i."""
    shapes = {
        **{"conv.weight": (2, 1, 3, 3), "conv.bias": (2,), "norm.weight": (2,), "norm.bias": (2,)},
        **{"norm.running_mean": (2,), "norm.running_var": (2,), "norm.num_batches_tracked": ()},
        **{"inner.0.weight": (3, 2), "inner.0.bias": (3,)},
    }
    kinds = {"norm.num_batches_tracked": "int64"}
    return {
        name: (np.arange(int(np.prod(shape))).reshape(shape) + 10 * i).astype(kinds.get(name, "float32"))
        for i, (name, shape) in enumerate(shapes.items())
    }


def require_equal(found, wanted) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize("name", ["state_dict.pt", "legacy.pth", "module.pt"])
def test_a_network_in_each_format(name):
    require_equal(read_torch(FILES / name).tensors, network())


def test_what_stands_beside_a_whole_module():
    found = read_torch(FILES / "module.pt")
    thresholds = found.attributes["op_threshs"]
    np.testing.assert_array_equal(thresholds, np.float32([0.25, np.nan]))
    rest = {name: value for name, value in found.attributes.items() if name != "op_threshs"}
    assert rest == {"epoch": 3, "best_loss": 0.5, "arch": "net", "pathologies": ("A", "")}
    assert found.others == ("optimizer (a dict)",)


@pytest.mark.parametrize("name", ["kinds.pt", "kinds_legacy.pth"])
def test_types_views_and_shared_storages(name):
    base = np.arange(12, dtype="float32").reshape(3, 4)
    wanted = {
        "half": np.float16([0, 1, 2]),
        "brain": np.array([1.5, -2], ml_dtypes.bfloat16),
        "yes": np.array([True, False]),
        "count": np.array(7),
        "view": base[1:, ::2],
        "turned": base.T,
        "again": base.ravel(),
        "empty": np.zeros((0, 3), "float32"),
        "complex": np.complex64([1 + 2j]),
        "f8": np.array([1, -2], ml_dtypes.float8_e4m3fn),
        "u16": np.uint16([1, 65535]),
        "double": np.float64([1 / 3]),
    }
    require_equal(read_torch(FILES / name).tensors, wanted)


def rewritten(name: str, **changes: bytes | None) -> bytes:
    """A zip file with entries of another content, or without them."""
    out = io.BytesIO()
    with zipfile.ZipFile(FILES / name) as old, zipfile.ZipFile(out, "w") as new:
        folder = old.namelist()[0].partition("/")[0]
        data = {entry.partition("/")[2]: old.read(entry) for entry in old.namelist()} | changes
        for entry, content in data.items():
            if content is not None:
                new.writestr(f"{folder}/{entry}", content)
    return out.getvalue()


def test_a_file_of_a_big_endian_machine(tmp_path):
    with zipfile.ZipFile(FILES / "kinds.pt") as archive:
        data = {entry.partition("/")[2]: archive.read(entry) for entry in archive.namelist()}
    # In the order of the tensors: float16, bfloat16, bool, int64, float32, (empty), complex64, float8, uint16, float64.
    sizes = {"data/0": 2, "data/1": 2, "data/3": 8, "data/4": 4, "data/6": 4, "data/8": 2, "data/9": 8}
    swapped = {name: np.frombuffer(data[name], f"u{size}").byteswap().tobytes() for name, size in sizes.items()}
    path = tmp_path / "big.pt"
    path.write_bytes(rewritten("kinds.pt", byteorder=b"big", **swapped))
    require_equal(read_torch(path).tensors, read_torch(FILES / "kinds.pt").tensors)


def compressed() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(FILES / "state_dict.pt") as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            new.writestr(entry, old.read(entry))
    return out.getvalue()


def legacy(root: object, keys: object = (), protocol: int = 1001) -> bytes:
    parts = (0x1950A86A20F9469CFC6C, protocol, {"little_endian": True}, root, list(keys))
    return b"".join(pickle.dumps(part, 2) for part in parts)


def larger() -> bytes:
    """A storage of four elements of which the pickle says that it has 2**30."""
    with zipfile.ZipFile(FILES / "state_dict.pt") as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        pickled = archive.read(name)
    return pickled.replace(b"K\x12tq", b"J\x00\x00\x00\x40tq", 1)


STORED = (FILES / "state_dict.pt").read_bytes()
OLD = (FILES / "legacy.pth").read_bytes()
WRONG = {
    "nothing": (b"", "is not a PyTorch file .*: it is empty"),
    "a picture": (b"\x89PNG\r\n\x1a\n", r"is not a PyTorch file .*: it starts with b'\\x89PNG'"),
    "cut off": (STORED[:-100], "cut off or damaged"),
    "changed": (STORED.replace(struct.pack("<f", 70), struct.pack("<f", 71)), "cut off or damaged .*CRC"),
    "old, cut off in the storages": (OLD[:-4], "cut off: it has 1,585 bytes, and a storage ends at byte 1,589"),
    "old, cut off in the pickle": (OLD[:300], "pickle is cut off or damaged at byte 300"),
    "another zip": (rewritten("state_dict.pt", **{"data.pkl": None}), "not one of PyTorch: there is no data.pkl"),
    "TorchScript": (rewritten("state_dict.pt", **{"code/net.py": b"pass"}), "TorchScript archive, which holds code"),
    "newer": (rewritten("state_dict.pt", version=b"11\n"), "its format is b'11', newer than 10"),
    "another byte order": (rewritten("state_dict.pt", byteorder=b"middle"), "byte order is b'middle'"),
    "compressed": (compressed(), "compressed or encrypted"),
    "a storage is missing": (rewritten("state_dict.pt", **{"data/0": None}), "storage '0' is missing"),
    "a storage is short": (rewritten("state_dict.pt", **{"data/0": b"1234"}), "of 4 bytes, expected 72 bytes"),
    "a storage that is said to be large": (
        rewritten("state_dict.pt", **{"data.pkl": larger()}),
        "storage '0' is of 72 bytes, expected 4,294,967,296 bytes",
    ),
    "another pickle": (pickle.dumps({"a": 1}, 2), "a pickle, but not one of PyTorch"),
    "an old file of a newer version": (legacy({}, protocol=1002), "its format is 1002, expected 1001"),
    "no tensors": (legacy({"epoch": 3}), "holds no tensors of a network, but a dict"),
    "a list": (legacy([1]), "holds no tensors of a network, but a list"),
    "newer pickles": (b"\x80\x06K\x01.", "protocol 6, newer than 5"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_each_wrong_file_is_one_clear_line(kind, tmp_path):
    content, message = WRONG[kind]
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        read_torch(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(WeightsError, match="there is no such file"):
        read_torch(tmp_path / "no.pt")


def test_neither_pytorch_nor_keras_is_imported():
    code = (
        "import sys; from zoo.models.weights.torch_file import read_torch; "
        f"assert len(read_torch({str(FILES / 'legacy.pth')!r}).tensors) == 9; "
        "assert not {'torch', 'keras', 'tensorflow', 'jax'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
