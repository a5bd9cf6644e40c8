"""`zoo train --replace` moves an earlier run away and loses nothing of it."""

import contextlib

from zoo.core.progress import Silent
from zoo.runs.restart import move_away


class Said(Silent):
    def __init__(self):
        self.lines = []

    def message(self, text):
        self.lines.append(text)


def begun(run):
    (run / "checkpoint" / "1").mkdir(parents=True)
    (run / "recipe.json").write_text("{}")
    (run / "metrics.json").write_text("kept")
    (run / "cache").mkdir()
    (run / "cache" / "0.npy").write_bytes(b"pixels")
    return run


def test_the_run_is_moved_beside_its_folder_and_decoded_images_stay(tmp_path):
    run, said = begun(tmp_path / "demo"), Said()
    away = move_away(run, said)
    assert away == tmp_path / "demo.1"
    assert (away / "metrics.json").read_text() == "kept"
    assert [path.name for path in run.iterdir()] == ["cache"]
    assert (run / "cache" / "0.npy").read_bytes() == b"pixels"
    assert said.lines == [f"--replace: the earlier run was moved to {away} (delete it if nobody needs it); cache stays"]
    assert move_away(begun_again(run), Said()) == tmp_path / "demo.2"


def begun_again(run):
    (run / "split.json").write_text("{}")
    return run


def test_a_relative_folder_and_the_current_one(tmp_path):
    run = begun(tmp_path / "demo")
    with contextlib.chdir(run.parent):
        assert move_away(run.relative_to(tmp_path), Said()) == tmp_path / "demo.1"


def test_without_an_earlier_run_nothing_is_moved(tmp_path):
    (tmp_path / "own.txt").write_text("mine")
    said = Said()
    assert move_away(tmp_path, said) is None
    assert (tmp_path / "own.txt").read_text() == "mine"
    assert said.lines == [f"--replace: there is no earlier run in {tmp_path}"]
