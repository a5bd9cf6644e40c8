"""Names, and what is known of them without weights."""

import subprocess
import sys

import pytest
from builders import tiny_release, tiny_spec

import zoo
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.core.errors import UnknownNameError
from zoo.hub import pins
from zoo.names import catalog_table, registry
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


def test_the_catalog_fits_a_terminal_and_gives_the_aucs_that_somebody_published():
    rows = {row.name: row for row in catalog_table.rows()}
    shown = catalog_table.text(width=100)
    assert max(map(len, shown.splitlines())) <= 100
    assert [block.split("\n")[0] for block in shown.split("\n\n")] == [*rows]
    assert rows["xrv-densenet121-all"].auc.startswith(
        "0.852 on PadChest, 15 findings (its authors, BENCHMARKS.md, 2021);"
    )
    assert "0.709 on CheXpert, not trained on, 9 findings" in rows["xrv-resnet50-all"].auc
    assert rows["chexnet-jrzech"].auc.startswith("0.838 on NIH ChestX-ray14")
    assert rows["xrv-densenet121-nih"].auc == rows["medmae-densenet121-nih"].auc == "not known"
