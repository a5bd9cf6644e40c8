"""A release whose model is made to do harm, under a manifest that agrees: cases 6, 9, 10, 18 and 19 of `hostile.py`."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import tiny_release
from hostile import Damage, Reading, all_of, check_refused, edit, put, read_all, replace

import zoo
from zoo.core.errors import ReleaseError
from zoo.names import sources
from zoo.release import manifest
from zoo.release.read import read_release

MEMBER = {"backbone": "tiny", "alias": "tiny0"}
MANIFEST, CONFIG, DECISION = manifest.MANIFEST, "config.json", "decision.json"


def spec(path: str, value: object) -> Damage:
    return put(CONFIG, f"ensemble/{path}", value)


def member(key: str, value: object) -> Damage:
    return spec(f"members/0/{key}", value)


def parameters(n: object) -> Damage:
    return put(MANIFEST, "parameters/tiny0", n)


#: Cases 6 and 19: nothing is built, and no weights are opened.
MODELS = {
    "a backbone nobody knows": (member("backbone", "resnet5O"), "unknown backbone 'resnet5O'; did you mean"),
    "a module as backbone": (member("backbone", "os:system"), "unknown backbone 'os:system'"),
    "a backbone of 3 MB": (member("backbone", "x" * 3_000_000), "unknown backbone 'xxx"),
    "an argument nobody knows": (member("units", 4_000_000_000), "unknown field 'units'"),
    "a class to make": (spec("class_name", "Lambda"), "unknown field 'class_name'"),
    "a head that is a list": (member("head", ["gap"]), "members.0.head: expected str"),
    "an alias that is a path": (member("alias", "../tiny0"), "a member's name has letters"),
    "an alias that Windows keeps": (
        all_of(member("alias", "NUL"), edit(MANIFEST, lambda d: d["files"].update({"NUL.safetensors": {}}))),
        "'NUL.safetensors' is not a path inside the release",
    ),
    "a dropout without end": (replace(CONFIG, "0.3", "9" * 400), "400 digits"),
    "a dropout of infinity": (replace(CONFIG, "0.3", "1e999"), "1e999 is too large a number"),
    "a dropout that is a text": (member("dropout", "0.3"), "members.0.dropout: expected float, got '0.3'"),
    "images of a million pixels a side": (spec("image_size", 10**6), "image_size must be 8 to 2048, got 1000000"),
    "images of no pixel": (spec("image_size", 0), "image_size must be 8 to 2048, got 0"),
    "images of half a pixel": (spec("image_size", 32.5), "image_size: expected int, got 32.5"),
    "images of true pixels": (spec("image_size", True), "image_size: expected int, got True"),
    "images of a text of 3 MB": (spec("image_size", "x" * 3_000_000), "image_size: expected int, got 'xxx"),
    "no member": (spec("members", []), "1 to 32 members, got 0"),
    "10,000 members": (
        spec("members", [{**MEMBER, "alias": f"m{i}"} for i in range(10_000)]),
        "1 to 32 members, got 10000",
    ),
    "one member twice": (spec("members", [MEMBER, MEMBER]), "members need different names"),
    "30,000 findings": (spec("findings", [str(i) for i in range(30_000)]), "findings must be 1 to 1024 different"),
    "weights of members below 0": (spec("weighting", [2.0, -1.0]), "weighting must be 2 numbers >= 0"),
    "no ensemble": (edit(CONFIG, lambda d: d.pop("ensemble")), "ensemble: field 'name' is missing"),
    "a list as ensemble": (put(CONFIG, "ensemble", []), "ensemble: expected an object, got list"),
    "a config of the future": (
        all_of(put(CONFIG, "format_version", 7), put(CONFIG, "zoo", "9.8.7")),
        "format 7 is newer than 1: it needs xrayslam-zoo >= 9.8.7",
    ),
    "other labels": (put("labels.json", "findings", ["Edema", "Atelectasis", "No Finding"]), "or the order of them"),
    "4e9 parameters": (parameters(4_000_000_000), "parameters of 'tiny0' must be"),
    "parameters that are a text": (parameters("x" * 500_000), "parameters of 'tiny0' must be"),
    "no parameters": (edit(MANIFEST, lambda d: d["parameters"].pop("tiny1")), "parameters of 'tiny1' must be"),
    "fewer parameters than the backbone": (
        member("backbone", "densenet121"),
        "parameters of 'tiny0' must be 7,037,504 to 1,000,000,000, got 33459",
    ),
}

POINT = "ensemble/operating_points/max_f1"

#: Case 9, and of 18 what is for the decisions of members.
DECISIONS = {
    "a threshold too few": (put(DECISION, f"{POINT}/thresholds", [0.3, 0.3]), "must have 3 thresholds, got 2"),
    "a threshold too many": (put(DECISION, f"{POINT}/thresholds", [0.3] * 4), "must have 3 thresholds, got 4"),
    "a threshold of NaN": (replace(DECISION, "0.3", "NaN"), "NaN is not a JSON number"),
    "a threshold of infinity": (replace(DECISION, "0.3", "1e999"), "1e999 is too large a number"),
    "a threshold below 0": (put(DECISION, f"{POINT}/thresholds/0", -0.01), "must be in 0..1 or null, got -0.01"),
    "a threshold above 1": (put(DECISION, f"{POINT}/thresholds/1", 1.01), "must be in 0..1 or null, got 1.01"),
    "a threshold that is a text": (put(DECISION, f"{POINT}/thresholds/0", "0.3"), "expected float, got '0.3'"),
    "a threshold that is true": (put(DECISION, f"{POINT}/thresholds/0", True), "expected float, got True"),
    "a label missing": (
        all_of(
            put(DECISION, "ensemble/findings", ["Atelectasis", "Edema"]),
            put(DECISION, f"{POINT}/thresholds", [0.3, 0.3]),
            put(DECISION, "ensemble/trained", [True, True]),
        ),
        "its findings are not the model's",
    ),
    "a label of another model": (put(DECISION, "ensemble/findings/1", "Oedema"), "its findings are not the model's"),
    "labels in another order": (
        put(DECISION, "ensemble/findings", ["Edema", "Atelectasis", "No Finding"]),
        "or in another order",
    ),
    "a member's labels in another order": (
        put(DECISION, "members/tiny0/findings", ["Edema", "Atelectasis", "No Finding"]),
        "or in another order",
    ),
    "a member's decision that is a list": (put(DECISION, "members", []), "members must be an object, got list"),
    "a temperature of 0": (put(DECISION, "ensemble/temperature", [0.0]), "finite numbers > 0"),
    "a name that moves the cursor": (
        edit(DECISION, lambda d: d["ensemble"]["operating_points"].update({"\n\x1b[2J": {"thresholds": 1}})),
        "decision.operating_points.??[2J",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return Path(shutil.copytree(folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def readings(folder, tmp_path_factory) -> dict[str, Reading]:
    damages = {f"model: {name}": damage for name, (damage, _) in MODELS.items()}
    damages |= {f"decision: {name}": damage for name, (damage, _) in DECISIONS.items()}
    return read_all(folder, damages, tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", MODELS)
def test_a_monstrous_model_is_refused_before_anything_is_built(readings, name):
    found = readings[f"model: {name}"]
    check_refused(found, MODELS[name][1])


@pytest.mark.parametrize("name", DECISIONS)
def test_a_decision_that_does_not_fit_is_refused(readings, name):
    check_refused(readings[f"decision: {name}"], DECISIONS[name][1])


@pytest.mark.parametrize("name", ["image", "logits"])
def test_a_name_that_the_network_needs_for_itself(copy, name):
    (copy / "tiny0.safetensors").rename(copy / f"{name}.safetensors")
    member("alias", name)(copy)
    edit(MANIFEST, lambda d: d["parameters"].update({name: d["parameters"].pop("tiny0")}))(copy)
    with pytest.raises(ReleaseError, match=rf"a member's name has letters.*got '{name}'"):
        zoo.load(copy)


def test_a_name_that_no_network_may_have(copy):
    spec("name", "a/b")(copy)
    with pytest.raises(ReleaseError, match=r"an ensemble's name has letters.*got 'a/b'"):
        zoo.load(copy)


def test_a_card_is_never_used_for_behaviour(folder, copy):
    read = read_release(folder)
    for card in (
        "---\nmodel-index: [\n---\n",
        "---\nlibrary_name: transformers\nbackbone: resnet50\nimage_size: 1000000\nthresholds: [0, 0]\n---\n# evil\n",
        "---\na: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n---\n",
        "# No front matter\n" + "x" * 10**6,
        "\x00\x1b[2J",
    ):
        (copy / "README.md").write_text(card)
        assert dataclasses.replace(sources.find(copy), folder=folder) == read
        assert sources.inspect(copy).problems == sources.inspect(folder).problems
    films = np.random.default_rng(0).integers(0, 256, (2, 40, 40), dtype=np.uint8)
    np.testing.assert_array_equal(zoo.load(copy).predict(films), zoo.load(folder).predict(films))
