"""The typed result: everything in the file is read into it, and it writes the same file again."""

import copy
import json
from pathlib import Path

import pytest
from full_evaluation import differences

from zoo.core.errors import EvaluationError, UnknownNameError, ZooError
from zoo.evaluation.result import Estimate, Mean, from_json, to_json
from zoo.evaluation.result.checks import SameImages, SharedNames

GOLDEN = Path(__file__).parent / "golden" / "metrics.json"


@pytest.fixture
def golden():
    return json.loads(GOLDEN.read_text("utf-8"))


def test_everything_is_read_and_written_again(golden):
    assert list(differences(to_json(from_json(golden)), golden)) == []


def test_numbers_are_where_their_names_say(golden):
    result = from_json(golden)
    assert result.findings["Cardiomegaly"].auc.value == golden["findings"]["Cardiomegaly"]["auc"]["value"]
    f1 = result.macro.get("f1", "max_f1")
    assert isinstance(f1, Mean)
    assert (f1.findings, f1.of, f1.low) == (3, 4, golden["macro"]["f1@max_f1"]["low"])
    assert result.findings["Fracture"].auc == Estimate(None, None, None, 152, 0)
    assert result.thresholds == golden["points"]["max_f1"]["thresholds"]
    assert isinstance(result.leakage["patients"], SharedNames)
    assert isinstance(result.leakage["images"], SameImages)
    with pytest.raises(UnknownNameError, match=r"unknown measure 'f2@max_f1'.*f1@max_f1"):
        result.macro.get("f2", "max_f1")


def test_a_file_without_the_later_blocks_is_read(golden):
    first = ("calibration", "curves", "cooccurrence", "kinds", "ensemble", "comparison", "readers", "projection")
    later = (*first, "notes", "subgroups", "coherence", "abstention", "prevalence", "leakage", "micro", "weighted")
    old = {key: block for key, block in golden.items() if key not in later}
    old["split"] = "tune"
    result = from_json(old | {"a block of a later version": [1]})
    assert result.subgroups is None
    assert result.split == "validation"
    assert to_json(result) == old | {"split": "validation"}


def test_blocks_of_predictions_files_are_null_where_there_is_nothing(golden):
    few = golden | {"ensemble": None, "comparison": None, "readers": None}
    assert to_json(from_json(few)) == few


def _at(document, path, value):
    *way, last = path.split("/")
    for key in way:
        document = document[key]
    if value is ...:
        del document[last]
    else:
        document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("split", ..., "'split' is missing"),
        ("n", "160", "n: expected a whole number, got '160'"),
        ("patients_known", 1, "patients_known: expected "),
        ("findings/Cardiomegaly/auc", 0.8, "findings: Cardiomegaly: auc: expected an object, got 0.8"),
        ("findings/Cardiomegaly/auc/value", "0.8", "auc: value: expected a number, got '0.8'"),
        ("findings/Cardiomegaly/auc/low", ..., "auc: 'low' is missing"),
        ("macro/auc/n", -1.5, "auc: n: expected a whole number"),
        ("findings/Cardiomegaly/auc/value", 1e30, "Cardiomegaly: auc: 1e+30 is no share"),
        ("findings/Cardiomegaly/auc/low", 1.5, "auc: the interval from 1.5 to "),
        ("findings/Cardiomegaly/auc/positives", 9999, "auc: 9,999 positives of 152 labels"),
        ("macro/auc/n", 2**63, "auc: n: 9223372036854775808 is not <= 9007199254740992"),
        ("macro", [], "macro: expected an object"),
        ("temperature", 1.0, "temperature: expected a list"),
        ("subgroups/groupings/sex/gaps/auc/macro/left_out", "none", "left_out: expected a list, got 'none'"),
        ("leakage/patients", 3, "leakage: patients: expected an object, got 3"),
        ("readers/readers/Reader A/Cardiomegaly/sensitivity", None, "sensitivity: expected an object, got None"),
        ("points/max_f1/origin/recipe", 7, "recipe: expected text, got 7"),
    ],
)
def test_a_broken_file_says_where(golden, path, value, says):
    broken = copy.deepcopy(golden)
    _at(broken, path, value)
    with pytest.raises(EvaluationError, match=r"^metrics\.json") as caught:
        from_json(broken)
    assert says in str(caught.value)
    assert isinstance(caught.value, ZooError)


@pytest.mark.parametrize("data", [[], None, "metrics", {}])
def test_what_is_no_result_is_refused(data):
    with pytest.raises(EvaluationError, match=r"metrics\.json"):
        from_json(data)
