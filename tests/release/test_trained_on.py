"""The record of the images that a release was trained on: written, read, refused if it is not one."""

import json

import numpy as np
import pytest
from builders import tiny_release
from safetensors.numpy import save_file

import zoo
from zoo.core import home
from zoo.core.errors import IntegrityError, ReleaseError
from zoo.release import manifest, trained_on
from zoo.release.convert import release_of
from zoo.release.diff import diff
from zoo.release.folder import ReleaseFolder
from zoo.release.install import copy
from zoo.release.read import read_release
from zoo.release.trained_on import TrainedOn
from zoo.release.verify import verify


def digest(number):
    return f"{number:016x}" + "f" * 16


def record(train=range(1, 6), validation=(9, 2**64 - 1)):
    return TrainedOn.of([digest(n) for n in train], [digest(n) for n in validation])


def replaced(folder, tensors):
    """Puts another file in the place of the record, with its true size and sha256."""
    save_file(tensors, folder / trained_on.FILE)
    return listed(folder)


def listed(folder):
    listing = json.loads((folder / manifest.MANIFEST).read_text())
    listing["files"] = manifest.to_json(manifest.describe(folder))
    manifest.write_json(folder / manifest.MANIFEST, listing)
    return folder


def test_it_is_written_read_copied_and_kept_by_conversions(tmp_path):
    folder = tiny_release(tmp_path / "release", members=1, trained_on=record())
    found = read_release(folder).trained_on
    assert found.train.tolist() == [1, 2, 3, 4, 5]
    assert found.validation.tolist() == [9, 2**64 - 1]
    assert (folder / trained_on.FILE).stat().st_size < 8 * 7 + 200
    seen = found.find([digest(3), digest(9), digest(10), "", digest(2**64 - 1)])
    assert [rows.tolist() for rows in seen] == [[True, False, False, False, False], [False, True, False, False, True]]
    for other in (copy(folder, tmp_path / "copy"), release_of(folder, tmp_path / "half", dtype="float16")):
        assert read_release(other).trained_on.train.tolist() == [1, 2, 3, 4, 5]
    assert zoo.inspect(folder).trained_on == "training part 5 images, validation part 2"


def test_an_image_of_both_parts_counts_once_and_one_without_a_digest_makes_it_unknown():
    own = record([1, 1, 2], [2, 3])
    assert [rows.tolist() for rows in own.find([digest(n) for n in (1, 2, 3)])] == [
        [True, True, False],
        [False, False, True],
    ]
    assert own.joined(record([7], [1])).train.tolist() == [1, 2, 7]
    assert TrainedOn.of([digest(1), ""], []) is None


def test_more_images_than_a_release_records_are_said(monkeypatch):
    monkeypatch.setattr(trained_on, "MAX_IMAGES", 3)
    with pytest.warns(UserWarning, match=r"5 images are more than a release records \(3\)"):
        assert record([1, 2, 3], [4, 5]) is None


def test_verify_inspect_and_diff_know_it(tmp_path):
    old = tiny_release(tmp_path / "old", members=1)
    folder = tiny_release(tmp_path / "new", members=1, trained_on=record())
    assert ReleaseFolder(old).trained_on is None
    lines = {path: {check.name: check for check in verify(path)} for path in (old, folder)}
    assert lines[old]["trained on"].ok
    assert lines[old]["trained on"].detail == "unknown: the release has no record of the images"
    assert lines[folder]["trained on"].detail == "training part 5 images, validation part 2"
    assert all(check.ok for check in verify(folder, ["tiny0"]))
    assert "trained on  unknown: no record of the images" in zoo.inspect(old).lines()
    told = [line for line in diff(read_release(old), read_release(folder)) if "images trained on" in line]
    assert told == ["provenance: images trained on: unknown -> training part 5 images, validation part 2"]
    other = tiny_release(tmp_path / "other", members=1, trained_on=record(range(3, 8)))
    told = [line for line in diff(read_release(folder), read_release(other)) if "images trained on" in line]
    assert told[0].endswith("(the same: 3 and 2)")
    assert not any("images trained on" in line for line in diff(read_release(folder), read_release(folder)))


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({"train": np.array([1], np.uint64)}, "expected the lists 'train' and 'validation'"),
        ({"train": np.array([1.0]), "validation": np.array([2.0])}, "not a readable safetensors file"),
        ({"train": np.array([[1]], np.uint64), "validation": np.array([2], np.uint64)}, r"U64 \(1, 1\)"),
        ({"train": np.array([2, 1], np.uint64), "validation": np.array([], np.uint64)}, "sorted and different"),
        ({"train": np.array([], np.uint64), "validation": np.array([4, 4], np.uint64)}, "of 'validation' must be"),
    ],
)
def test_another_file_in_its_place_is_refused(tmp_path, tensors, told):
    folder = replaced(tiny_release(tmp_path / "release", members=1, trained_on=record()), tensors)
    with pytest.raises(ReleaseError, match=told):
        _ = read_release(folder).trained_on
    failed = [check for check in verify(folder) if not check.ok]
    assert [check.name for check in failed] == ["trained on"]
    assert zoo.inspect(folder).problems
    assert zoo.load(folder).predict([]).shape == (0, 3)  # prediction does not need it


def test_an_altered_a_missing_and_a_huge_file_are_refused(tmp_path, monkeypatch):
    folder = tiny_release(tmp_path / "release", members=1, trained_on=record())
    path = folder / trained_on.FILE
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(IntegrityError, match="altered"):
        _ = ReleaseFolder(folder).trained_on
    path.unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        _ = ReleaseFolder(folder).trained_on
    path.write_bytes(data)
    monkeypatch.setattr(trained_on, "MAX_BYTES", len(data) - 1)
    with pytest.raises(IntegrityError, match="too many for this file"):
        _ = ReleaseFolder(folder).trained_on


def test_the_included_release_knows_its_images():
    found = read_release(home.INCLUDED / "nih-lite")
    images = found.provenance["split"]["films"]
    assert (len(found.trained_on.train), len(found.trained_on.validation)) == (images["train"], images["validation"])
    assert (images["train"], images["validation"]) == (824, 145)
    assert (found.folder / trained_on.FILE).stat().st_size == 7896
