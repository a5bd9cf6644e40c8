"""What a name means on this machine; what it means on a Hub is told in `tests/hub`."""

from pathlib import Path

import pytest
from builders import tiny_release

from zoo.core.errors import HubError, UnknownNameError, UsageError, UsageTypeError
from zoo.hub import pins
from zoo.hub.reference import Reference
from zoo.names import sources
from zoo.release import install


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.mark.parametrize(
    "text",
    [
        "./release", "../release", "/data/release", "~/release", "./a/b", "a/b/c", "release/", "runs/my run",
        ".\\release", "C:\\data\\release", "C:/release", "runs/a--b",
    ],
)  # fmt: skip
def test_a_path_is_a_folder(text):
    assert sources.locate(text) == Path(text).expanduser()
    assert sources.locate(Path(text)) == Path(text).expanduser()


def test_a_path_object_is_always_a_folder():
    assert sources.locate(Path("owner/repo")) == Path("owner/repo")
    assert sources.locate(Path("densenet121")) == Path("densenet121")


@pytest.mark.parametrize("text", ["owner/repo", "runs/xrayslam", "owner/repo@v1"])
def test_what_may_be_a_folder_or_a_repository_must_be_written_out(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with pytest.raises(ValueError) as caught:
            sources.find(text)
        assert f"'./{text}'" in str(caught.value)
        assert f"'hf://{text}'" in str(caught.value)
        # A folder that is there decides nothing: the same string would mean another thing elsewhere.
        Path(text).mkdir(parents=True, exist_ok=True)


def test_a_reference_is_read_before_anything_is_asked():
    assert sources.locate("hf://owner/repo@v1") == Reference("owner/repo", "v1")
    with pytest.raises(HubError, match="'hf://owner/repo'"):
        sources.find("https://hub.example.org/owner/repo")
    with pytest.raises(HubError, match="a branch, a tag or a commit"):
        sources.find("hf://owner/repo@../../x")


def test_a_plain_name_is_installed_or_pinned(folder):
    with pytest.raises(UnknownNameError, match=r"xrayslam-demo.*hf://owner/repo"):
        sources.find("mine")
    pin = pins.Pin("owner/repo", "a" * 40, "b" * 64)
    pins.add("mine", pin)
    assert sources.locate("mine") == pin
    installed = install.install(folder, "mine")
    assert sources.locate("mine") == installed
    assert sources.find("mine", ["tiny1"]).folder == installed


def test_a_catalog_name_may_be_given_by_its_variable(folder, monkeypatch):
    monkeypatch.setenv("ZOO_XRAYSLAM_DEMO", "hf://owner/repo@v1")
    assert sources.locate("xrayslam-demo") == Reference("owner/repo", "v1")
    monkeypatch.setenv("ZOO_XRAYSLAM_DEMO", str(folder))
    assert sources.find("xrayslam-demo").folder == folder
    monkeypatch.setenv("ZOO_XRAYSLAM_DEMO", "")
    with pytest.raises(FileNotFoundError, match="ZOO_XRAYSLAM_DEMO"):
        sources.find("xrayslam-demo")


def test_a_folder_here_of_that_name_is_not_taken_for_it(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ValueError, match=r"write '\./tiny'"):
        sources.find("tiny")
    assert sources.find("./tiny").spec.name == "tiny-ensemble"


def test_only_the_weights_that_are_asked_for_need_be_there(folder, tmp_path):
    copy = install.copy(folder, tmp_path / "copy")
    (copy / "tiny1.safetensors").unlink()
    assert sources.find(copy, ["tiny0"]).folder == copy
    with pytest.raises(UnknownNameError, match="tiny0"):
        sources.find(copy, ["tinyO"])


def test_looking_and_verifying_take_the_same_names(folder):
    install.install(folder, "mine")
    assert sources.inspect("mine").name == sources.inspect(folder).name == "tiny-ensemble"
    assert all(check.ok for check in sources.verify("mine"))


def test_a_name_that_is_none_is_refused_in_one_line():
    for name, kind in ((None, "NoneType"), (3, "int"), (b"./x", "bytes")):
        with pytest.raises(UsageTypeError, match=f"a model is a name, a folder or .*, got a {kind}"):
            sources.find(name)
    for blank in ("", "  "):
        with pytest.raises(UsageError, match="blank"):
            sources.find(blank)
