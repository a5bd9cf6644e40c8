import json

import numpy as np
import pytest
from as_json import as_json

from zoo.evaluation.readers import reader_points
from zoo.evaluation.scores import Scores

reader_points = as_json(reader_points)

# Three positives and four negatives; the curve is (0, 1/3), (1/4, 1/3), (1/4, 2/3), (3/4, 2/3), (3/4, 1), (1, 1).
TRUTH = np.array([1, 0, 1, 0, 0, 1, 0.0])
LOGITS = np.array([7, 6, 5, 4, 3, 2, 1.0])


def scores(logits: np.ndarray = LOGITS, truth: np.ndarray = TRUTH, patients: np.ndarray | None = None) -> Scores:
    return Scores(logits[:, None], truth[:, None], ("Edema",), "test", patients=patients)


def sides(calls: np.ndarray, model: Scores) -> dict:
    result = reader_points({"model": model}, {"r": np.asarray(calls, float)[:, None]})
    return result["models"]["model"]["Edema"]


def test_a_reader_is_a_point_with_intervals():
    calls = np.array([1, 1, 0, 0, 0, 1, 0.0])
    result = reader_points({"model": scores()}, {"r": calls[:, None]})
    json.dumps(result, allow_nan=False)
    point = result["readers"]["r"]["Edema"]
    for rate, value in (("false_positive_rate", 1 / 4), ("sensitivity", 2 / 3)):
        assert point[rate]["value"] == pytest.approx(value)
        assert point[rate]["low"] < value < point[rate]["high"]
        assert (point[rate]["n"], point[rate]["positives"]) == (7, 3)


@pytest.mark.parametrize(
    ("calls", "side", "margin"),
    [
        ([0, 1, 0, 0, 0, 0, 0], "under", 1 / 3),  # (1/4, 0): the upright part begins at 1/3
        ([1, 1, 0, 0, 0, 0, 0], "on", 0.0),  # its foot
        ([1, 1, 0, 0, 0, 1, 0], "on", 0.0),  # its top
        ([1, 1, 1, 0, 0, 1, 0], "over", -1 / 3),
        ([0, 1, 0, 1, 0, 0, 0], "under", 2 / 3),  # (1/2, 0)
        ([1, 0, 0, 0, 0, 0, 0], "on", 0.0),
        ([1, 0, 1, 0, 0, 0, 0], "over", -1 / 3),
        ([1] * 7, "on", 0.0),
        ([0] * 7, "on", 0.0),
    ],
)
def test_the_side_of_the_curve(calls, side, margin):
    found = sides(calls, scores())
    assert {name: found[name] for name in ("under", "on", "over", "of")} == {
        "under": 0,
        "on": 0,
        "over": 0,
        "of": 1,
    } | {side: 1}
    assert found["margins"]["r"]["value"] == pytest.approx(margin)


def test_equal_scores_make_a_slope():
    # One score for all: the curve is the diagonal, and (1/4, 2/3) lies 5/12 above it.
    found = sides([1, 1, 1, 0, 0, 0, 0], scores(np.zeros(7)))
    assert found["margins"]["r"]["value"] == pytest.approx(1 / 4 - 2 / 3)


def test_a_curve_is_drawn_from_the_films_that_were_read():
    calls = np.array([np.nan, 1, 0, 0, 0, 1, 0])
    found = sides(calls, scores())
    assert (found["margins"]["r"]["n"], found["margins"]["r"]["positives"]) == (6, 2)
    assert found["margins"]["r"]["value"] == 0.0
    unread = reader_points({"m": scores()}, {"r": np.full((7, 1), np.nan)})
    assert unread["readers"]["r"]["Edema"] is None
    assert unread["models"]["m"]["Edema"]["of"] == 0


def test_the_margin_agrees_with_the_curve_of_scikit_learn():
    from sklearn.metrics import roc_curve

    rng = np.random.default_rng(0)
    truth = (rng.random(400) < 0.3).astype(float)
    logits = np.round(rng.normal(size=400) + truth, 1)
    calls = (rng.normal(size=400) + truth > 0.7).astype(float)
    found = sides(calls, scores(logits, truth))["margins"]["r"]
    false, true, _ = roc_curve(truth, logits, drop_intermediate=False)
    expected = np.interp(calls[truth == 0].mean(), false, true) - calls[truth == 1].mean()
    assert found["value"] == pytest.approx(expected, abs=1e-12)
    assert found["low"] < expected < found["high"]


def test_readers_far_under_a_curve_are_counted_and_shown():
    rng = np.random.default_rng(1)
    truth = (rng.random(600) < 0.4).astype(float)
    good, poor = (truth * gap + rng.normal(size=600) for gap in (3.0, 0.2))
    readers = {f"r{i}": (truth * 1.5 + rng.normal(size=600) > 1)[:, None].astype(float) for i in range(3)}
    patients = np.arange(600) // 2
    models = {name: scores(logits, truth, patients) for name, logits in (("good", good), ("poor", poor))}
    found = reader_points(models, readers)["models"]
    assert (found["good"]["Edema"]["under"], found["good"]["Edema"]["shown_under"]) == (3, 3)
    assert (found["poor"]["Edema"]["over"], found["poor"]["Edema"]["shown_over"]) == (3, 3)


def test_wrong_calls_are_refused():
    with pytest.raises(ValueError, match="'r' has calls of shape"):
        reader_points({"m": scores()}, {"r": np.zeros((6, 1))})
    with pytest.raises(ValueError, match="'r': a call is 1, 0 or NaN"):
        reader_points({"m": scores()}, {"r": np.full((7, 1), 0.5)})
