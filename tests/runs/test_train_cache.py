"""Which images a run reads from where: files or a cache, without a difference in what is trained."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from told import Told

pytest.importorskip("tensorflow", reason="training reads its images through tf.data")

from zoo.cli import main
from zoo.core.errors import CacheError
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import make_phantoms
from zoo.runs import training_data
from zoo.training import feeding
from zoo.training.recipe import load_recipe

RECIPE = Path(__file__).parents[1] / "tiny_recipe.py"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(folder, 40, size=64, seed=3, n_test=0)
    return folder


def readable(data: Path, run: Path, cache: str, told: Told | None = None, given: Path | None = None):
    run.mkdir(exist_ok=True)
    recipe = dataclasses.replace(load_recipe(RECIPE), cache=cache)
    told = told or Told()
    table, root = training_data.labelled_table(recipe, data, None, told)
    return training_data.readable_table(recipe, table, root, run, told, given)


def no_room(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10, 10, 0))


@pytest.fixture
def without(data, tmp_path):
    """Table and list of a run that decodes each image anew."""
    table, read, _ = readable(data, tmp_path / "without", "never")
    assert read is read_image
    return table, (tmp_path / "without" / "skipped.csv").read_text()


def test_the_pass_that_fills_the_cache_is_the_check_of_the_films(data, tmp_path, without):
    run, told = tmp_path / "run", Told()
    for tasks in (["checking the cache", "decoding 40 of 40 images to 32 px"], ["checking the cache"]):
        table, read, _ = readable(data, run, "always", told)
        assert [title for title, _ in told.tasks] == tasks
        told.tasks.clear()
        pd.testing.assert_frame_equal(table, without[0])
        assert (run / "skipped.csv").read_text() == without[1]
        assert "skipped 3 of 40 images" in told.messages[-1]
    assert not (run / "scan.json").exists()
    assert len(list((run / "cache").glob("*.tfrecord"))) == 1
    for path in table["Image_path"]:
        np.testing.assert_array_equal(read(path, 32, 1), read_image(path, 32))


def test_on_a_cpu_auto_reads_the_files(data, tmp_path):
    told = Told()
    _, read, _ = readable(data, tmp_path / "run", "auto", told)
    assert read is read_image
    assert not (tmp_path / "run" / "cache").exists()
    assert [title for title, _ in told.tasks] == ["reading 40 images"]


@pytest.mark.parametrize("starves", [True, False])
def test_auto_makes_a_cache_where_input_would_starve(data, tmp_path, monkeypatch, starves):
    monkeypatch.setattr(feeding, "starves", lambda recipe, paths, progress: starves and len(paths) == 40)
    _, read, _ = readable(data, tmp_path / "run", "auto")
    assert (read is not read_image) == (tmp_path / "run" / "cache").exists() == starves


def test_auto_uses_the_cache_that_is_there_and_never_does_not(data, tmp_path):
    readable(data, tmp_path / "run", "always")
    assert readable(data, tmp_path / "run", "auto")[1] is not read_image
    assert readable(data, tmp_path / "run", "never")[1] is read_image


def test_a_folder_of_ones_own_is_used_whatever_the_recipe_says(data, tmp_path):
    for recipe in ("never", "auto"):
        _, read, _ = readable(data, tmp_path / "run", recipe, given=tmp_path / "mine")
        assert read is not read_image
    assert not (tmp_path / "run" / "cache").exists()


def test_without_room_auto_goes_on_with_the_files_and_always_stops(data, tmp_path, monkeypatch, without):
    no_room(monkeypatch)
    monkeypatch.setattr(feeding, "starves", lambda *_: True)
    told = Told()
    table, read, _ = readable(data, tmp_path / "run", "auto", told)
    assert read is read_image
    pd.testing.assert_frame_equal(table, without[0])
    assert told.messages[0].startswith("continuing without a cache: ")
    assert "make room" in told.messages[0]
    with pytest.raises(CacheError, match="make room"):
        readable(data, tmp_path / "run", "always")


def test_the_command_fills_a_cache_and_lists_what_it_could_not_read(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["cache", str(data), "--size", "32"]) == 0
    out = f"runs/cache-{data.name}-32"
    said = capsys.readouterr().out
    assert said.startswith(f"37 images of 32 px in {out}: 0.0 MB, from ")
    assert said.endswith(f"Use it: zoo train RECIPE --data {data} --cache {out}\n")
    listed = pd.read_csv(tmp_path / out / "films-skipped.csv")
    assert list(listed.columns) == ["Image_name", "Reason"]
    assert len(listed) == 3
    before = (tmp_path / out / "films-00000.tfrecord").stat().st_mtime_ns
    readable(data, tmp_path / "run", "never", given=tmp_path / out)
    assert (tmp_path / out / "films-00000.tfrecord").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--size", "48", "--out", "there"], "there: holds images of 32 px, not of 48 px: give another folder"),
        (["--out", "{data}"], "and no cache: give a new or empty folder"),
        (["--size", "0"], "size must be 1 to 2048 pixels, got 0"),
        (["--dataset", "nih"], "Data_Entry"),
    ],
)
def test_the_commands_mistakes_are_told(data, tmp_path, monkeypatch, capsys, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert main(["cache", str(data), "--size", "32", "--out", "there"]) == 0
    assert main(["cache", str(data), *(a.format(data=data) for a in arguments)]) == 1
    error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("zoo cache: ")]
    assert len(error) == 1
    assert says in error[0]
