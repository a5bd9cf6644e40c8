"""Which files of a folder are images."""

import os

import pytest

from zoo.core.errors import ImageError
from zoo.data.images.listing import list_images


def test_list_images_is_sorted_deep_and_leaves_hidden_files_out(tmp_path):
    for name in ("b.PNG", "a.jpeg", "sub/c.tif", "notes.txt", "._a.jpeg", ".cache/d.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.relative_to(tmp_path).as_posix() for p in list_images(tmp_path)] == ["a.jpeg", "b.PNG", "sub/c.tif"]


def test_images_come_in_the_order_of_their_paths(tmp_path):
    for name in ("a.jpg", "a/z.jpg", "a/b/c.jpg", "a-b/d.jpg", "B.jpg", "a.dir.jpg/e.jpg", "ä.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "round").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "link.jpg").symlink_to(tmp_path / "B.jpg")
    found = list_images(tmp_path)
    assert found == sorted(found)
    assert len(found) == 8


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_cannot_be_read_is_said(tmp_path):
    (tmp_path / "a.jpg").touch()
    (tmp_path / "closed").mkdir(mode=0o000)
    with pytest.raises(PermissionError, match="closed"):
        list_images(tmp_path)


def test_list_images_of_nothing(tmp_path):
    with pytest.raises(ImageError, match="no image"):
        list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        list_images(tmp_path / "missing")
