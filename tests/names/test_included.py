"""Releases that come with the package: found by name, read where they lie, never changed."""

import numpy as np
import pytest
from builders import tiny_release
from PIL import Image

import zoo
from zoo.cli import main
from zoo.core import home
from zoo.core.errors import ReleaseError, UsageError
from zoo.hub import pins
from zoo.names import sources
from zoo.release import install


@pytest.fixture
def included(tmp_path, monkeypatch):
    """A package that comes with a release called "small"."""
    monkeypatch.setattr(home, "INCLUDED", tmp_path / "included")
    return tiny_release(tmp_path / "included" / "small")


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in sorted(folder.rglob("*"))}


def test_it_is_found_by_name_without_being_copied(included, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    before = contents(included.parent)
    assert "small" in zoo.list_models(kind="ensemble")
    assert "small" not in zoo.list_models(kind="backbone")
    assert zoo.info("small").installed == str(included)
    assert zoo.info("small").image_size == 32
    assert sources.locate("small") == included
    assert sources.find("small").folder == included
    assert install.local("small") == included
    assert zoo.load("small").predict([]).shape == (0, 3)
    assert contents(included.parent) == before
    assert not (tmp_path / "home" / "releases").exists()


def test_an_installed_release_of_the_name_goes_first_and_a_pin_is_refused(included, tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    with pytest.raises(UsageError, match="comes with the package"):
        pins.add("small", pins.Pin("owner/repo", "a" * 40, "b" * 64))
    own = install.install(included, "small")
    assert sources.locate("small") == own != included
    assert zoo.info("small").installed == str(own)


def test_it_is_not_changed_in_place(included):
    before = contents(included)
    with pytest.raises(ReleaseError, match="comes with the package and is not changed"):
        install.copy(included, included)
    with pytest.raises(ReleaseError, match="zoo install small --as NAME"):
        install.carry(included, {"exports/x": included / "README.md"})
    assert contents(included) == before


def test_the_command_line_predicts_the_example_images_and_prints_a_table(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(home, "INCLUDED", tmp_path / "included")
    folder = tiny_release(tmp_path / "included" / "nih-lite")
    images = tmp_path / "included" / "images"
    images.mkdir()
    for name in ("b.jpg", "a.jpg"):
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)).save(images / name)
    assert [path.name for path in zoo.example_images()] == ["a.jpg", "b.jpg"]
    assert main(["predict", "--example"]) == 0
    lines = capsys.readouterr().out.splitlines()
    model = zoo.load(folder)
    values = model.predict(list(zoo.example_images()))
    assert lines[0].split() == ["a.jpg", "b.jpg"]
    rows = {line.split("  ")[0]: line for line in lines[1 : 1 + len(model.labels)]}
    assert sorted(rows) == sorted(model.labels)
    for label, row in zip(model.labels, values.T, strict=True):
        assert [float(cell) for cell in rows[label].replace(label, "").replace("*", "").split()] == [
            pytest.approx(value, abs=0.0051) for value in row
        ]
    assert main(["predict", "--example", "--out", str(tmp_path / "table.csv")]) == 0
    assert (tmp_path / "table.csv").read_text().count("\n") == 1 + 2 * len(model.labels)


def test_the_command_line_says_what_is_missing_or_too_much(tmp_path, capsys):
    for given, told in (
        ([], "give image files or folders, or --example"),
        (["a.jpg"], "--out FILE is missing"),
        (["a.jpg", "--example"], "give no others"),
    ):
        assert main(["predict", *given]) != 0
        assert told in capsys.readouterr().err
