from dataclasses import replace

import numpy as np
import pytest

from zoo.evaluation.report import evaluate
from zoo.evaluation.result import Estimate, Measure
from zoo.evaluation.result.probing import OwnHeads, Probe
from zoo.evaluation.tables import markdown
from zoo.evaluation.thresholds import fit_decision


@pytest.fixture(scope="module")
def named(make_scores):
    """Names as other people choose them."""
    names = ("Edema|left", "Effusion \\| right", "New\nline")
    validation, test = (replace(make_scores(200, 3, split=split), findings=names) for split in ("validation", "test"))
    decision = fit_decision(validation, default="max_f1")
    return evaluate({"ours|1": test, "theirs": test}, {"ours|1": decision})


def test_names_break_no_table(named):
    text = markdown(named)
    assert "| Edema\\|left |" in text
    assert "| Effusion \\| right |" in text  # escaped already
    assert "| New line |" in text
    assert "AUC of ours\\|1 minus this" in text
    tables = [block for block in text.split("\n\n") if block.startswith("|")]
    for table in tables:
        widths = {line.replace("\\|", "").count("|") for line in table.splitlines()}
        assert len(widths) == 1


def test_calibration_is_shown_before_and_after(named):
    text = markdown(named)
    change = named.calibration.macro[Measure("log_loss")]
    assert "Calibration (temperature, global, fitted on the validation part), means over findings: " in text
    assert f"log loss {change.before.value:.4f} [" in text
    assert f"to {change.after.value:.4f} [" in text


def test_a_result_of_before_there_was_such_a_block_is_shown_without(named):
    old = replace(named, calibration=None, curves=None, cooccurrence=None)
    assert "Calibration" not in markdown(old)
    assert "means over findings" not in markdown(old)


def test_scores_of_unknown_scale_have_a_table_too(make_scores):
    text = markdown(evaluate({"ranks": replace(make_scores(80, 2, split="test"), kind="scores")}))
    assert "| Finding | n | Positives | AUC | AP |" in text
    assert "F1" not in text


@pytest.mark.parametrize("same", [True, False])
def test_the_probed_models_own_heads_are_named_with_n_and_interval_and_whether_they_compare(named, same):
    mean = Estimate(0.7216, 0.658478, 0.782985, n=1168, positives=166)
    own = OwnHeads("nih-lite", "nih-part", "test", 146, 120, True, True, same, {"A": mean, "B": mean}, mean)
    text = markdown(replace(named, probe=Probe("nih-lite", {"m": 1.0}, 5, False, {}, {}, own=own)))
    assert (
        "- nih-lite itself (fine-tuned): mean AUC 0.722 [0.658, 0.783] over 2 findings, on the 146 images of 120 "
        "patients of its own test part (nih-part). "
    ) in text
    assert ("so the two cannot be compared" in text) is not same
    assert ("so these are the images of this test part; compare finding by finding" in text) is same


def test_a_comparison_without_numbers_is_a_dash(make_scores):
    scores = replace(make_scores(60, 2, split="test"), patients=np.zeros(60))
    text = markdown(evaluate({"a": scores}))
    assert "nan" not in text.lower()
