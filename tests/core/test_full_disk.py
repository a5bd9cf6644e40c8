"""A disk that is full at any write: one clear line, the state before it intact, and the same call goes on."""

import errno
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pytest
import standin
from safetensors.numpy import save_file

from zoo.core import files
from zoo.core.errors import WriteError, ZooError
from zoo.inference import feature_store
from zoo.node.spool import Spool
from zoo.training.checkpoint import Checkpoints

#: Where this user may write anything, a file system that is read-only is imitated.
EROFS = OSError(errno.EROFS, os.strerror(errno.EROFS))


@contextmanager
def room(size):
    """No file of this process may become larger: the kernel refuses the write, wherever it comes from."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def whole(write):
    """A writer of one file or folder: first small, then large."""

    def call(folder, size):
        with write(folder / "x") as new:
            (new / "a" if new.is_dir() else new).write_bytes(bytes(size))

    return call


def h5(folder, size):
    with files.whole_file(folder / "x.h5") as new, h5py.File(new, "w") as file:
        file["a"] = np.zeros(size, np.uint8)


def tensors(folder, size):
    with files.whole_file(folder / "x.safetensors") as new:
        save_file({"a": np.zeros(size, np.uint8)}, new)


def checkpoint(folder, size):
    Checkpoints(folder / "checkpoint").save({"a": np.zeros(size, np.uint8)}, {"size": size})


def spool(folder, size):
    with Spool(folder / "spool").opened() as opened:
        opened._key = b"0"
        opened.take("1.2", f"1.2.{size}", bytes(size))


WRITERS = {
    "file": whole(files.whole_file), "folder": whole(files.whole_folder), "h5": h5, "safetensors": tensors,
    "checkpoint": checkpoint, "spool": spool,
}  # fmt: skip


def contents(folder):
    kept = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in (".lock", "lock", "secret"))
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in kept}


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_there_stays_and_the_same_call_goes_on(name, tmp_path):
    write = WRITERS[name]
    write(tmp_path, 10)
    before = contents(tmp_path)
    with room(8192), pytest.raises(ZooError, match=r"cannot be written.*File too large") as error:
        write(tmp_path, 100_000)
    assert "\n" not in str(error.value)
    assert contents(tmp_path) == before
    write(tmp_path, 100_000)
    assert max(map(len, contents(tmp_path).values())) >= 100_000


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_predictions_go_on_where_the_disk_was_full(kind, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    images, out = standin.make_films(tmp_path / "images"), tmp_path / f"full.{kind}"
    standin.write(images, tmp_path / f"whole.{kind}")
    size, model = (tmp_path / f"whole.{kind}").stat().st_size, standin.predictor()
    with room(size // 2), pytest.raises(WriteError, match=rf"full\.{kind}: cannot .* the same command goes on from"):
        standin.write(images, out, model)
    assert not out.exists()
    scored, again = sum(model.runtime.calls), standin.predictor()
    standin.write(images, out, again)
    assert out.read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
    if kind == "csv":
        assert 0 < sum(again.runtime.calls) < scored + sum(again.runtime.calls)


def store(path, rows):
    with files.told(path), path.open("ab") as out:
        for digest, row in rows.items():
            out.write(feature_store._row(digest, row))


def test_features_that_fitted_are_kept(tmp_path):
    path = tmp_path / "features.bin"
    rows = {f"{i:032x}": np.full(100, i, np.float32) for i in range(8)}
    with room(2000), pytest.raises(WriteError, match=r"features\.bin: cannot be written"):
        store(path, rows)
    kept = feature_store._read(path, 100)
    assert len(kept) == 2000 // len(feature_store._row("0" * 32, rows["0" * 32]))
    np.testing.assert_array_equal(kept["1".zfill(32)], rows["1".zfill(32)])


def test_places_where_nothing_may_be_written_are_told_and_files_that_cannot_be_read_are_not(tmp_path, monkeypatch):
    def refuses(*_, **__):
        raise EROFS

    monkeypatch.setattr(Path, "mkdir", refuses)
    with pytest.raises(WriteError, match=r"x\.json: cannot be written: Read-only file system"):
        files.write_json(tmp_path / "x.json", {})
    monkeypatch.undo()
    with pytest.raises(PermissionError, match="elsewhere") as error, files.whole_file(tmp_path / "x"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/image.png")
    assert not isinstance(error.value, ZooError)
