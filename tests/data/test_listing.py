"""Which files of a folder are images."""

import os

import numpy as np
import pytest
from PIL import Image

from zoo.core.errors import ImageError, UsageTypeError
from zoo.data.images.listing import LeftOut, find_images, list_images, walk_images

GREY = Image.fromarray(np.arange(900, dtype=np.uint8).reshape(30, 30))


def fill(folder, **files):
    """Writes files by name; "__" stands for the folder's separator."""
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def saved(path, kind):
    GREY.save(path, kind)
    return path


def listed(folder):
    left_out = LeftOut()
    return [os.path.relpath(path, folder) for path in walk_images(folder, left_out)], left_out


@pytest.mark.parametrize("given", [b"folder", np.zeros((4, 4)), [np.zeros((4, 4))], [b"folder"]])
def test_contents_where_a_path_is_wanted_are_refused_with_a_hint(given):
    find = find_images if isinstance(given, list) else list_images
    with pytest.raises(UsageTypeError, match=r"a path of a file or folder is wanted here, got a (bytes|ndarray)"):
        find(given)


def test_content_decides_what_is_an_image(tmp_path):
    for name, kind in (("a.jfif", "JPEG"), ("b.jpe", "JPEG"), ("c", "PNG"), ("d.gif", "GIF"), ("e.final", "TIFF")):
        saved(tmp_path / name, kind)
    for name, kind in (("f.x", "BMP"), ("g.backup", "WEBP"), ("1.2.276.1001", "JPEG"), ("h", "PPM"), ("i", "AVIF")):
        saved(tmp_path / name, kind)
    (tmp_path / "IM000001").write_bytes(bytes(128) + b"DICM" + bytes(300))
    names = ["1.2.276.1001", "IM000001", "a.jfif", "b.jpe", "c", "d.gif", "e.final", "f.x", "g.backup", "h", "i"]
    assert listed(tmp_path) == (names, LeftOut())


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "1 empty file"),
        (b"Image_name,Edema", "1 text file"),
        ("M\u00fcller".encode()[:2], "1 text file"),
        (b"<!DOCTYPE html>", "1 HTML page"),
        (b"%PDF-1.7", "1 PDF document"),
        (b"PK\x03\x04" + bytes(100), "1 zip archive"),
        (b"\x89HDF\r\n\x1a\n", "1 HDF5 file"),
        (bytes(128) + b"DICM" + b"1.2.840.10008.1.3.10\0", "1 DICOM directory"),
        (bytes(600), "1 other file"),
        (b"\xfe\xff\x80abcdef", "1 other file"),
        (b"BM is a text that begins like a bitmap, and is none", "1 text file"),
    ],
)
def test_what_is_no_image_has_a_kind(tmp_path, content, kind):
    fill(tmp_path, x=content)
    found, left_out = listed(tmp_path)
    assert (found, str(left_out)) == ([], f"{kind} (x)")


def test_what_is_left_out_is_counted_by_kind(tmp_path):
    texts = {"notes.txt": b"x", "labels.csv": b"a,b", "sub__readme": b"text"}
    fill(tmp_path, **texts, **{"a.png": b"", "empty": b"", "r.pdf": b"%PDF", ".b.png": b"", "._a.png": b""})
    thumbs = {f"{folder}__a.png": b"" for folder in (".thumbs", "@eaDir", "__MACOSX", "sub__@EADIR")}
    for name in thumbs:
        path = tmp_path / (name.removesuffix("__a.png").replace("sub__", "sub/")) / "a.png"
        path.parent.mkdir(parents=True)
        path.touch()
    (tmp_path / "round").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe")
    found, left_out = listed(tmp_path)
    assert found == ["a.png"]
    assert left_out.counts == {
        **{"text file": 3, "empty file": 1, "PDF document": 1, "hidden file": 2, "hidden folder": 1},
        **{"system folder": 3, "linked folder": 1, "broken link": 2, "special file": 1},
    }
    assert "3 text files (first labels.csv)" in str(left_out)
    assert "1 linked folder (round)" in str(left_out)


def test_a_name_of_an_image_is_a_row_whatever_its_content(tmp_path):
    fill(tmp_path, **{"a.png": b"", "b.JPG": b"a page", "c.dcm": b"", "d.heic": b"x"})
    (tmp_path / "e.png").symlink_to(tmp_path / "nowhere")
    assert listed(tmp_path) == (["a.png", "b.JPG", "c.dcm", "d.heic", "e.png"], LeftOut())


def test_a_folder_is_listed_though_it_is_hidden_or_a_link(tmp_path):
    fill(tmp_path, **{".scans__a.png": b""})
    (tmp_path / "link").symlink_to(tmp_path / ".scans", target_is_directory=True)
    assert listed(tmp_path / ".scans")[0] == listed(tmp_path / "link")[0] == ["a.png"]


def test_sources_in_each_other_give_each_image_once_and_say_so(tmp_path):
    fill(tmp_path, **{"a.png": b"", "sub__b.png": b"", "notes.txt": b"x"})
    said = []
    found = find_images([tmp_path / "sub", tmp_path, tmp_path / "notes.txt"], said.append)
    assert [os.path.relpath(path, tmp_path) for path in found] == ["sub/b.png", "a.png", "notes.txt"]
    assert said == [
        f"{tmp_path}: left out 1 text file (notes.txt)",
        "1 image is in several of the files and folders named; it is taken once",
    ]


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    fill(tmp_path, **{"a.csv": b"x", "b.csv": b"y"})
    with pytest.raises(ImageError, match=r"it holds 2 text files \(first a\.csv\)"):
        find_images([tmp_path])


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
    with pytest.raises(ImageError, match=r"no image.*nothing"):
        list_images(tmp_path)
    with pytest.raises(FileNotFoundError, match="missing"):
        list_images(tmp_path / "missing")


def test_kinds_are_counted_in_plain_plurals():
    left_out = LeftOut()
    for kind in ("NumPy array", "DICOM directory", "NumPy array", "DICOM directory"):
        left_out.add(kind, "a")
    assert str(left_out) == "2 NumPy arrays (first a), 2 DICOM directories (first a)"
