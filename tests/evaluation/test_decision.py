import json

import numpy as np
import pytest

from zoo.core.errors import ReleaseError, UnknownNameError
from zoo.evaluation.calibration.calibrators import Calibrator, PriorShift, Steps
from zoo.evaluation.decision import Decision, OperatingPoint, Origin, Reached, positives, probabilities

FINDINGS = ("Edema", "Fracture", "Pneumonia")


@pytest.fixture
def decision() -> Decision:
    origin = Origin(
        "max_f1", "validation", "abc", (90, 80, 0), (9, 8, 0), date="2024-01-01", notes=("Pneumonia: none",)
    )
    points = {
        "max_f1": OperatingPoint((0.35, 0.5, None), origin, (0.6, 0.7, None)),
        "strict": OperatingPoint((0.9, 1.0, 0.0), Origin("sensitivity_at_least", target=0.9)),
    }
    return Decision(FINDINGS, (1.5, 1.0, 2.0), points, "max_f1", (True, True, False), origin)


def test_a_decision_comes_back_from_json(decision):
    assert Decision.from_dict(json.loads(json.dumps(decision.to_dict(), allow_nan=False)), FINDINGS) == decision


@pytest.fixture
def platt() -> Calibrator:
    return Calibrator("platt", slope=(1.0, 0.5, 2.0), intercept=(0.0, -1.0, 0.25))


@pytest.fixture
def isotonic() -> Calibrator:
    return Calibrator("isotonic", steps=(Steps(), Steps((-1.0, 1.0), (0.2, 0.6)), Steps((0.0,), (0.3,))))


def test_calibrator_shift_and_what_was_reached_come_back_too(decision, platt, isotonic):
    reached = {"sensitivity": Reached((0.9, None, 0.8), (0.7, None, 0.6), (1.0, None, 0.9), (9, 0, 8))}
    point = OperatingPoint((0.3, None, 0.4), Origin("youden"), (0.5, None, 0.4), reached, (0.1, 0.2, None))
    for calibrator in (platt, isotonic):
        full = Decision(
            FINDINGS,
            (2.0,),
            {"youden": point},
            "youden",
            calibrator=calibrator,
            prior_shift=PriorShift((0.1, None, 0.3), (0.2, None, 0.05)),
        )
        assert Decision.from_dict(json.loads(json.dumps(full.to_dict(), allow_nan=False)), FINDINGS) == full
        assert not full.temperature_alone
    assert decision.temperature_alone


def test_what_was_stored_before_there_were_calibrators_is_read_still(decision):
    data = decision.to_dict()
    for field in ("calibrator", "prior_shift"):
        del data[field]
    for point in data["operating_points"].values():
        del point["reached"], point["prevalence"]
    assert Decision.from_dict(data) == decision


def test_platt_comes_after_the_temperature(platt):
    logits = np.array([[3.0, -2.0, 1.0], [np.nan, 0.0, 4.0]])
    p = probabilities(logits, Decision(FINDINGS, (2.0,), calibrator=platt))
    expected = 1 / (1 + np.exp(-(logits / 2 * [1, 0.5, 2] + [0, -1, 0.25])))
    assert p == pytest.approx(expected, nan_ok=True)


def test_isotonic_steps_are_joined_by_lines_and_flat_outside(isotonic):
    logits = np.array([[1.0, -9.0, -5.0], [1.0, 0.0, 0.0], [1.0, 9.0, np.nan]])
    p = probabilities(logits, Decision(FINDINGS, calibrator=isotonic))
    plain = 1 / (1 + np.exp(-1))
    assert p == pytest.approx(np.array([[plain, 0.2, 0.3], [plain, 0.4, 0.3], [plain, 0.6, np.nan]]), nan_ok=True)


def test_a_prior_shift_multiplies_the_odds():
    shift = PriorShift((0.5, None, 0.1), (0.2, None, 0.5))
    p = probabilities(np.zeros((1, 3)), Decision(FINDINGS, prior_shift=shift))
    assert p[0] == pytest.approx([0.2, 0.5, 0.9])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"calibrator": {"kind": "beta"}}, "one of 'platt', 'isotonic', got 'beta'"),
        (
            {"calibrator": {"kind": "platt", "slope": [1.0], "intercept": [0.0]}},
            "slope of the platt .* 3 entries, got 1",
        ),
        ({"calibrator": {"kind": "platt", "slope": [1, 0, 1], "intercept": [0, 0, 0]}}, "slopes must be finite"),
        ({"calibrator": {"kind": "platt", "slope": [1, 1, 1], "intercept": [0, float("nan"), 0]}}, "intercepts must"),
        ({"calibrator": {"kind": "isotonic", "steps": []}}, "steps of the isotonic .* 3 entries, got 0"),
        ({"calibrator": {"kind": "isotonic", "steps": [{}, {}, {"log_odds": [1]}]}}, "as many never falling"),
        ({"calibrator": {"kind": "isotonic", "steps": [{"log_odds": [1, 1], "probability": [0.1, 0.2]}]}}, "rising"),
        ({"calibrator": {"kind": "isotonic", "steps": [{"log_odds": [1, 2], "probability": [0.3, 0.2]}]}}, "falling"),
        ({"calibrator": {"kind": "isotonic", "steps": [{"log_odds": [1], "probability": [1.0]}]}}, "between 0 and 1"),
        ({"prior_shift": {"source": [0.1], "target": [0.2]}}, "prior_shift must have 3 entries, got 1"),
        ({"prior_shift": {"source": [0.1, None, None], "target": [None] * 3}}, "for the same findings"),
        ({"prior_shift": {"source": [0.1, None, None], "target": [1.0, None, None]}}, "between 0 and 1, got 1.0"),
    ],
)
def test_a_spoilt_calibration_is_refused(decision, spoil, message):
    with pytest.raises(ReleaseError, match=message):
        Decision.from_dict(decision.to_dict() | spoil)


def test_the_sigmoid_is_safe_and_keeps_float32():
    with np.errstate(all="raise", under="ignore"):
        p = probabilities(np.array([[-1e4, -100.0, 0.0, 100.0, 1e4]], np.float32))
    assert p.dtype == np.float32
    assert p[0, [0, 2, 4]].tolist() == [0.0, 0.5, 1.0]
    assert probabilities(np.array([-100.0])) == pytest.approx(np.exp(-100.0))
    assert np.isnan(probabilities(np.array([[np.nan]], np.float32))).all()


def test_float32_and_float64_logits_give_the_same_float32_probabilities(decision):
    logits = np.random.default_rng(0).normal(size=(1000, 3)).astype(np.float32) * 4
    wide = probabilities(logits.astype(np.float64), decision)
    assert np.array_equal(probabilities(logits, decision), wide.astype(np.float32))


def test_each_finding_has_its_own_temperature(decision):
    p = probabilities(np.full((1, 3), 3.0), decision)
    assert p[0] == pytest.approx(1 / (1 + np.exp([-2.0, -3.0, -1.5])))


def test_calls_are_at_and_above_the_threshold_and_undecided_without_one(decision):
    p = np.array([[0.35, 0.49, 0.99], [0.34, np.nan, 0.0]], np.float32)
    calls = positives(p, decision)
    assert calls.dtype == np.float32
    assert np.array_equal(calls, [[1, 0, np.nan], [0, np.nan, np.nan]], equal_nan=True)
    assert positives(p[:1], decision, "strict").tolist() == [[0, 0, 1]]


def test_without_anything_fitted_the_point_is_half():
    plain = Decision(FINDINGS)
    assert plain.point().thresholds == (0.5, 0.5, 0.5)
    assert plain.point().origin.split == "none"
    assert plain.trained == (True, True, True)


def test_an_unknown_point_names_those_there_are(decision):
    with pytest.raises(UnknownNameError, match="did you mean 'max_f1'"):
        decision.point("maxf1")


def test_another_number_of_findings_is_refused(decision):
    with pytest.raises(ValueError, match="expected 3 findings"):
        probabilities(np.zeros((2, 4)), decision)
    with pytest.raises(ValueError, match="expected 3 findings"):
        positives(np.zeros((2, 4)), decision)


def _with_threshold(data, value):
    data["operating_points"]["max_f1"]["thresholds"][1] = value


def _with_reached(data, **changed):
    found = {"value": [0.5] * 3, "low": [0.4] * 3, "high": [0.6] * 3, "n": [9] * 3}
    data["operating_points"]["max_f1"]["reached"] = {"ppv": found | changed}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: _with_threshold(d, 1.5), "threshold of 'Fracture' at 'max_f1' must be in 0..1 or null, got 1.5"),
        (lambda d: _with_threshold(d, -0.1), "must be in 0..1"),
        (lambda d: _with_threshold(d, float("nan")), "must be in 0..1 or null, got nan"),
        (lambda d: _with_threshold(d, "0.5"), r"decision\.operating_points\.max_f1\.thresholds\.1"),
        (lambda d: d["operating_points"]["max_f1"]["thresholds"].pop(), "must have 3 thresholds, got 2"),
        (lambda d: d["operating_points"]["max_f1"].update(prevalence=[0.5]), "'max_f1' must have 3 entries in all it"),
        (lambda d: d.update(temperature=[0.0]), "finite numbers > 0"),
        (lambda d: d.update(temperature=[float("inf")]), "finite numbers > 0"),
        (lambda d: d.update(temperature=[1.0, 2.0]), "1 or 3"),
        (lambda d: _with_reached(d, n=[1, -1, 2]), r"reached\.ppv\.n\.1: -1 is not >= 0"),
        (lambda d: _with_reached(d, n=[1, 1, 2**63]), r"n\.2: 9223372036854775808 is not <= 9007199254740992"),
        (lambda d: _with_reached(d, low=[0.1, -0.2, None]), "'ppv' reached at 'max_f1' must be in 0..1, got -0.2"),
        (lambda d: _with_reached(d, n=["7" * 999] * 3), r"expected int, got '7{79}\.\.\.$"),
        (lambda d: d["operating_points"]["max_f1"]["origin"].update(target=7.0), r"origin\.target: 7\.0 is not <= 1"),
        (lambda d: d["operating_points"]["max_f1"].update(achieved=[1e30] * 3), r"achieved\.0: 1e\+30 is not <= 1"),
        (lambda d: d.update(default="best"), "'best' is none of the operating points"),
        (lambda d: d.update(trained=[True]), "trained must have 3 entries"),
        (lambda d: d.update(threshold=0.5), "unknown field 'threshold'"),
        (lambda d: d.pop("findings"), "field 'findings' is missing"),
    ],
)
def test_a_spoilt_decision_is_refused(decision, spoil, message):
    data = decision.to_dict()
    spoil(data)
    with pytest.raises(ReleaseError, match=message):
        Decision.from_dict(data)


def test_findings_of_another_model_or_in_another_order_are_refused(decision):
    with pytest.raises(ReleaseError, match="another order"):
        Decision.from_dict(decision.to_dict(), FINDINGS[::-1])
    with pytest.raises(ReleaseError, match=r"missing \['Hernia'\], not the model's \['Pneumonia'\]"):
        Decision.from_dict(decision.to_dict(), ("Edema", "Fracture", "Hernia"))


def test_an_older_file_that_says_tune_is_of_the_validation_part():
    assert Origin("max_f1", "tune").split == "validation"
    assert [Origin("max_f1", part).split for part in ("none", "test")] == ["none", "test"]
