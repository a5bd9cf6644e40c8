"""The published JSON Schemas, the types and the readers agree on what a release may hold."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from builders import FINDINGS3, tiny_release
from exported import CHECK
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError

from zoo.config import specs
from zoo.core.errors import UnknownNameError
from zoo.evaluation.decision import Decision
from zoo.evaluation.report import evaluate
from zoo.evaluation.result import from_json, to_json
from zoo.evaluation.scores import Scores
from zoo.export import exporting
from zoo.release import golden, layout, manifest, schema
from zoo.release.build import build_model
from zoo.release.export_facts import ExportFacts
from zoo.release.read import read_release


def pattern(validator, wanted, instance, document):
    """By ECMA-262, in which "$" is the very end; Python would also accept a final line break."""
    if isinstance(instance, str) and not re.search(re.sub(r"\$$", r"\\Z", wanted), instance):
        yield ValidationError(f"{instance!r} does not match {wanted}")


VALIDATOR = validators.extend(Draft202012Validator, {"pattern": pattern})


def by_schema(name, data):
    """What another language's validator says, with the published schema alone."""
    return [error.message for error in VALIDATOR(schema.load(name)).iter_errors(data)]


def problems_of(name, data):
    """What the type says; the published schema agrees whether there is any."""
    said = schema.validate(name, data)
    assert bool(said) == bool(by_schema(name, data))
    return said


def scores(seed, kind="logits", split="test"):
    """Of 80 images of 40 patients; the last finding has no positives, so that its metrics are undefined."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((80, 3)) < (0.4, 0.3, 0.0)).astype(np.float32)
    labels[::9, 1] = np.nan
    logits = rng.normal(0, 1, labels.shape) + np.nan_to_num(labels)
    return Scores(logits, labels, FINDINGS3, split, "0" * 64, patients=np.arange(80) // 2, kind=kind)


@pytest.fixture(scope="module")
def metrics():
    model, other = scores(0), scores(0, kind="scores")
    return to_json(evaluate({"tiny-ensemble": model, "baseline": other}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory, metrics):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny", metrics=from_json(metrics))


@pytest.fixture(scope="module")
def model(folder):
    return build_model(read_release(folder))


@pytest.mark.parametrize("name", schema.NAMES)
def test_a_release_as_written_is_valid(folder, name):
    assert problems_of(name, manifest.read_json(folder / f"{name}.json")) == []


@pytest.mark.parametrize("name", schema.NAMES)
def test_the_schemas_are_schemas(name):
    document = schema.load(name)
    Draft202012Validator.check_schema(document)
    assert document["$schema"].endswith("2020-12/schema")
    assert document["$id"].endswith(f":{specs.FORMAT_VERSION}:{name}")
    assert document["title"].startswith(f"{name}.json")


def test_the_schema_of_an_export(folder):
    """The facts as an export writes them are valid; a field that nobody knows, or another limit, is not."""
    Draft202012Validator.check_schema(schema.load(schema.EXPORT))
    known = exporting.describe(read_release(folder), "openvino", "int8", None, None, calibrated=False)
    files = {"model.xml": manifest.Listed(1, "0" * 64)}
    facts = ExportFacts(**vars(known), check=CHECK, files=files).to_json()
    assert problems_of(schema.EXPORT, facts) == []
    images = {"films": 9, "part": "test", "split_hash": ""}
    figure = {"value": 0.001, "low": None, "high": None, "n": 9}
    acceptance = {
        "calibration": images,
        "compared": images,
        "limits": {"auc_loss": 0.002, "decisions_kept": 0.99},
        "runs": {"float32": {"auc_loss": figure, "decisions_kept": figure}},
    }
    assert problems_of(schema.EXPORT, {**facts, "acceptance": acceptance}) == []
    acceptance["limits"]["auc_loss"] = 0.5
    for wrong in ({"acceptance": acceptance}, {"note": ""}, {"input": {**facts["input"], "shape": ["m", 0]}}):
        assert problems_of(schema.EXPORT, {**facts, **wrong})


def test_no_other_schema():
    with pytest.raises(UnknownNameError, match=r"'metrics'"):
        schema.validate("metric", {})


def test_limits_are_those_of_the_readers():
    config = schema.load("config")["$defs"]["ensemble"]["properties"]
    assert config["image_size"]["maximum"] == specs.MAX_IMAGE_SIZE
    assert config["members"]["maxItems"] == config["weighting"]["anyOf"][1]["maxItems"] == specs.MAX_MEMBERS
    labels = schema.load("labels")["properties"]["findings"]
    decision = schema.load("decision")["$defs"]["decision"]["properties"]
    for findings in (config["findings"], labels, decision["findings"]):
        assert findings["maxItems"] == specs.MAX_FINDINGS
    assert schema.load("parity")["properties"]["tolerance"]["maximum"] == layout.LIMIT


def test_metrics_of_every_kind_are_valid():
    tuned = Decision(FINDINGS3, (1.3,))
    for first in ("logits", "scores"):
        result = evaluate({"a": scores(1, first), "b": scores(1)}, {"a": tuned} if first == "logits" else None)
        assert result.findings["No Finding"].auc.value is None
        assert problems_of("metrics", to_json(result)) == []
    assert problems_of("metrics", {}) == []


def test_metrics_with_all_blocks_are_valid():
    golden_file = Path(__file__).parents[1] / "evaluation" / "golden" / "metrics.json"
    data = manifest.read_json(golden_file)
    assert {"subgroups", "coherence", "comparison", "readers", "leakage"} & data.keys()
    assert problems_of("metrics", data) == []


def test_metrics_stay_open_for_further_blocks(metrics):
    assert problems_of("metrics", {**metrics, "fairness": {"sex": {"F": {"auc": "any form"}}}}) == []
    subgroups = {"sex": {"F": {"auc": "any form"}}}
    assert problems_of("metrics", {**metrics, "subgroups": subgroups}) == [
        "metrics.json: subgroups: 'point' is missing"
    ]


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("decision", {"ensemble": {"findings": ["a"], "temperature": [-1]}}, "ensemble.temperature.0: -1.0 is not > 0"),
        ("labels", {"findings": ["a", "a"]}, "findings: an item appears twice"),
        ("labels", {"findings": "a"}, "findings: expected a list, got 'a'"),
        ("labels", {}, "Labels: field 'findings' is missing"),
        (
            "decision",
            {"ensemble": {"findings": ["a"], "temprature": [1]}},
            "ensemble: unknown field 'temprature'; did you mean 'temperature'?",
        ),
        (
            "decision",
            {"ensemble": {"findings": ["a"], "temperature_origin": {"recipe": 3}}},
            "ensemble.temperature_origin.recipe: expected str, got 3",
        ),
    ],
)
def test_a_problem_is_one_line_with_its_place(name, data, says):
    assert problems_of(name, data) == [f"{name}.json: {says}"]


def test_problems_are_few_and_short_however_large_the_document():
    data = {"findings": [*range(100_000), *"ab" * 100_000]}
    assert schema.validate("labels", data) == ["labels.json: findings: more than 1024 items"]
    many = schema.validate("decision", {"ensemble": {"findings": ["a"], "temperature": ["\x1b[2J" * 1000] * 512}})
    assert len(many) == 1
    assert all(len(line) < 300 and line.isprintable() for line in many)


def at(path, value):
    """A change of a document: the value at "a.0.b" set."""

    def change(document):
        *keys, last = [int(key) if key.isdecimal() else key for key in path.split("/")]
        for key in keys:
            document = document[key]
        document[last] = value

    return change


def without(path):
    def change(document):
        *keys, last = path.split("/")
        for key in keys:
            document = document[int(key) if key.isdecimal() else key]
        del document[last]

    return change


MEMBER = {"backbone": "tiny", "alias": "tiny0"}
POINT = "ensemble/operating_points/max_f1"

BOTH_REFUSE = [
    ("config", at("format_version", specs.FORMAT_VERSION + 1)),
    ("config", at("format_version", 0)),
    ("config", at("format_version", "1")),
    ("config", without("format_version")),
    ("config", without("ensemble")),
    ("config", at("ensemble", ["tiny"])),
    ("config", without("ensemble/name")),
    ("config", at("ensemble/units", 4_000_000_000)),
    ("config", at("ensemble/image_size", 7)),
    ("config", at("ensemble/image_size", specs.MAX_IMAGE_SIZE + 1)),
    ("config", at("ensemble/image_size", "32")),
    ("config", at("ensemble/image_size", True)),
    ("config", at("ensemble/members", [])),
    ("config", at("ensemble/members", [{**MEMBER, "alias": f"m{i}"} for i in range(specs.MAX_MEMBERS + 1)])),
    ("config", without("ensemble/members/0/backbone")),
    ("config", at("ensemble/members/0/units", 4)),
    ("config", at("ensemble/members/0/head", 3)),
    ("config", at("ensemble/members/0/dropout", 1.0)),
    ("config", at("ensemble/members/0/dropout", -0.1)),
    ("config", at("ensemble/members/0/alias", "../tiny0")),
    ("config", at("ensemble/members/0/alias", "tiny0\n")),
    ("config", at("ensemble/members/0/alias", "parity")),
    ("config", at("ensemble/members/0", {"backbone": "no/name"})),
    ("config", at("ensemble/members/0/pixels", {"mean": [0, 0, 0]})),
    ("config", at("ensemble/members/0/pixels", {"mean": [0, 0], "deviation": [1, 1, 1]})),
    ("config", at("ensemble/members/0/pixels", {"mean": [0, 0, 0], "deviation": [1, 1, 0]})),
    ("config", at("ensemble/members/0/pixels", {"mean": [0, 0, 0], "deviation": [1, 1, 1], "order": "gbr"})),
    ("config", at("ensemble/weighting", [-1.0, 2.0])),
    ("config", at("ensemble/weighting", "fitted")),
    ("config", at("ensemble/weighting", "fited")),
    ("config", at("ensemble/findings", ["Edema", "Edema", "No Finding"])),
    ("config", at("ensemble/findings", [])),
    ("config", at("ensemble/findings", [str(i) for i in range(specs.MAX_FINDINGS + 1)])),
    ("labels", without("findings")),
    ("labels", at("findings", "Edema")),
    ("labels", at("findings", ["Edema", "Edema", "No Finding"])),
    ("decision", without("ensemble")),
    ("decision", at("members", [])),
    ("decision", at("ensemble/temprature", [1.0])),
    ("decision", at("ensemble/temperature", [0.0])),
    ("decision", at("ensemble/temperature", ["1.7"])),
    ("decision", at("ensemble/temperature", [])),
    ("decision", at("ensemble/findings", [])),
    ("decision", at("ensemble/trained", [1, 1, 0])),
    ("decision", at(f"{POINT}/thresholds/0", 1.5)),
    ("decision", at(f"{POINT}/thresholds/0", -0.1)),
    ("decision", at(f"{POINT}/thresholds/0", "0.3")),
    ("decision", without(f"{POINT}/origin")),
    ("decision", without(f"{POINT}/origin/recipe")),
    ("decision", at(f"{POINT}/origin/n", [100.5, 100, 100])),
    ("decision", at("members/tiny0/temperature", [-1.0])),
    ("manifest", at("format_version", specs.FORMAT_VERSION + 1)),
    ("manifest", without("files")),
    ("manifest", at("files", [])),
    ("manifest", at("files/..", {"size": 1, "sha256": "0" * 64})),
    ("manifest", at("files/a\\b", {"size": 1, "sha256": "0" * 64})),
    ("manifest", without("files/config.json")),
    ("manifest", without("files/labels.json/sha256")),
    ("manifest", at("files/labels.json/size", "12")),
    ("manifest", without("parameters")),
    ("manifest", at("parameters/tiny0", 2_000_000_000)),
    ("manifest", at("parameters/tiny0", "1000")),
    ("manifest", at("provenance", "a run")),
    ("manifest", at("storage", ["float32"])),
    ("parity", at("tolerance", 0.5)),
    ("parity", at("tolerance", 0.0)),
    ("parity", without("logits")),
    ("parity", at("logits", [])),
    ("parity", at("logits/ensemble", [["a", "b", "c"]])),
    ("parity", at("logits/ensemble", [])),
]

#: A schema sees one field of one file at a time, and takes 1.0 for an integer.
READER_ALONE_REFUSES = [
    ("config", at("format_version", 1.0)),
    ("config", at("ensemble/members", [MEMBER, MEMBER])),
    ("config", at("ensemble/name", "tiny0")),
    ("config", at("ensemble/weighting", [1.0])),
    ("config", at("ensemble/weighting", [0.0, 0.0])),
    ("config", at("ensemble/members/0/backbone", "resnet5O")),
    ("labels", at("findings", [*reversed(FINDINGS3)])),
    ("decision", at("ensemble/findings", [*reversed(FINDINGS3)])),
    ("decision", at("ensemble/temperature", [1.0, 1.0])),
    ("decision", at("ensemble/trained", [True])),
    ("decision", at("ensemble/default", "youden")),
    ("decision", at(f"{POINT}/thresholds", [0.5])),
    ("manifest", without("files/tiny0.safetensors")),
    ("manifest", without("parameters/tiny1")),
    ("parity", without("logits/tiny1")),
]

#: What a model is not read from: loading leaves it alone, `verify` does not.
SCHEMA_ALONE_REFUSES = [
    ("metrics", without("findings")),
    ("metrics", without("split_hash")),
    ("metrics", at("split", "holdout")),
    ("metrics", at("findings/Edema/auc/value", "0.8")),
    ("metrics", without("findings/Edema/auc/low")),
    ("metrics", at("findings/Edema/auc/n", -1)),
    ("metrics", at("findings/Edema/auc/note", "good")),
    ("metrics", at("findings/Edema/auc", 0.8)),
    ("metrics", at("macro/auc/positives", None)),
    ("metrics", at("models/baseline/findings/Edema", [])),
    ("decision", at(f"{POINT}/origin/n", [-1, 1, 1])),
    ("manifest", at("storage/dtype", "int4")),
    ("manifest", at("files/notes on films.txt", {"size": 0, "sha256": "0" * 64})),
    ("parity", at("images", "../parity.safetensors")),
]


def broken(folder, target, name, change):
    """A copy of a release with one document changed, and a manifest that agrees: nobody altered it by accident."""
    shutil.copytree(folder, target)
    document = json.loads((target / f"{name}.json").read_text())
    change(document)
    (target / f"{name}.json").write_text(json.dumps(document))
    if name != "manifest":
        listing = json.loads((target / manifest.MANIFEST).read_text())
        listing["files"] = manifest.to_json(manifest.describe(target))
        (target / manifest.MANIFEST).write_text(json.dumps(listing))
    return target


def read_all(folder, name, model):
    """The strict readers; the golden logits are read where a network is held against them."""
    found = read_release(folder)
    if name == "parity":
        golden.gap(found, model)
        for member in found.spec.members:
            golden.gap(found, build_model(found, [member.name]))


def ids(cases):
    return [f"{name}-{i}" for i, (name, _) in enumerate(cases)]


@pytest.mark.parametrize(("name", "change"), BOTH_REFUSE, ids=ids(BOTH_REFUSE))
def test_schema_and_reader_refuse(folder, tmp_path, model, name, change):
    target = broken(folder, tmp_path / "broken", name, change)
    problems = problems_of(name, json.loads((target / f"{name}.json").read_text()))
    assert problems
    assert all(line.startswith(f"{name}.json: ") for line in problems)
    with pytest.raises((ValueError, KeyError)):
        read_all(target, name, model)


@pytest.mark.parametrize(("name", "change"), READER_ALONE_REFUSES, ids=ids(READER_ALONE_REFUSES))
def test_what_no_schema_can_see_the_reader_refuses(folder, tmp_path, model, name, change):
    target = broken(folder, tmp_path / "broken", name, change)
    assert by_schema(name, json.loads((target / f"{name}.json").read_text())) == []
    with pytest.raises((ValueError, KeyError)):
        read_all(target, name, model)


@pytest.mark.parametrize(("name", "change"), SCHEMA_ALONE_REFUSES, ids=ids(SCHEMA_ALONE_REFUSES))
def test_what_no_model_is_read_from_the_schema_refuses(folder, name, change):
    document = manifest.read_json(folder / f"{name}.json")
    change(document)
    assert problems_of(name, document)
