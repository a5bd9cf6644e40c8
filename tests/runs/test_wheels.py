"""The data set of wheels for Kaggle, resolved by the real pip against a folder of made wheels instead of an index."""

import json
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest
from told import Told

from zoo._version import __version__
from zoo.cli import main
from zoo.core.errors import HubError, UsageError
from zoo.runs.wheels import read_freeze, write_wheels

pytestmark = pytest.mark.skipif(find_spec("pip") is None, reason="pip makes the data set")


def make_wheel(folder: Path, name: str, version: str, *requires: str, tag: str = "py3-none-any") -> Path:
    """A wheel with one empty module and these requirements."""
    module = name.replace("-", "_")
    extras = "Provides-Extra: dicom\n" if any("extra" in text for text in requires) else ""
    facts = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{extras}"
    facts += "".join(f"Requires-Dist: {text}\n" for text in requires)
    path = folder / f"{module}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as file:
        inside = f"{module}-{version}.dist-info"
        file.writestr(f"{module}_empty.py", "")
        file.writestr(f"{inside}/METADATA", facts)
        file.writestr(f"{inside}/WHEEL", f"Wheel-Version: 1.0\nGenerator: made\nRoot-Is-Purelib: true\nTag: {tag}\n")
        file.writestr(f"{inside}/RECORD", "")
    return path


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that stands for the package index, with our wheel and what it requires."""
    folder = tmp_path / "index"
    folder.mkdir()
    needs = ("keras>=3.14", "numpy>=1.26", "pydicom>=3; extra == 'dicom'", "old-python; python_version < '3.12'")
    make_wheel(folder, "xrayslam-zoo", __version__, *needs)
    make_wheel(folder, "keras", "3.15.1", "absl-py", "new-thing>=2", "ml_dtypes>=0.6")
    make_wheel(folder, "numpy", "9.0", "only-numpy-nine-needs-it")
    make_wheel(folder, "absl-py", "3.0")
    make_wheel(folder, "ml-dtypes", "0.6.0", tag="cp312-cp312-manylinux_2_27_x86_64")
    for name in ("only-numpy-nine-needs-it", "old-python", "pydicom"):
        make_wheel(folder, name, "3.0")
    make_wheel(folder, "new-thing", "2.5")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


@pytest.fixture
def there(tmp_path):
    """What a made Kaggle has: keras and ml-dtypes are too old, the others fit."""
    path = tmp_path / "freeze.txt"
    path.write_text("# made\nkeras==3.13.2\nnumpy==2.0.2\nabsl_py==1.4.0\nml_dtypes==0.5.4\n")
    return path


def names(folder: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.glob("*.whl")}


def test_what_kaggle_has_in_a_fitting_version_is_left_out_with_all_that_only_it_would_need(index, there, tmp_path):
    told = Told()
    done = write_wheels(tmp_path / "set", told, installed=there, owner="somebody")
    wanted = {"xrayslam-zoo": __version__, "keras": "3.15.1", "new-thing": "2.5", "ml-dtypes": "0.6.0"}
    assert dict(done.wheels) == wanted
    assert dict(done.left_out) == {"numpy": "2.0.2", "absl-py": "1.4.0"}
    assert dict(done.replaced) == {"keras": "3.13.2", "ml-dtypes": "0.5.4"}
    assert names(tmp_path / "set") == {"xrayslam_zoo", "keras", "new_thing", "ml_dtypes"}
    facts = json.loads((tmp_path / "set" / "dataset-metadata.json").read_text())
    slug = f"xrayslam-zoo-{__version__.replace('.', '-')}-wheels"
    assert facts == {
        "title": f"xrayslam-zoo {__version__} wheels",
        "id": f"somebody/{slug}",
        "licenses": [{"name": "other"}],
    }
    assert 6 <= len(facts["title"]) <= 50


def test_a_data_set_installs_without_an_index(index, there, tmp_path, monkeypatch):
    write_wheels(tmp_path / "set", Told(), installed=there, wheel=next(index.glob("xrayslam*")))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "set"))
    line = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path / "site")]
    subprocess.run([*line, "xrayslam-zoo", "keras", "new-thing"], check=True)
    assert (tmp_path / "site" / "keras_empty.py").is_file()


def test_extras_and_another_python(index, there, tmp_path):
    done = write_wheels(tmp_path / "set", Told(), installed=there, extras=["dicom"])
    assert done.wheels["pydicom"] == "3.0"
    (index / "ml_dtypes-0.6.0-cp312-cp312-manylinux_2_27_x86_64.whl").unlink()
    make_wheel(index, "ml-dtypes", "0.6.0", tag="cp311-cp311-manylinux_2_17_x86_64")
    assert write_wheels(tmp_path / "set", Told(), installed=there, python="3.11").wheels["old-python"] == "3.0"
    with pytest.raises(HubError, match=r"pip install failed.*ml.dtypes.*--wheel"):
        write_wheels(tmp_path / "other", Told(), installed=there)
    assert not (tmp_path / "other").exists()


def test_what_only_another_python_needs_is_not_forgotten(index, there, tmp_path):
    """pip reads the markers of requirements for the Python that runs it, not for Kaggle's."""
    make_wheel(index, "keras", "3.15.2", "for-old; python_version < '3.9'")
    make_wheel(index, "for-old", "1.0")
    with pytest.raises(HubError, match=r"did not look for for-old: run this command on Python 3\.8"):
        write_wheels(tmp_path / "set", Told(), installed=there, python="3.8")


def test_the_weights_that_a_recipe_starts_from(index, there, tmp_path, monkeypatch, zoo_home):
    from zoo.models.architectures import ARCHITECTURES
    from zoo.models.weights import pretrained

    held = zoo_home / "pretrained"
    held.mkdir(parents=True)
    files = [ARCHITECTURES[name].imagenet_url.rpartition("/")[2] for name in ("efficientnetb3", "densenet121")]
    for name in files:
        (held / name).write_bytes(name.encode())
    published = {arch.imagenet_url.rpartition("/")[2]: arch.imagenet_hash for arch in ARCHITECTURES.values()}
    monkeypatch.setattr(pretrained, "_hash", lambda path, architecture: published[path.name])
    told = Told()
    done = write_wheels(tmp_path / "set", told, installed=there, recipes=["xrayslam"])
    assert done.weights == tuple(f"pretrained/{name}" for name in files)
    assert [(tmp_path / "set" / path).read_bytes().decode() for path in done.weights] == files


def test_the_command_prints_each_wheel_and_how_to_upload(index, there, tmp_path, capsys):
    assert main(["kaggle", "wheels", str(tmp_path / "set"), "--installed", str(there)]) == 0
    shown = capsys.readouterr().out
    assert "keras 3.15.1   (there: 3.13.2)" in shown
    assert "left out: absl-py 1.4.0, numpy 2.0.2" in shown or "left out: numpy 2.0.2, absl-py 1.4.0" in shown
    assert f"kaggle datasets create -p {tmp_path / 'set'} --dir-mode tar" in shown


def test_a_folder_of_other_files_is_not_replaced(index, there, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        write_wheels(tmp_path / "mine", Told(), installed=there)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_bad_arguments(index, there, tmp_path):
    with pytest.raises(UsageError, match=r"expected a version such as 3\.12, got '3'"):
        write_wheels(tmp_path / "set", Told(), python="3")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    with pytest.raises(UsageError, match="as pip freeze prints them, found none"):
        write_wheels(tmp_path / "set", Told(), installed=tmp_path / "empty.txt")


def test_the_list_of_what_kaggle_has_can_be_read():
    import zoo.runs.wheels as module

    has = read_freeze(Path(module.__file__).with_name("kaggle_packages.txt"))
    assert {"tensorflow", "keras", "numpy", "pandas", "scikit-learn", "matplotlib"} <= set(has)
