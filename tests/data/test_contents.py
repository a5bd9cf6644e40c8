"""What files contain: hashed once, then told by name and size."""

import hashlib
import os

import pytest
from told import Told

from zoo.data import contents, scan
from zoo.data.contents import Content


@pytest.fixture
def paths(tmp_path):
    for i in range(5):
        (tmp_path / f"{i}.bin").write_bytes(bytes([i]) * 10)
    return sorted(str(path) for path in tmp_path.glob("*.bin"))


def known_of(paths):
    return dict(zip(paths, contents.read(paths), strict=True))


def test_the_digest_is_of_the_bytes(paths, tmp_path):
    seen = []
    found = contents.read([*paths, str(tmp_path / "nowhere")], on_file=lambda: seen.append(1))
    assert len(seen) == 6
    assert found[2].digest == hashlib.sha256(bytes([2]) * 10).hexdigest()[: contents.DIGITS]
    assert found[2].bytes == 10
    assert found[5] == Content(-1, 0, "")


def test_a_file_of_another_size_or_with_other_bytes_has_changed(paths, tmp_path):
    known = known_of(paths)
    (tmp_path / "0.bin").write_bytes(b"x" * 11)
    (tmp_path / "1.bin").write_bytes(b"x" * 10)
    os.utime(paths[1], ns=(0, 5))
    os.utime(paths[2], ns=(0, 5))
    (tmp_path / "3.bin").unlink()
    (tmp_path / "5.bin").write_bytes(b"new")
    same = contents.unchanged(known, [*paths, str(tmp_path / "5.bin")])
    assert set(same) == {paths[2], paths[4]}
    assert same[paths[2]] == known[paths[2]]._replace(mtime_ns=5)


def test_many_new_times_alone_mean_nothing_and_nothing_is_read(paths, monkeypatch):
    known = known_of(paths)
    for path in paths:
        os.utime(path, ns=(0, 5))
    monkeypatch.setattr(contents, "REREAD", len(paths) - 1)
    monkeypatch.setattr(contents, "digest", None)
    assert {path: one.digest for path, one in contents.unchanged(known, paths).items()} == {
        path: one.digest for path, one in known.items()
    }


def make_image(path, seed):
    import numpy as np
    from PIL import Image

    Image.fromarray(np.random.default_rng(seed).integers(0, 250, (20, 20), dtype=np.uint8)).save(path)


def test_a_scan_reads_each_file_once(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    for i in range(4):
        make_image(data / f"{i}.png", i)
    (data / "2.png").write_bytes(b"<html>")
    paths = sorted(str(path) for path in data.iterdir())
    told, record = Told(), tmp_path / "scan.json"
    first = scan.scan(paths, record, data, told)
    assert list(first.unreadable) == [paths[2]]
    assert first.digests[paths[1]] == contents.digest(paths[1])
    assert told.tasks == [("reading 4 images", 4)]
    told.tasks.clear()
    assert scan.scan(paths, record, data, told) == first
    assert told.tasks == []
    make_image(paths[2], 9)
    make_image(data / "4.png", 4)
    again = scan.scan([*paths, str(data / "4.png")], record, data, told)
    assert told.tasks == [("reading 2 images", 2)]
    assert again.unreadable == {}
    moved = tmp_path / "moved"
    data.rename(moved)
    told.tasks.clear()
    scan.scan([str(moved / f"{i}.png") for i in range(5)], record, moved, told)
    assert told.tasks == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2, "files": []}', '{"format": 2, "files": {"0.png": 1}}'])
def test_a_record_of_another_form_costs_a_pass(tmp_path, text):
    make_image(tmp_path / "0.png", 0)
    (tmp_path / "scan.json").write_text(text)
    told = Told()
    assert scan.scan([str(tmp_path / "0.png")], tmp_path / "scan.json", tmp_path, told).unreadable == {}
    assert told.tasks == [("reading 1 image", 1)]
