"""A name is joined to the one thing it means, to nothing, or to an error that shows both; never to the first."""

import os

import pytest

from zoo.core.errors import TableError
from zoo.core.joining import join
from zoo.core.paths import may_be_same, short_names, stem


def joined(names, candidates, **how):
    """The candidate of each name, or None."""
    found = join(names, candidates, source="a.csv", **how)
    return [candidates[row] if row >= 0 else None for row in found.rows]


UID = "1.2.276.0.7230010.3.1.4.8323329.1001"


@pytest.mark.parametrize(
    ("names", "candidates", "wanted"),
    [
        # Only the extension of an image is stripped.
        (["film.1", "film.2"], ["film.png", "film.1.png", "film.2.png"], ["film.1.png", "film.2.png"]),
        ([UID, "1.2.276"], [f"{UID}.png"], [f"{UID}.png", None]),
        (["x.dcm", "x"], ["x.png", "x.dcm.png"], ["x.dcm.png", "x.png"]),
        (["a.jpg"], ["a"], ["a"]),
        (["a.dcm"], ["a.png"], ["a.png"]),
        (["scan.nii.gz"], ["scan.png"], ["scan.png"]),
        (["a.final"], ["a.png"], [None]),
        # An exact name goes before one with another extension or case.
        (["a.png"], ["a.jpg", "a.png"], ["a.png"]),
        (["a.png", "a.jpg"], ["a.png"], ["a.png", None]),
        (["a.png", "a"], ["a.png"], ["a.png", None]),
        (["a.png", "a.PNG"], ["a.PNG", "a.png"], ["a.png", "a.PNG"]),
        (["A.PNG"], ["a.png", "A.jpg"], ["a.png"]),
        # Identifiers are text.
        (["00001", "1"], ["1.png", "00001.png"], ["00001.png", "1.png"]),
        (["00001"], ["1.png"], [None]),
        (["1.0"], ["1.png"], [None]),
        # The longest common end of two paths counts.
        (["PA/0001.png"], ["/d/LAT/0001.png", "/d/PA/0001.png"], ["/d/PA/0001.png"]),
        (["/old/disk/PA/1.png", "/old/disk/LAT/1.png"], ["LAT/1.png", "PA/1.png"], ["PA/1.png", "LAT/1.png"]),
        ([r"C:\data\PA\1.png", r".\LAT\1.png"], ["PA/1.png", "LAT/1.png"], ["PA/1.png", "LAT/1.png"]),
        (["/old/PA/1.png", "/old/LAT/1.png"], ["new/LAT/1.png", "new/PA/1.png"], ["new/PA/1.png", "new/LAT/1.png"]),
        (["x.png", "sub/x.png"], ["x.png", "sub/x.png"], ["x.png", "sub/x.png"]),
        (["pa/1.png"], ["LAT/1.png", "PA/1.png"], ["PA/1.png"]),
        # A folder that contradicts is no match while others fit.
        (["p1/view1.jpg", "p2/view1.jpg"], ["p1/view1.jpg"], ["p1/view1.jpg", None]),
        (["p2/view1.jpg", "p3/view1.jpg"], ["p1/view1.jpg"], [None, None]),
        (["AP/1.png"], ["PA/1.png", "LAT/1.png"], [None]),
        (["AP/1.png"], ["PA/1.png"], [None]),
        (["old/PA/1.png"], ["new/PA/1.png"], ["new/PA/1.png"]),
        ([r"C:\scans\1.png", "gs://scans/2.png"], ["x/1.png", "y/2.png"], ["x/1.png", "y/2.png"]),
        # Spaces around a name, and the form of Unicode.
        ([" a.png "], ["a.png"], ["a.png"]),
        (["Mu\u0308ller.png", "\u00c5"], ["M\u00fcller.png", "A\u030a.png"], ["M\u00fcller.png", "A\u030a.png"]),
        ([""], ["a.png"], [None]),
        (["a.png"], [], [None]),
    ],
)
def test_each_name_is_joined_to_what_it_means(names, candidates, wanted):
    assert joined(names, candidates) == wanted


@pytest.mark.parametrize(
    ("names", "candidates", "both"),
    [
        (["0001.png"], ["LAT/0001.png", "PA/0001.png"], ["LAT/0001.png", "PA/0001.png"]),
        (["a"], ["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.png", "a"], ["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["1.png", "LAT/1.png"], ["LAT/1.png", "PA/1.png"], ["LAT/1.png", "PA/1.png"]),
        (["a.dcm"], ["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["a.png"], ["A.png", "a.PNG"], ["A.png", "a.PNG"]),
        (["x.png"], ["/d/x.png", "/d/sub/x.png"], ["/d/sub/x.png", "/d/x.png"]),
        (["LAT/1", "PA/1"], ["1.png"], ["LAT/1", "PA/1"]),
        (["A.png", "a.PNG"], ["a.png"], ["A.png", "a.PNG"]),
    ],
)
def test_two_that_could_be_meant_are_both_shown_with_a_way_out(names, candidates, both):
    with pytest.raises(TableError, match=r"a\.csv: .*as much of") as caught:
        joined(names, candidates)
    assert all(repr(name) in str(caught.value) for name in both)


def test_two_links_to_one_file_are_no_choice(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "x.png").touch()
    (tmp_path / "sub" / "x.png").symlink_to(tmp_path / "x.png")
    paths = [str(tmp_path / "sub" / "x.png"), str(tmp_path / "x.png")]
    assert joined(["x.png"], paths, roots=[str(tmp_path)], identity=os.path.realpath)[0] in paths


def test_the_name_of_the_root_does_not_matter():
    paths = ["/new/p1/s1/view1.jpg", "/new/p1/s2/view1.jpg"]
    names = ["CheXpert/train/p1/s2/view1.jpg", "CheXpert/train/p1/s1/view1.jpg"]
    assert joined(names, paths, roots=["/new"]) == paths[::-1]
    assert joined(names[:1], paths[:1], roots=["/new"]) == [None]
    (note,) = join(names, paths, source="a.csv", roots=["/new"]).notes
    assert note == f"a.csv: 2 names were joined regardless of folder: {names[0]!r} is {paths[1]!r}"
    assert join(["s1/view1.jpg"], paths, source="a.csv", roots=["/new"]).notes == ()


def test_what_was_disregarded_is_counted_and_shown():
    found = join(["A.png", "b", "c.png", "D"], ["a.png", "b.jpg", "c.png", "d.png"], source="a.csv")
    assert found.rows.tolist() == [0, 1, 2, 3]
    assert found.notes == (
        "a.csv: 1 name was joined regardless of case: 'A.png' is 'a.png'",
        "a.csv: 1 name was joined regardless of extension: 'b' is 'b.jpg'",
        "a.csv: 1 name was joined regardless of extension and case: 'D' is 'd.png'",
    )
    moved = join(["/old/a/1.png", "/old/b/2.png"], ["x/1.png", "y/2.png", "y/3.png"], source="a.csv")
    assert moved.rows.tolist() == [0, 1]
    assert moved.unused(3).tolist() == [2]
    assert moved.notes == ("a.csv: 2 names were joined regardless of folder: '/old/a/1.png' is 'x/1.png'",)


def test_many_files_of_one_name_take_no_square_of_their_number():
    n = 4_000
    paths = [f"/d/patient{n - 1 - i}/study1/view1_frontal.jpg" for i in range(n)]
    names = [f"train/patient{i}/study1/view1_frontal.jpg" for i in range(n)]
    assert join(names, paths, source="", roots=["/d"]).rows.tolist() == list(range(n - 1, -1, -1))
    # Nor do names without a file, of which all have the same end.
    others = [f"/t/patient{n + i}/study1/view1_frontal.jpg" for i in range(n)]
    assert (join(others, paths, source="").rows < 0).all()


def test_names_that_may_be_the_same():
    train = ["d/p1/view1.jpg", "0001.png", "M\u00fcller.png"]
    names = ["p1/view1.jpg", "p2/view1.jpg", "VIEW1.jpg", "x/0001.PNG", "0001.jpg", "1.png", "Mu\u0308ller", "", "a.b"]
    train.append("a")
    assert may_be_same(names, train).tolist() == [True, False, True, True, False, False, True, False, False]
    assert may_be_same(["a.png", "b.png"], train).tolist() == [True, False]
    # Paths of two machines: the file name decides where it is unique.
    assert may_be_same(["C:\\x\\a.png", "/y/b.png", "/z/b.png"], ["train/a.png", "train/b.png"]).tolist() == [
        *(True, False, False)
    ]


def test_short_names_stay_different():
    assert short_names(["/d/a/x.png", "/d/b/x.png", "/d/y.png"]) == ["/d/a/x.png", "/d/b/x.png", "y.png"]


@pytest.mark.parametrize("name", ["film.1", UID, ".png", "x.final", "x."])
def test_nothing_but_an_image_extension_is_stripped(name):
    assert stem(name) == name
    assert stem(f"{name}.JPEG") == name
