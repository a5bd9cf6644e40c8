"""Names, and what is known of them without weights."""

import subprocess
import sys

import pytest
from builders import tiny_release, tiny_spec

import zoo
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.core.errors import UnknownNameError
from zoo.hub import pins
from zoo.names import registry
from zoo.release import install


def test_patterns():
    assert zoo.list_models("*121*", "backbone") == ["densenet121"]
    assert {"xrv-densenet121-all", "ported-ensemble", "chexnet-jrzech"} <= set(zoo.list_models(kind="ensemble"))
    assert "xrayslam-ensemble" in zoo.list_models(kind="ensemble")
    assert {"resnet50", "efficientnetb3", "densenet121", "tiny"} <= set(zoo.list_models(kind="backbone"))
    assert zoo.list_models("no-such*") == []
    with pytest.raises(UnknownNameError, match="ensemble"):
        zoo.list_models(kind="ensembles")


def test_info_of_the_ensemble():
    info = zoo.info("xrayslam-ensemble")
    assert info.members == ("resnet50", "efficientnetb3", "densenet121")
    assert info.image_size == 224
    assert info.findings == zoo.FINDINGS
    assert info.parameters == sum(zoo.info(m).parameters for m in info.members)
    assert info.installed == ""


def test_an_unknown_name_teaches():
    with pytest.raises(UnknownNameError, match="densenet121"):
        zoo.info("densenet-121")


def test_names_and_info_need_no_keras():
    code = "import zoo, sys; zoo.list_models(); zoo.info('densenet121'); print('keras' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "False"


def test_an_installed_release_is_listed(tmp_path):
    folder = install.install(tiny_release(tmp_path / "r", members=1), "mine")
    assert "mine" in zoo.list_models()
    assert zoo.info("mine").installed == str(folder)
    assert zoo.info("mine").members == ("tiny0",)


def test_a_registered_ensemble_is_found_and_checked(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    spec = tiny_spec()
    zoo.register_ensemble(spec)
    zoo.register_ensemble(spec)
    assert zoo.info("tiny-ensemble").members == ("tiny0", "tiny1")
    with pytest.raises(ValueError, match="taken"):
        zoo.register_ensemble(tiny_spec(1))
    with pytest.raises(UnknownNameError, match="backbone"):
        zoo.register_ensemble(EnsembleSpec("new", (MemberSpec("resnet5000"),)))
    with pytest.raises(ValueError, match="taken"):
        zoo.register_ensemble(EnsembleSpec("xrayslam-demo", (MemberSpec("tiny"),)))


def test_a_pinned_name_is_listed_with_where_it_is():
    pins.add("mine", pins.Pin("owner/repo", "a" * 40, "b" * 64))
    assert "mine" in zoo.list_models("MI*", kind="ensemble")
    assert "mine" not in zoo.list_models(kind="backbone")
    assert (zoo.info("mine").repo, zoo.info("mine").revision) == ("owner/repo", "a" * 40)
    assert (zoo.info("mine").image_size, zoo.info("xrayslam-demo").image_size) == (None, 64)
