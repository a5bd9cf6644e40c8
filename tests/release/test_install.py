"""A release or an installed model is the old one or the new one, wherever its writing was killed."""

import os
import subprocess
import sys

import pytest
from builders import tiny_release

from zoo.core import home
from zoo.names import sources
from zoo.release import install
from zoo.release.read import read_release

#: Installs the release of argv[1] as "m" and kills itself between the two renames of a system without `renameat2`.
KILLED = """
import os, sys
from pathlib import Path
from zoo.core import exchange
from zoo.release import install

exchange._exchange = lambda one, other: False
rename = Path.rename

def dies(path, target):
    if path.name == "ready":
        os.kill(os.getpid(), 9)
    return rename(path, target)

Path.rename = dies
install.copy(sys.argv[1], Path(sys.argv[2]))
"""


@pytest.fixture
def killed(tmp_path, monkeypatch):
    """The folder of the installed model "m", and the hash of the manifest of the release that was to replace it."""
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    old, new = (tiny_release(tmp_path / f"r{seed}", members=1, seed=seed) for seed in (1, 2))
    place = install.install(old, "m")
    done = subprocess.run([sys.executable, "-c", KILLED, str(new), str(place)], capture_output=True, check=False)
    assert done.returncode == -9, done.stderr
    assert not place.exists()
    return place, read_release(new).manifest_sha256


@pytest.mark.parametrize(
    "read",
    [
        lambda place: read_release(install.find("m")),
        lambda place: read_release(install.local("m")),
        lambda place: read_release(install.local(place)),
        lambda place: read_release(place),
        lambda place: read_release(sources.locate("m")),
        lambda place: read_release(sources.locate(place)),
    ],
)
def test_whoever_reads_it_finds_the_new_one_and_nothing_else(killed, read):
    place, new = killed
    assert read(place).manifest_sha256 == new
    assert os.listdir(place.parent) == ["m"]  # noqa: PTH208


def test_it_is_listed(killed):
    assert home.installed() == ["m"]


def test_it_can_be_installed_again(killed, tmp_path):
    place, _ = killed
    install.install(tmp_path / "r1", "m")
    assert read_release(place).manifest_sha256 == read_release(tmp_path / "r1").manifest_sha256
    assert os.listdir(place.parent) == ["m"]  # noqa: PTH208
