"""Two periods compared: false alarms at the stated rate, changes that are found, one row of each patient."""

import numpy as np
import pytest

from zoo.core.errors import EvaluationError, UsageError
from zoo.evaluation.drift import LEAST, compare
from zoo.evaluation.period import Period, independent
from zoo.evaluation.statistics.permutation import largest, orders


def period(rng, n, shift=0.0, rejected=0.03, features=0.0, name="period"):
    scores = rng.normal(size=(n, 3))
    scores[:, 1] += shift
    shares = {"rejected": (rng.random(n) < rejected).astype(float)}
    member = {"m": rng.normal(features, size=(n, 8))}
    return Period(name, np.arange(n), "image", ("a", "b", "c"), scores, (scores > 1.5).astype(float), shares, member)


def test_without_a_change_the_rate_of_false_alarms_is_the_stated_one():
    rng = np.random.default_rng(0)
    runs = 100
    least = np.array([min(c.p for c in compare(period(rng, 60), period(rng, 30)).changes) for _ in range(runs)])
    # 5 % of 100 runs; beyond 12 with a probability of 1 in 700.
    assert (least <= 0.05).sum() <= 12
    assert (least <= 0.5).mean() == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize(
    ("change", "about", "name"),
    [({"shift": 1.5}, "scores", "b"), ({"rejected": 0.5}, "quality", "rejected"), ({"features": 1.0}, "features", "m")],
)
def test_what_has_changed_is_named_and_nothing_else(change, about, name):
    rng = np.random.default_rng(1)
    found = compare(period(rng, 200, name="old"), period(rng, 80, name="new", **change))
    assert {(alarm.about, alarm.name) for alarm in found.alarms} >= {(about, name)}
    assert {alarm.name for alarm in found.alarms} == {name}
    for one in found.changes:
        assert (one.p <= found.alpha) == (one.limit is not None and one.distance > one.limit)
        assert (one.n, one.n_new) == (200, 80)


def test_the_same_call_gives_the_same_result_and_another_seed_other_divisions():
    rng = np.random.default_rng(2)
    one, other = period(rng, 50), period(rng, 25)
    assert compare(one, other, seed=3) == compare(one, other, seed=3)
    assert compare(one, other, seed=3).changes != compare(one, other, seed=4).changes


def test_one_row_of_each_patient_is_drawn_and_each_of_its_rows_may_be_it():
    units = np.array(["a", "b", "a", "a", "c", "b"])
    drawn = [tuple(independent(units, 9, seed).tolist()) for seed in range(60)]
    assert all(sorted(units[list(rows)]) == ["a", "b", "c"] for rows in drawn)
    assert {row for rows in drawn for row in rows} == set(range(6))
    assert {len(independent(units, 2, seed)) for seed in range(9)} == {2}
    many = np.array(["a"] * 99 + ["b"])
    assert 20 < sum(many[independent(many, 1, seed)][0] == "b" for seed in range(60)) < 40


def test_a_low_rate_has_enough_divisions_to_be_reached():
    rng = np.random.default_rng(4)
    found = compare(period(rng, 60), period(rng, 40, shift=3), alpha=0.002)
    assert found.divisions == 9999
    assert found.alarms


def test_too_few_images_and_nothing_in_common_are_refused():
    rng = np.random.default_rng(5)
    with pytest.raises(EvaluationError, match=f"june: {LEAST - 1} independent images, and a comparison needs {LEAST}"):
        compare(period(rng, 50), period(rng, LEAST - 1, name="june"))
    with pytest.raises(EvaluationError, match="nothing in common"):
        compare(Period("old", np.arange(30)), Period("new", np.arange(30)))


@pytest.mark.parametrize("alpha", [0, 0.0001, 0.6, float("nan")])
def test_a_rate_out_of_range_is_refused(alpha):
    rng = np.random.default_rng(5)
    with pytest.raises(UsageError, match=r"alpha is a rate of false alarms from 0\.001 to 0\.5, got"):
        compare(period(rng, 50), period(rng, 50), alpha=alpha)


def test_what_few_images_of_a_side_have_is_not_compared_and_said():
    rng = np.random.default_rng(7)
    old, new = period(rng, 50), period(rng, 50)
    new.scores[LEAST - 1 :, 1] = np.nan
    new.features["m"][LEAST:] = np.nan
    found = compare(old, new)
    assert {(c.about, c.name) for c in found.changes} >= {("scores", "a"), ("calls", "b"), ("features", "m")}
    assert ("scores", "b") not in {(c.about, c.name) for c in found.changes}
    assert found.notes == (f"not compared, since fewer than {LEAST} values of a side are known: b (scores, 50 and 19)",)
    new.scores[:], new.calls[:], new.features["m"][:], new.shares["rejected"][:] = [np.nan] * 4
    with pytest.raises(EvaluationError, match=f"nothing in common .* none is known for {LEAST} images on both sides"):
        compare(old, new)


def test_a_value_that_one_side_knows_of_fewer_images_raises_no_more_alarms_and_hides_none():
    rng = np.random.default_rng(8)

    def one(n, known, shift=0.0, rejected=0.02):
        found = period(rng, n, shift, rejected)
        found.scores[known:, :], found.shares["rejected"][known:] = np.nan, np.nan
        return Period("one", found.units, findings=found.findings, scores=found.scores, shares=found.shares)

    alarms = sum(bool(compare(one(100, 100), one(100, 20), seed=seed).alarms) for seed in range(40))
    assert alarms <= 6  # 5 % of 40; beyond it with a probability of 1 in 300
    found = compare(one(4000, 400), one(100, 100, rejected=0.15))
    assert [alarm.name for alarm in found.alarms] == ["rejected"]


def test_the_given_order_is_the_first_and_the_others_are_of_all_rows():
    blocks = list(orders(90, 100, seed=0))
    assert sum(block.shape[1] for block in blocks) == 101
    assert blocks[0][:, 0].tolist() == list(range(90))
    assert all((np.sort(block, axis=0) == np.arange(90)[:, None]).all() for block in blocks)


def test_what_never_varies_is_no_alarm_and_does_not_hide_one():
    rng = np.random.default_rng(6)
    found = np.stack([np.full(200, 0.3), rng.random(200)])
    found[1, 0] = 5
    adjusted = largest(found, 0.05)
    assert adjusted.p.tolist() == [1.0, 1 / 200]
    assert adjusted.limit[0] == np.inf
    assert adjusted.limit[1] == np.sort(found[1])[-11]
