"""Uncertain labels: what each rule makes of -1, drawn the same in any order, counted, and never evaluated."""

import numpy as np
import pytest

from zoo.core.errors import RecipeError, UnknownNameError
from zoo.labels.uncertain import read_rule, targets

FINDINGS = ["Edema", "Mass", "Fracture"]
LABELS = np.array([[-1, -1, -1], [1, 0, np.nan], [-1, 1, 0]], np.float32)


@pytest.mark.parametrize(("rule", "value"), [("nan", np.nan), ("zero", 0), ("one", 1), ("0.7..0.7", 0.7)])
def test_one_rule_replaces_the_uncertain_labels_of_every_finding_and_nothing_else(rule, value):
    found = targets(LABELS, ["a", "b", "c"], FINDINGS, rule)
    np.testing.assert_array_equal(
        found.values, np.array([[value, value, value], [1, 0, np.nan], [value, 1, 0]], np.float32)
    )
    assert found.counts == {"Edema": 2, "Mass": 1, "Fracture": 1}
    assert LABELS[0, 0] == -1


def test_a_rule_for_each_finding_leaves_those_not_named_unknown_and_says_how_many():
    found = targets(LABELS, ["a", "b", "c"], FINDINGS, {"Edema": "one", "Mass": "zero"})
    np.testing.assert_array_equal(found.values[0], np.array([1, 0, np.nan], np.float32))
    assert found.notes("training part") == [
        "training part: uncertain labels taken as 1: 2 (Edema 2)",
        "training part: uncertain labels taken as 0: 1 (Mass 1)",
        "training part: uncertain labels taken as unknown: 1 (Fracture 1)",
    ]


def test_a_range_is_filled_evenly():
    names = [f"{i}.png" for i in range(4000)]
    drawn = targets(np.full((4000, 1), -1.0), names, ["Edema"], "0.55..0.85", seed=3).values[:, 0]
    assert (drawn >= 0.55).all()
    assert (drawn <= 0.85).all()
    # The mean of 4000 even draws has a standard error of 0.3 / sqrt(12 * 4000) = 0.0014.
    assert abs(drawn.mean() - 0.7) < 0.006
    assert abs(drawn.std() - 0.3 / np.sqrt(12)) < 0.004


def test_a_drawn_target_depends_on_seed_image_and_finding_alone():
    names = np.array(["a", "b", "c", "d"])
    labels = np.full((4, 2), -1.0)
    drawn = targets(labels, names, ["Edema", "Mass"], "0.55..0.85", seed=1).values
    order = [2, 0, 3, 1]
    np.testing.assert_array_equal(
        targets(labels, names[order], ["Edema", "Mass"], "0.55..0.85", 1).values, drawn[order]
    )
    swapped = targets(labels, names, ["Mass", "Edema"], "0.55..0.85", seed=1).values
    np.testing.assert_array_equal(swapped, drawn[:, ::-1])
    assert len(np.unique(drawn)) == 8
    assert (targets(labels, names, ["Edema", "Mass"], "0.55..0.85", seed=2).values != drawn).all()


@pytest.mark.parametrize("text", ["ones", "0.85..0.55", "0.5..1.5", "0.55", "-1..0", ".5...6", ""])
def test_another_rule_is_refused(text):
    with pytest.raises(RecipeError, match=r"a rule is 'nan', 'zero', 'one' or a range in 0\.\.1"):
        read_rule(text)


def test_a_rule_for_another_finding_names_the_closest():
    with pytest.raises(UnknownNameError, match=r"Edma.*Edema"):
        targets(LABELS, ["a", "b", "c"], FINDINGS, {"Edma": "one"})
