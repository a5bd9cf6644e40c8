"""The images of a table: the samples of faults that joined a row to another row's file, and more of their kind."""

import unicodedata
import warnings
from pathlib import Path

import pytest

from zoo.core.errors import TableError
from zoo.data.images.locating import locate_images
from zoo.data.tables import reading
from zoo.labels.findings import FINDINGS

UID = "1.2.276.0.7230010.3.1.4.8323329.1001"


@pytest.fixture
def images(tmp_path):
    """Makes empty files below a folder, and gives the folder."""

    def make(*names):
        for name in names:
            path = tmp_path / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "images"

    return make


def located(names, folder):
    """Of each name the path below the folder, or None for a file that is not there."""
    paths = [Path(path) for path in locate_images(names, [folder]).paths]
    assert all(path.is_relative_to(folder) for path in paths)
    return [path.relative_to(folder).as_posix() if path.exists() else None for path in paths]


@pytest.mark.parametrize(
    ("names", "files", "wanted"),
    [
        (["film.1", "film.2"], ["film.png", "film.1.png", "film.2.png"], ["film.1.png", "film.2.png"]),
        ([UID], [f"{UID}.png"], [f"{UID}.png"]),
        (["x.png"], ["x.png", ".thumbs/x.png", "@eaDir/x.png", "__MACOSX/x.png", "._x.png"], ["x.png"]),
        (["x"], ["x.png", "@eaDir/x.png/SYNOPHOTO_THUMB_M.jpg", ".x.png"], ["x.png"]),
        (["PA/0001.png", "LAT/0001.png"], ["PA/0001.png", "LAT/0001.png"], ["PA/0001.png", "LAT/0001.png"]),
        ([r"PA\0001.png", r"D:\d\LAT\0001.png"], ["PA/0001.png", "LAT/0001.png"], ["PA/0001.png", "LAT/0001.png"]),
        (["/mnt/images/0001.png"], ["0001.png"], ["0001.png"]),
        (["00001", "1"], ["00001.png", "1.png"], ["00001.png", "1.png"]),
        (["00001"], ["1.png"], [None]),
        (["a.dcm"], ["a.png"], ["a.png"]),
        (["a.JPG "], ["a.jpg"], ["a.jpg"]),
        (["a.png", "a.jpg"], ["a.png", "a.jpg"], ["a.png", "a.jpg"]),
        ([unicodedata.normalize("NFD", "Müller.png")], ["Müller.png"], ["Müller.png"]),
        (["Müller"], [unicodedata.normalize("NFD", "Müller.png")], [unicodedata.normalize("NFD", "Müller.png")]),
        (["../../etc/passwd", "/etc/passwd"], ["x.png"], [None, None]),
        (["x.jfif", "y"], ["x.jfif", "y.dcm"], ["x.jfif", "y.dcm"]),
    ],
)
def test_each_row_gets_its_own_file_or_none(images, names, files, wanted):
    assert located(names, images(*files)) == wanted


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["0001.png"], ["LAT/0001.png", "PA/0001.png"]),
        (["a"], ["a.jpg", "a.png"]),
        (["a.png"], ["A.png", "a.PNG"]),
    ],
)
def test_two_files_for_one_row_are_both_shown(images, names, files):
    folder = images(*files)
    with pytest.raises(TableError, match="as much of the path") as caught:
        locate_images(names, [folder], "train.csv")
    assert all(repr(str(folder / file)) in str(caught.value) for file in files)
    assert str(caught.value).startswith("train.csv: ")


def test_a_linked_file_is_found_and_a_second_link_to_it_is_no_choice(images, tmp_path):
    folder = images("x.png", "sub/y.png")
    (folder / "z.png").symlink_to(folder / "sub" / "y.png")
    (folder / "sub" / "x.png").symlink_to(folder / "x.png")
    assert located(["z", "y"], folder) == ["z.png", "sub/y.png"]
    assert Path(locate_images(["x.png"], [folder]).paths[0]).samefile(folder / "x.png")


def test_files_of_two_folders_are_told_apart_by_their_folders(images):
    folder = images("images_001/0001.png", "images_002/0001.png")
    folders = [folder / "images_001", folder / "images_002"]
    with pytest.raises(TableError, match=r"images_001/0001\.png.*images_002/0001\.png"):
        locate_images(["0001.png"], folders)
    paths = locate_images(["images_002/0001.png", "images_001/0001.png"], folders).paths
    assert [Path(path).parent.name for path in paths] == ["images_002", "images_001"]


def test_a_table_says_what_it_disregarded_and_what_it_left_out(images, tmp_path):
    images("A.png", "b.png", "c.png", "readme.txt", "@eaDir/A.png")
    (tmp_path / "t.csv").write_text(f"Image_name,{','.join(FINDINGS)}\na.png{',0' * 14}\ngone{',1' * 14}\n")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = reading.read_table("competition", tmp_path, labels="t.csv", images="images")
    said = [str(warning.message) for warning in caught]
    assert f"t.csv: 1 name was joined regardless of case: 'a.png' is '{tmp_path}/images/A.png'" in said
    assert f"{tmp_path}/images: left out 2 images without a row in t.csv (first b.png), 1 system folder (@eaDir), " in (
        "".join(text for text in said if "left out 2" in text)
    )
    kept, skipped = reading.drop_missing(table)
    assert kept["Image_name"].tolist() == ["a.png"]
    assert skipped.to_dict("records") == [{"Image_name": "gone", "Reason": "no such file"}]


def test_an_image_without_a_row_is_shown_with_its_folder(images):
    folder = images("AP/2.png", "PA/1.png")
    found = locate_images(["AP/1.png", "AP/2.png"], [folder], "t.csv")
    assert not Path(found.paths[0]).exists()  # another view is another image
    assert "left out 1 image without a row in t.csv (PA/1.png)" in found.unused
