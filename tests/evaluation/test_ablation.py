"""What an ingredient was worth: its difference over seeds and patients, and the table of all of them."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from zoo.core.errors import EvaluationError
from zoo.evaluation.ablation import markdown, table
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.scores import Scores
from zoo.evaluation.seeds import auc_difference
from zoo.evaluation.statistics.students import quantile

FINDINGS = ("Edema", "Fracture")


def drawn(rng, patients=60, shift=1.0, noise=0.0, base=None):
    """Scores of two images a patient; `base` are those whose patients and images they share."""
    if base is None:
        labels = (rng.random((2 * patients, 2)) < 0.4).astype(float)
        logits = rng.normal(size=labels.shape) + shift * labels
        return Scores(logits, labels, FINDINGS, "test", patients=np.repeat(np.arange(patients), 2).astype(str))
    return replace(base, logits=base.logits + noise * rng.normal(size=base.logits.shape))


def test_the_difference_is_the_mean_over_seeds_and_pairs_by_seed():
    rng = np.random.default_rng(0)
    full = [drawn(rng)]
    full += [drawn(rng, noise=0.3, base=full[0]) for _ in range(2)]
    less = [drawn(rng, noise=1.0, base=one) for one in full]
    found = auc_difference(full, less)
    each = [np.mean(roc_auc(a.labels, a.logits) - roc_auc(b.labels, b.logits)) for a, b in zip(full, less, strict=True)]
    assert found.each == pytest.approx(each)
    assert found.value == pytest.approx(np.mean(each))
    assert (found.seeds, found.patients) == (3, 60)
    assert found.low < found.value < found.high
    turned = auc_difference(less, full)
    assert (turned.value, turned.low, turned.high) == pytest.approx((-found.value, -found.high, -found.low))


def test_where_patients_make_no_difference_the_interval_is_that_of_the_seeds_alone():
    """One way ranks perfectly, the other perfectly or in reverse: every resample of patients gives the same."""
    labels = np.array([[1.0], [0.0]] * 30)
    good = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    bad = replace(good, logits=-good.logits)
    found = auc_difference([good, good, good], [good, bad, good])
    error = np.std([0, 1, 0], ddof=1) / np.sqrt(3)
    assert found.value == pytest.approx(1 / 3)
    assert found.high - found.value == pytest.approx(quantile(0.95, 2) * error)


def test_the_intervals_cover_what_they_say():
    """Two ways to train that are alike: 95 % of the intervals hold 0, over seeds and patients drawn anew."""
    held = 0
    for draw in range(150):
        rng = np.random.default_rng(draw)
        base = drawn(rng)
        ways = [[drawn(rng, noise=0.7, base=base) for _ in range(3)] for _ in range(2)]
        held += not auc_difference(*ways).excludes_zero
    assert held / 150 >= 0.92


@pytest.mark.parametrize("second", [[], "other rows"])
def test_what_cannot_be_paired_is_an_error(second):
    rng = np.random.default_rng(0)
    with pytest.raises(EvaluationError, match=r"as many seeds|not on the same rows"):
        auc_difference([drawn(rng)], [drawn(rng)] if second else [])


def test_the_table_shows_what_is_done_and_counts_what_is_not():
    rng = np.random.default_rng(1)
    base = drawn(rng, 200)
    noise = {"all": 0.1, "EMA": 0.1, "GeM": 3.0}
    cells = {name: {seed: drawn(rng, noise=much, base=base) for seed in range(3)} for name, much in noise.items()}
    cells["focal loss"] = {0: drawn(rng, noise=0.1, base=base)}
    cells["by study"] = cells["all"]
    found = table(["all", "EMA", "GeM", "focal loss", "by study", "mixup"], 3, cells, {"all": [1.0, 2.0], "GeM": [4.0]})
    rows = {row.name: row for row in found.rows}
    assert rows["all"].minutes == 1.5
    assert rows["GeM"].gain.low > 0.05
    assert not rows["EMA"].gain.excludes_zero
    assert rows["focal loss"].gain.low is None
    assert rows["mixup"].gain is None
    text = markdown(found, "400 images")
    assert "on 400 images of 200 patients of the test part" in text
    assert "The data show a gain by: GeM." in text
    assert "| focal loss | 1 |" in text
    assert "too few seeds for an interval" in text
    assert "| mixup | 0 |  | not done |  |" in text
    assert "| by study | 3 | " in text
    assert "| nothing: it changes no AUC here |" in text
    assert "Not complete: 5 of 18 cells are missing." in text
    assert "2 intervals at 95%: if no ingredient did anything, 0.1 of them" in text


def test_what_cannot_be_told_is_no_number_in_json_and_a_word_in_the_page():
    base = drawn(np.random.default_rng(2))
    negative = replace(base, labels=np.zeros_like(base.labels))
    for scores, value in ((base, pytest.approx(0)), (negative, None)):
        found = table(["all", "EMA", "GeM"], 2, {"all": {0: scores}, "EMA": {0: scores}}, {"all": [1.0]})
        saved = json.loads(json.dumps(asdict(found), allow_nan=False))
        assert [row["minutes"] for row in saved["rows"]] == [1.0, None, None]
        gain = saved["rows"][1]["gain"]
        assert (gain["value"], gain["low"], gain["high"], gain["each"]) == (value, None, None, [value])
    page = markdown(found, "120 images")
    assert "mean of 1 seed: undefined" in page
    assert "| EMA | 1 | undefined | undefined |  |" in page


def test_without_the_full_recipe_there_is_no_table():
    assert table(["all", "EMA"], 2, {"EMA": {0: drawn(np.random.default_rng(0))}}, {}) is None
