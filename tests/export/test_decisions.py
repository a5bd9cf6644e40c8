"""Less exact arithmetic is accepted by what becomes of the decisions, not by the size of the logits."""

import numpy as np
import pytest

from zoo.config.tta import TtaSpec
from zoo.core.errors import ExportError
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.export import exporting
from zoo.export.decisions import kept, kept_of_scores
from zoo.release import golden

FINDINGS = ("Edema", "Fracture")


def decision(*thresholds, **rest):
    return Decision(
        FINDINGS, operating_points={"own": OperatingPoint(thresholds, Origin("own"))}, default="own", **rest
    )


def test_a_decision_that_changes_is_counted_at_its_own_threshold():
    exact = np.float32([[0.0, 0.0], [-1.5, 2.0]])  # probabilities 0.5, 0.5; 0.182, 0.881
    found = kept(decision(0.2, None), exact, exact + np.float32([[-0.1, 0.1], [0.2, 0.1]]))  # 0.182 -> 0.214
    assert (found.share, found.n) == (0.5, 2)
    assert found.probability == pytest.approx(1 / (1 + np.exp(1.3)) - 1 / (1 + np.exp(1.5)), abs=1e-6)


def test_an_untrained_finding_does_not_count_and_none_is_no_reason():
    exact = np.zeros((2, 2), np.float32)
    found = kept(decision(0.5, None, trained=(True, False)), exact, exact + np.asarray([0, 9], np.float32))
    assert (found.share, found.n, found.probability, found.beyond()) == (1.0, 2, 0.0, "")
    nothing = kept(decision(None, None, trained=(False, False)), exact, exact + 9)
    assert (nothing.share, nothing.probability, nothing.beyond()) == (None, None, "")


def test_one_decision_may_change_but_not_one_in_a_hundred_of_many():
    exact = np.full((12, 2), 0.001, np.float32)
    other = exact.copy()
    other[0, 0] = -0.001
    assert kept(decision(0.5, 0.5), exact, other).beyond() == ""
    other[1, 1] = -0.001
    assert kept(decision(0.5, 0.5), exact, other).beyond() == "2 of 24 decisions change (at least 99 % must stay)"
    exact, other = np.tile(exact, (100, 1)), np.tile(exact, (100, 1))
    other[:24, 0] = -0.001
    assert kept(decision(0.5, 0.5), exact, other).beyond() == ""
    other[24, 0] = -0.001
    assert "25 of 2400" in kept(decision(0.5, 0.5), exact, other).beyond()


class Network:
    """Gives the same logits for all images."""

    def __init__(self, logits):
        self.logits = np.float32(logits)

    def __call__(self, batch, training=None):
        return np.tile(self.logits, (len(batch), 1))

    predict_on_batch = __call__


@pytest.mark.parametrize(
    ("logits", "moved", "refusal"),
    [
        # Large logits far from their thresholds move by more than 2 % of the largest: no probability notices.
        ([9.0, -11.0], [0.326, 0.9], None),
        # The same shift, at most 2 % of the largest logit, where it decides.
        ([0.1, 16.0], [0.3, 0.0], "a probability changes by 0.074"),
        ([0.1, 0.1], [-0.15, -0.15], "24 of 24 decisions change"),
        ([0.5, 0.5], [0.1, 0.1], "probabilities change by 0.023 on average"),
    ],
)
def test_bfloat16_is_accepted_by_what_changes_for_the_user(logits, moved, refusal):
    network, other = Network(logits), Network(np.float32(logits) + np.float32(moved))
    arguments = network, other.predict_on_batch, 16, (1.0,), "bfloat16", decision(0.5, 0.5)
    if refusal:
        with pytest.raises(ExportError, match=refusal):
            exporting.hold_against_keras(*arguments)
        return
    check = exporting.hold_against_keras(*arguments)
    assert (check.decisions_kept, check.decisions, check.tolerance) == (1.0, 24, None)
    assert check.probability < 1e-4
    assert check.difference == pytest.approx(0.9, abs=1e-5)


def test_scores_near_their_thresholds_are_changed_where_the_drawn_images_are_not():
    """Radiographs were: 35 of 1,600 decisions on 200 of them, and none of 96 on the drawn images."""
    network, other = Network([3.0, -3.0]), Network([3.1, -3.1])
    arguments = network, other.predict_on_batch, 16, (1.0,), "bfloat16", decision(0.5, 0.5)
    far = np.float32([[4.0, -4.0]] * 98 + [[0.05, 4.0], [4.0, -0.05]])  # 2 of 200 decisions change with one sign of two
    assert exporting.hold_against_keras(*arguments, far).decisions_kept == 1.0
    near = np.float32([[4.0, -4.0]] * 97 + [[0.05, 0.05], [-0.05, 4.0], [-0.05, -0.05]])
    with pytest.raises(ExportError, match="scores of the test part: 60 of 4800 decisions change"):
        exporting.hold_against_keras(*arguments, near)


def test_each_change_counts_both_ways_and_the_largest_bounds_nothing():
    found = kept_of_scores(decision(0.5, None), np.float32([[0.2, 0.0]] * 5000), np.float32([[0.3, 9.0], [-0.1, 0.0]]))
    assert (found.share, found.n, found.probability) == (0.75, 4000, None)


def test_what_the_export_divided_its_logits_by_is_undone():
    network = Network([0.3, 0.3])
    arguments = 16, (3.0,), "bfloat16", decision(0.55, 0.55)  # 0.574 is positive; the sigmoid of 0.1 would not be
    run = Network(np.float32([0.1, 0.1])).predict_on_batch
    assert exporting.hold_against_keras(network, run, *arguments).decisions_kept == 1.0


def test_bfloat16_is_accepted_by_the_mean_over_the_views_that_predict_takes():
    network = Network([0.1, 0.1])

    def run(images):
        """Right for the images themselves, wrong for what is mirrored."""
        known = {image.tobytes() for image in (*golden.images(16), *exporting.fresh_images(16))}
        wrong = [image.tobytes() not in known for image in images]
        return network.predict_on_batch(images) - np.float32(0.8) * np.float32(wrong)[:, None]

    arguments = network, run, 16, (1.0,), "bfloat16"
    assert exporting.hold_against_keras(*arguments, decision(0.5, 0.5)).decisions_kept == 1.0
    with pytest.raises(ExportError, match="24 of 24 decisions change"):
        exporting.hold_against_keras(*arguments, decision(0.5, 0.5, tta=TtaSpec(flip_left_right=True)))
