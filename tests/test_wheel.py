"""The wheel as a user gets it: recipes and cards inside, no backend among its requirements."""

import os
import subprocess
import sys
import venv
import zipfile
from email.parser import Parser
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `make` built, or one built now."""
    built = sorted((ROOT / "build" / "wheel").glob("*.whl"))
    if built:
        return built[0]
    pytest.importorskip(
        "hatchling", reason="make test builds the wheel; without it and without hatchling there is none"
    )
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=ROOT, check=True)
    return next(out.glob("*.whl"))


def test_recipes_and_cards_are_inside(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    shipped = (
        "recipes/xrayslam.py",
        "recipes/xrayslam_demo.py",
        "recipes/nih_lite.py",
        "included/NOTICE",
        "included/images/SOURCE.md",
        "included/nih-lite/manifest.json",
        "included/nih-lite/efficientnetlite0.safetensors",
        "cli/__init__.py",
    )
    cards = (
        "hub_cards/template.md",
        "hub_cards/nih-lite.toml",
        "hub_cards/xrayslam-demo.toml",
        "hub_cards/xrayslam-ensemble.toml",
    )
    report = ("report/templates/report.html.jinja", "report/templates/report.css")
    for name in (*shipped, *cards, *report):
        assert f"zoo/{name}" in names
    assert not [n for n in names if n.startswith(("tests/", "recipes/")) or n.endswith((".h5", ".csv"))]


def test_type_checkers_are_told_that_the_package_is_typed(wheel):
    assert "zoo/py.typed" in zipfile.ZipFile(wheel).namelist()


def test_no_backend_is_required(wheel):
    """A Kaggle kernel's own GPU TensorFlow must stay as it is."""
    archive = zipfile.ZipFile(wheel)
    meta = Parser().parsestr(archive.read(next(n for n in archive.namelist() if n.endswith("METADATA"))).decode())
    core = [r for r in meta.get_all("Requires-Dist") if "extra ==" not in r]
    assert core
    assert not [r for r in core if r.lower().startswith(("tensorflow", "jax", "torch", "keras-cv", "keras_cv"))]
    assert {"cpu", "tensorflow", "jax", "torch", "train", "report", "dicom", "serve", "parquet", "dev"} <= set(
        meta.get_all("Provides-Extra")
    )


def new_environment(wheel, folder):
    """An environment with the wheel in it; returns its site-packages and its Python."""
    venv.create(folder, with_pip=False)
    site = next((folder / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    # What the wheel requires is taken from this environment, after the new one's own packages.
    (site / "requirements.pth").write_text(str(Path(find_spec("numpy").origin).parents[1]))
    return site, folder / "bin" / "python"


#: `zoo predict --example` without a network.
OFFLINE = """
import socket, sys

def refuse(*_):
    raise AssertionError("the network was asked")

socket.socket.connect = refuse
from zoo.cli import main
sys.exit(main(["predict", "--example"]))
"""


def test_the_included_model_predicts_the_example_images_without_a_network_or_a_writable_package(wheel, tmp_path):
    site, python = new_environment(wheel, tmp_path / "env")
    included = site / "zoo" / "included"
    for place in (included, *included.rglob("*")):
        place.chmod(0o555 if place.is_dir() else 0o444)
    before = {p: p.stat().st_mtime_ns for p in included.rglob("*")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment = {**kept, "ZOO_HOME": str(tmp_path / "home"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([python, "-c", OFFLINE], cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["00018832_000.jpg", "00021908_000.jpg", "00026050_000.jpg"]
    assert sum("not trained" in line for line in lines) == 6
    assert before == {p: p.stat().st_mtime_ns for p in included.rglob("*")}
    assert not (tmp_path / "home" / "releases").exists()
    for place in (included, *included.rglob("*")):
        place.chmod(0o755 if place.is_dir() else 0o644)


def test_a_recipe_trains_by_name_from_another_folder(wheel, tmp_path):
    pytest.importorskip("tensorflow", reason="training reads its images through tf.data")
    from zoo.data.phantoms.drawing import make_phantoms

    environment = tmp_path / "env"
    _, python = new_environment(wheel, environment)
    make_phantoms(tmp_path / "films", 80, seed=1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = subprocess.run(
        [python, "-c", "import zoo; print(zoo.__file__)"], cwd=elsewhere, capture_output=True, text=True
    )
    assert str(environment) in where.stdout
    done = subprocess.run(
        [python, "-m", "zoo.cli", "train", "xrayslam", "--data", tmp_path / "films", "--set", "ensemble.image_size=32",
         "--set", 'ensemble.members=[{"backbone": "tiny"}]', "--set", "stages.0.epochs=1", "--set", "stages.1.epochs=1",
         "--set", "stages.0.batch_size=8", "--set", "stages.1.batch_size=8", "--set", "stages.1.unfreeze_top=4"],
        cwd=elsewhere, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "runs" / "xrayslam" / "release" / "manifest.json").is_file()
