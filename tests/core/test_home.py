"""Where the zoo stores things."""

from pathlib import Path

from zoo.core.home import home


def test_a_relative_home_is_taken_from_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZOO_HOME", "stored/zoo")
    assert home() == tmp_path / "stored" / "zoo"


def test_a_tilde_is_the_home_of_the_user(monkeypatch):
    monkeypatch.setenv("ZOO_HOME", "~/models")
    assert home() == Path.home() / "models"
