import json
from itertools import combinations

import numpy as np
import pytest
from as_json import as_json

from zoo.evaluation.coherence import CHEXPERT_RULES, Rules, contradictions, project, reordering
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.evaluation.statistics.proportions import proportion
from zoo.labels.findings import FINDINGS

contradictions = as_json(contradictions)
reordering = as_json(reordering)

COLUMN = {finding: j for j, finding in enumerate(FINDINGS)}


@pytest.fixture
def probabilities():
    return np.random.default_rng(0).random((300, 14))


def row(**given):
    """One row of the 14, 0.1 where nothing is given, by names with underscores."""
    values = np.full((1, 14), 0.1)
    for name, value in given.items():
        values[0, COLUMN[name.replace("_", " ")]] = value
    return values


def violations(p):
    """The largest of each row, written down by hand."""
    worst = [p[:, COLUMN[child]] - p[:, COLUMN["Lung Opacity"]] for child in CHEXPERT_RULES.children["Lung Opacity"]]
    worst.append(p[:, COLUMN["Cardiomegaly"]] - p[:, COLUMN["Enlarged Cardiomediastinum"]])
    others = [f for f in FINDINGS if f not in ("No Finding", "Support Devices")]
    worst += [p[:, COLUMN[other]] + p[:, COLUMN["No Finding"]] - 1 for other in others]
    return np.max(worst, axis=0)


def nearest(p, sweeps=1000):
    """The least-squares projection by another method: Dykstra's, over the rules as half-spaces."""
    rules = [({child: 1, "Lung Opacity": -1}, 0) for child in CHEXPERT_RULES.children["Lung Opacity"]]
    rules += [({"Cardiomegaly": 1, "Enlarged Cardiomediastinum": -1}, 0)]
    rules += [({f: 1, "No Finding": 1}, 1) for f in FINDINGS if f not in ("No Finding", "Support Devices")]
    x, kept = p.copy(), [np.zeros_like(p) for _ in rules]
    for _ in range(sweeps):
        for i, (terms, limit) in enumerate(rules):
            normal = np.zeros(14)
            for name, factor in terms.items():
                normal[COLUMN[name]] = factor
            y = x + kept[i]
            x = y - np.maximum(y @ normal - limit, 0)[:, None] * normal / 2
            kept[i] = y - x
    return x


def test_contradictions_by_hand():
    p = np.concatenate(
        [
            row(Edema=0.8, Lung_Opacity=0.6),  # a child above its parent, both called
            row(Edema=0.6, Lung_Opacity=0.4),  # and called without it
            row(No_Finding=0.7, Fracture=0.6),  # no finding, and one
            row(No_Finding=0.8, Pleural_Other=0.3),  # adding up to more than 1, not both called
            row(No_Finding=0.9, Support_Devices=0.9),  # devices may be there
            row(),
        ]
    )
    result = contradictions(p, FINDINGS)
    edema = result["children"]["Edema"]
    assert edema["parent"] == "Lung Opacity"
    assert [(edema[kind]["positives"], edema[kind]["n"]) for kind in ("probability", "calls")] == [(2, 6), (1, 6)]
    assert edema["probability"]["value"] == pytest.approx(1 / 3)
    fracture, other = result["normal"]["Fracture"], result["normal"]["Pleural Other"]
    assert [fracture[kind]["positives"] for kind in ("probability", "calls")] == [1, 1]
    assert [other[kind]["positives"] for kind in ("probability", "calls")] == [1, 0]
    assert [result["any"][kind]["positives"] for kind in ("probability", "calls")] == [4, 2]
    assert "Support Devices" not in result["normal"]
    assert result["skipped"] == []
    json.dumps(result, allow_nan=False)


def test_the_margin_leaves_small_ones_out():
    p = row(Edema=0.15, No_Finding=0.2)
    assert contradictions(p, FINDINGS)["any"]["probability"]["positives"] == 1
    assert contradictions(p, FINDINGS, margin=0.06)["any"]["probability"]["positives"] == 0


def test_calls_are_those_of_the_operating_point():
    thresholds = tuple(0.05 if f == "Cardiomegaly" else None if f == "Fracture" else 0.5 for f in FINDINGS)
    decision = Decision(FINDINGS, operating_points={"mine": OperatingPoint(thresholds, Origin("mine"))}, default="mine")
    result = contradictions(row(No_Finding=0.9), FINDINGS, decision)
    assert result["children"]["Cardiomegaly"]["calls"]["positives"] == 1
    assert result["normal"]["Cardiomegaly"]["calls"]["positives"] == 1
    assert result["normal"]["Fracture"]["calls"] == {"value": None, "low": None, "high": None, "n": 0, "positives": 0}
    assert contradictions(row(), FINDINGS)["children"]["Cardiomegaly"]["calls"]["positives"] == 0
    with pytest.raises(ValueError, match="the decision is for"):
        contradictions(row()[:, ::-1], FINDINGS[::-1], decision)


def test_unknown_probabilities_contradict_nothing():
    p = row(Edema=0.9, Lung_Opacity=np.nan, No_Finding=np.nan)
    result = contradictions(p, FINDINGS)
    assert result["children"]["Edema"]["probability"]["n"] == 0
    assert result["any"]["probability"] == result["any"]["probability"] | {"n": 1, "positives": 0}


def test_the_projection_is_the_nearest_coherent_point(probabilities):
    projected = project(probabilities, FINDINGS)
    assert violations(probabilities).min() > 0
    assert violations(projected).max() < 1e-12
    assert projected[:100] == pytest.approx(nearest(probabilities[:100]), abs=1e-5)
    assert contradictions(projected, FINDINGS)["any"]["probability"]["positives"] == 0


def test_the_projection_by_hand():
    # Above its parent by 0.4: they meet in the middle; the lower children stay.
    p = project(row(Edema=0.7, Lung_Opacity=0.3, No_Finding=0.2, Pneumonia=0.4), FINDINGS)
    assert p == pytest.approx(row(Edema=0.5, Lung_Opacity=0.5, No_Finding=0.2, Pneumonia=0.4))
    # Two above: all three at their mean.
    p = project(row(Edema=0.6, Pneumonia=0.6, Lung_Opacity=0.3, No_Finding=0.2), FINDINGS)
    assert p == pytest.approx(row(Edema=0.5, Pneumonia=0.5, Lung_Opacity=0.5, No_Finding=0.2))
    # Adding up to 1.2, each gives way by half of what is too much.
    p = project(row(No_Finding=0.5, Fracture=0.7, Support_Devices=0.9), FINDINGS)
    assert p == pytest.approx(row(No_Finding=0.4, Fracture=0.6, Support_Devices=0.9))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_projecting_twice_changes_nothing_and_coherent_rows_stay_as_they_are(probabilities, dtype):
    given = probabilities.astype(dtype)
    once = project(given, FINDINGS)
    assert once.dtype == dtype
    assert np.array_equal(project(once, FINDINGS), once)
    coherent = row(Lung_Opacity=0.3, Edema=0.3, No_Finding=0.6).astype(dtype)
    assert np.array_equal(project(coherent, FINDINGS), coherent)
    assert np.array_equal(given, probabilities.astype(dtype))


def test_no_row_with_coherent_labels_gets_a_larger_squared_error(probabilities):
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 14)) < 0.2).astype(float)
    labels[:, COLUMN["Lung Opacity"]] = labels[:, [COLUMN[f] for f in CHEXPERT_RULES.children["Lung Opacity"]]].max(1)
    labels[:, COLUMN["Enlarged Cardiomediastinum"]] = labels[:, COLUMN["Cardiomegaly"]]
    others = [j for f, j in COLUMN.items() if f not in ("No Finding", "Support Devices")]
    labels[:, COLUMN["No Finding"]] = 1 - labels[:, others].max(1)
    before, after = (np.sum((p - labels) ** 2, axis=1) for p in (probabilities, project(probabilities, FINDINGS)))
    assert (after <= before + 1e-12).all()
    assert after.mean() < 0.95 * before.mean()


def test_an_unknown_parent_leaves_its_children_under_what_is_above_it(probabilities):
    p = probabilities.copy()
    p[::2, COLUMN["Lung Opacity"]] = np.nan
    p[1::2, COLUMN["No Finding"]] = np.nan
    projected = project(p, FINDINGS)
    assert np.array_equal(np.isnan(projected), np.isnan(p))
    assert contradictions(projected, FINDINGS)["any"]["probability"]["positives"] == 0
    edema, normal = projected[::2, COLUMN["Edema"]], projected[::2, COLUMN["No Finding"]]
    assert (edema + normal).max() <= 1 + 1e-12
    assert (edema + normal).max() > 0.999
    lonely = project(np.where(np.arange(14) == 3, p, np.nan), FINDINGS)
    assert np.array_equal(lonely[:, 3], p[:, 3])


def test_rules_about_findings_that_are_not_there_are_skipped_and_named():
    findings = ("Edema", "Cardiomegaly", "Lung Opacity", "Hernia")
    p = np.array([[0.9, 0.8, 0.1, 0.7]])
    assert project(p, findings) == pytest.approx(np.array([[0.5, 0.8, 0.5, 0.7]]))
    result = contradictions(p, findings)
    assert (list(result["children"]), result["normal"]) == (["Edema"], {})
    assert "Enlarged Cardiomediastinum >= Cardiomegaly" in result["skipped"]
    assert "Lung Opacity >= Pneumonia" in result["skipped"]
    assert "No Finding excludes the others" in result["skipped"]
    assert "Lung Opacity >= Edema" not in result["skipped"]


def test_own_rules_may_have_several_levels():
    rules = Rules({"chest": ("lung",), "lung": ("lobe", "hilum")})
    p = np.array([[0.2, 0.1, 0.9, 0.0]])
    projected = project(p, ("chest", "lung", "lobe", "hilum"), rules)
    assert projected == pytest.approx(np.array([[0.4, 0.4, 0.4, 0.0]]))
    skipping = contradictions(p[:, [0, 2]], ("chest", "lobe"), rules=rules)
    assert skipping["children"]["lobe"]["parent"] == "chest"
    with pytest.raises(ValueError, match="'lobe' has two parents"):
        Rules({"a": ("lobe",), "b": ("lobe",)})
    with pytest.raises(ValueError, match="above itself"):
        Rules({"a": ("b",), "b": ("a",)})
    with pytest.raises(ValueError, match="'b' cannot be a parent or a child"):
        Rules({"a": ("b",)}, normal="b")


def test_reordering_counts_the_pairs_that_change_places(probabilities):
    after = project(probabilities, FINDINGS)
    result = reordering(probabilities, after, FINDINGS)
    for finding in ("Edema", "Lung Opacity", "Support Devices"):
        a, b = probabilities[:, COLUMN[finding]], after[:, COLUMN[finding]]
        turned = sum((a[i] - a[j]) * (b[i] - b[j]) < 0 for i, j in combinations(range(300), 2))
        assert result[finding]["reordered"]["value"] == pytest.approx(turned / (300 * 299 / 2))
        assert result[finding]["largest_change"]["value"] == pytest.approx(np.abs(a - b).max())
        assert result[finding]["reordered"]["positives"] == np.sum(a != b)
    assert result["Support Devices"]["reordered"]["value"] == 0
    assert result["Lung Opacity"]["reordered"]["value"] > 0.1
    # Ties before the projection have no order to lose.
    tied = reordering([[0.1], [0.1], [0.5], [np.nan]], [[0.4], [0.3], [0.2], [np.nan]], ("Edema",))["Edema"]
    assert (tied["reordered"]["value"], tied["reordered"]["n"]) == (1.0, 3)
    assert tied["mean_change"]["value"] == pytest.approx((0.3 + 0.2 + 0.3) / 3)


def test_bad_probabilities():
    with pytest.raises(ValueError, match="are these logits"):
        project(row(Edema=2.0), FINDINGS)
    with pytest.raises(ValueError, match=r"\(rows, 14\), one column a finding, got \(1, 13\)"):
        contradictions(row()[:, 1:], FINDINGS)


def test_a_proportion_by_hand():
    """Wilson's own formula for 3 of 20; 0 of 20 has an upper limit."""
    hits = np.repeat([1.0, 0.0, np.nan], [3, 17, 5])
    interval = proportion(hits)
    assert (interval.value, interval.n, interval.positives) == (0.15, 20, 3)
    assert (interval.low, interval.high) == pytest.approx((0.0523691, 0.3604200), abs=1e-5)
    none = proportion(np.zeros(20))
    assert (none.low, none.high) == (0.0, pytest.approx(0.1611252, abs=1e-5))


def test_a_proportion_counts_patients_where_their_films_are_alike():
    hits, patients = np.repeat([1.0, 0.0], [3, 17]), np.arange(20)
    once, repeated = proportion(hits), proportion(np.repeat(hits, 5), np.repeat(patients, 5))
    assert repeated.n == 100
    assert (repeated.low, repeated.high) == pytest.approx((once.low, once.high), abs=0.01)
    assert proportion(np.zeros(100), np.repeat(patients, 5)).high == pytest.approx(proportion(np.zeros(20)).high)
    mixed = proportion(np.tile([1.0, 0.0], 50), np.repeat(np.arange(50), 2))
    assert mixed.high == pytest.approx(proportion(np.tile([1.0, 0.0], 25)).high)
