from dataclasses import replace

import numpy as np
import pytest

from zoo.core.errors import SplitError
from zoo.evaluation import metrics
from zoo.evaluation.calibration import fitting
from zoo.evaluation.calibration.fitting import CANDIDATES, METHODS, TEMPERATURES, choose, fit_calibration
from zoo.evaluation.decision import Decision
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision


def calibrated(scores, fitted):
    return scores.calibrated(Decision(scores.findings, fitted.temperature, calibrator=fitted.calibrator))


@pytest.fixture(scope="session")
def shifted(make_scores):
    """Logits that are too high as a whole, as those of a loss that weights positives up: no temperature mends it."""
    scores = make_scores(3000, 3)
    return replace(scores, logits=scores.logits + 1.5)


@pytest.fixture(scope="session")
def bent(make_scores):
    """Log-odds through a bend, which neither a temperature nor a line can straighten."""
    scores = make_scores(4000, 2)
    return replace(scores, logits=np.where(scores.logits > -1, 0.05 * scores.logits, 3 * scores.logits))


def test_the_temperature_is_the_minimum_of_the_loss(make_scores):
    scores = make_scores(scale=2.5)
    fitted = fit_calibration(scores)
    grid = np.linspace(0.5, 6, 4001)
    loss = [np.nanmean(np.logaddexp(0, scores.logits / t) - scores.labels * scores.logits / t) for t in grid]
    assert fitted.temperature[0] == pytest.approx(grid[np.argmin(loss)], abs=0.002)
    assert fitted.nll[1] == pytest.approx(min(loss), abs=1e-7)
    assert fitted.temperature[0] == pytest.approx(2.5, rel=0.15)


def test_scaling_undoes_overconfidence(make_scores):
    fitted = fit_calibration(make_scores(3000, scale=3.0))
    assert fitted.nll[1] < fitted.nll[0]
    assert fitted.brier[1] < fitted.brier[0]
    assert fitted.ece[1] < 0.3 * fitted.ece[0]


@pytest.mark.parametrize("scale", [0.2, 5.0])
def test_each_finding_finds_its_own_temperature(make_scores, scale):
    scores = make_scores(3000)
    logits = scores.logits.copy()
    logits[:, 3] *= scale
    fitted = fit_calibration(replace(scores, logits=logits), "temperature_per_finding")
    assert fitted.temperature[3] == pytest.approx(scale, rel=0.15)
    assert fitted.temperature[4] == pytest.approx(1.0, rel=0.15)
    assert fitted.notes[0].startswith("global temperature ")


def test_few_labels_take_the_common_temperature_and_many_their_own(make_scores):
    """The inverse temperature of a finding lies between the common one and its own, and nears its own with n."""
    scores, spread = make_scores(3000, unknown=0.0), np.array([0.8, 0.9, 1.0, 1.1, 1.4])
    scores = replace(scores, logits=scores.logits * spread)
    kept = []
    for n in (20, 100, 3000):
        labels = scores.labels.copy()
        labels[n:, 4] = np.nan
        some = replace(scores, labels=labels)
        shared = 1 / fit_calibration(some).temperature[0]
        alone = 1 / fit_calibration(replace(some, labels=np.where(np.arange(5) == 4, labels, np.nan))).temperature[0]
        fitted = 1 / fit_calibration(some, "temperature_per_finding").temperature[4]
        kept.append((fitted - shared) / (alone - shared))
    assert 0 < kept[0] < kept[1] < kept[2] < 1.05
    assert kept[0] < 0.7
    assert kept[2] > 0.95


def test_findings_that_differ_by_chance_alone_share_a_temperature(make_scores):
    """The estimated variance is 0 about as often as not, and the errors are half of those of separate fits."""
    shared, errors = 0, []
    for seed in range(20):
        scores = make_scores(400, seed=seed, scale=2.0)
        fitted = np.array(fit_calibration(scores, "temperature_per_finding").temperature)
        alone = [fit_calibration(scores.subset(findings=(finding,))).temperature[0] for finding in scores.findings]
        shared += len(set(fitted)) == 1
        errors.append([np.mean((1 / fitted - 0.5) ** 2), np.mean((1 / np.array(alone) - 0.5) ** 2)])
    assert shared >= 8
    ours, separate = np.mean(errors, axis=0)
    assert ours < 0.5 * separate


def test_images_of_one_patient_move_a_temperature_less(make_scores):
    """Every image four times, under one patient: nothing is learned, so the temperatures are those of one time."""
    scores = make_scores(300, unknown=0.0)
    scores = replace(scores, logits=scores.logits * [0.5, 0.8, 1.0, 1.4, 2.2], patients=np.arange(300).astype(str))
    fourfold = scores.subset(np.repeat(np.arange(300), 4))
    independent = replace(fourfold, patients=None)
    once, copied, apart = (fit_calibration(s, "temperature_per_finding") for s in (scores, fourfold, independent))
    assert copied.temperature == pytest.approx(once.temperature, rel=1e-6)
    assert np.ptp(1 / np.array(apart.temperature)) > np.ptp(1 / np.array(once.temperature))


def test_platt_moves_what_a_temperature_cannot(shifted):
    fitted = {method: fit_calibration(shifted, method) for method in METHODS}
    assert fitted["platt"].ece[1] < 0.2 * fitted["temperature"].ece[1]
    slope, intercept = (np.array(v) for v in (fitted["platt"].calibrator.slope, fitted["platt"].calibrator.intercept))
    # z / T * slope + intercept is the log-odds that were spoilt.
    assert slope / fitted["platt"].temperature[0] == pytest.approx(1.0, abs=0.12)
    assert intercept == pytest.approx(-1.5, abs=0.25)
    means = calibrated(shifted, fitted["platt"]), shifted.labels
    known = ~np.isnan(shifted.labels)
    assert np.mean(means[0], axis=0, where=known) == pytest.approx(np.mean(means[1], axis=0, where=known), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_no_method_moves_a_film_past_another(bent, method):
    before, after = bent.logits, calibrated(bent, fit_calibration(bent, method))
    order = np.argsort(before, axis=0)
    assert (np.diff(np.take_along_axis(after, order, axis=0), axis=0) >= -1e-15).all()
    change = metrics.roc_auc(bent.labels, after) - metrics.roc_auc(bent.labels, before)
    assert np.abs(change).max() < (0.02 if method == "isotonic" else 1e-12)


def test_isotonic_bends(bent):
    fitted = {method: fit_calibration(bent, method) for method in METHODS}
    assert min(METHODS, key=lambda method: fitted[method].nll[1]) == "isotonic"
    assert fitted["isotonic"].ece[1] < 0.01 < fitted["platt"].ece[1]
    p = calibrated(bent, fitted["isotonic"])
    assert 0 < p.min() < p.max() < 1


def test_the_choice_is_the_simplest_that_is_good_enough(make_scores, shifted, bent):
    assert choose(make_scores(2000, scale=2.0)).method == "temperature"
    assert choose(shifted).method == "platt"
    assert choose(bent).method == "isotonic"


@pytest.mark.parametrize(("spoil", "right", "most"), [
    (lambda z: z, "none", 28),
    (lambda z: 1.6 * z, "temperature", 30),
    (lambda z: z * np.linspace(0.5, 2, 5), "temperature_per_finding", 30),
    (lambda z: z + 1, "platt", 30),
], ids=["calibrated", "too sure", "another scale each", "too high"])  # fmt: skip
def test_auto_leaves_calibrated_logits_alone_and_mends_the_others(make_scores, spoil, right, most):
    chosen = []
    for seed in range(30):
        scores = make_scores(seed=seed)
        choice = choose(replace(scores, logits=spoil(scores.logits)))
        chosen.append(choice.method)
        simpler = CANDIDATES[: CANDIDATES.index(choice.method) + 1]
        assert choice.losses[choice.method] <= min(choice.losses[method] for method in simpler)
    assert chosen.count(right) >= most


def test_a_method_within_one_standard_error_is_not_chosen_where_a_simpler_one_is_better(make_scores, monkeypatch):
    """A large standard error of its own lets a method pass that is worse than none."""
    scores = replace(make_scores(unknown=0.0), patients=None)
    best = np.full(scores.labels.shape, 0.5)
    noise = np.asarray(np.random.default_rng(0).normal(size=best.shape))
    made = {"none": best + 0.1, "temperature": best + 0.2 + 20 * (noise - noise.mean()), "isotonic": best}
    monkeypatch.setattr(fitting, "_losses", lambda *_: made["none"])
    monkeypatch.setattr(fitting, "_cross_validated", lambda _, method, __: made[method])
    choice = choose(scores, ["none", "temperature", "isotonic"])
    assert choice.behind["temperature"][0] < choice.behind["temperature"][1]
    assert choice.method == "isotonic"


def test_the_choice_can_be_limited(shifted):
    fitted = fit_calibration(shifted, TEMPERATURES)
    assert fitted.method in TEMPERATURES
    assert "platt" not in fitted.notes[0]
    assert fit_calibration(shifted, "auto").method == "platt"


def test_too_few_patients_to_choose_give_none_and_say_so(make_scores):
    fitted = fit_calibration(replace(make_scores(20), patients=np.arange(20) % 4), "auto")
    assert (fitted.method, fitted.temperature) == ("none", (1.0,))
    assert fitted.notes == ("none, without a choice: 4 patients for a cross-validation in 5 folds",)
    assert "no label is known" in fit_calibration(make_scores(unknown=1.0), "auto").notes[0]


def test_chosen_none_is_an_identity_with_its_reason(make_scores):
    decision = fit_decision(make_scores(), calibration="auto", date="2026-01-02")
    assert (decision.temperature, decision.calibrator) == ((1.0,), None)
    assert (decision.temperature_origin.recipe, decision.temperature_origin.split) == ("none", "validation")
    assert decision.temperature_origin.notes[0].startswith("none chosen by cross-validated log loss")


def test_without_known_labels_nothing_is_chosen(make_scores):
    with pytest.raises(ValueError, match="known labels, there are none"):
        choose(make_scores(unknown=1.0))


def test_a_finding_of_another_scale_is_worth_a_temperature_of_its_own(make_scores):
    scores = make_scores(3000)
    logits = scores.logits * [1, 1, 1, 4, 0.3]
    assert choose(replace(scores, logits=logits)).method == "temperature_per_finding"


def test_the_choice_is_made_on_labels_that_were_not_fitted_to(make_scores):
    """On few images isotonic steps fit best and predict worst."""
    scores = make_scores(150, 2, unknown=0.0)
    choice = choose(scores)
    assert fit_calibration(scores, "isotonic").nll[1] < fit_calibration(scores, "temperature").nll[1]
    assert choice.losses["isotonic"] > choice.losses["temperature"]
    assert choice.behind["isotonic"][0] == pytest.approx(
        choice.losses["isotonic"] - min(choice.losses.values()), abs=2e-3
    )
    assert choice.losses["none"] == pytest.approx(metrics.log_loss(scores.labels, scores.probabilities).mean())


def test_films_of_one_patient_are_never_on_both_sides(make_scores):
    """Copies of each image under the name of its patient tell nothing new: the loss stays about as it is."""
    scores = make_scores(200, 2)
    copied = replace(
        scores,
        logits=np.tile(scores.logits, (3, 1)),
        labels=np.tile(scores.labels, (3, 1)),
        patients=np.tile(scores.patients, 3),
    )
    films = [scores, copied, replace(copied, patients=None)]
    once, thrice, leaky = (choose(s, ["isotonic"]).losses["isotonic"] for s in films)
    assert thrice == pytest.approx(once, rel=0.05)
    assert leaky < 0.9 * thrice  # taken for patients of their own, copies give the label away


def test_auto_says_what_it_chose_and_why(shifted):
    fitted = fit_calibration(shifted, "auto")
    assert (fitted.method, fitted.calibrator.kind) == ("platt", "platt")
    assert fitted.notes[0].startswith("platt chosen by cross-validated log loss on the validation part (none ")
    decision = fit_decision(shifted, calibration="auto", date="2026-01-02")
    assert decision.calibrator == fitted.calibrator
    assert decision.temperature_origin.recipe == "platt"
    assert decision.temperature_origin.notes == fitted.notes


def test_unknown_labels_do_not_enter(make_scores):
    scores = make_scores(unknown=0.0)
    half = np.arange(600) < 300
    masked = replace(scores, labels=np.where(half[:, None], scores.labels, np.nan))
    for method in METHODS:
        a, b = (fit_calibration(s, method) for s in (masked, scores.subset(half)))
        assert (a.temperature, a.calibrator) == (b.temperature, b.calibrator)


def test_a_finding_without_both_classes_takes_the_global_temperature(make_scores):
    scores = make_scores()
    labels = scores.labels.copy()
    labels[:, 1] = 0
    labels[:, 2] = np.nan
    scores = replace(scores, labels=labels, logits=scores.logits * [1, 1, 1, 1, 3])
    fitted, (shared,) = fit_calibration(scores, "temperature_per_finding"), fit_calibration(scores).temperature
    assert fitted.temperature[1:3] == pytest.approx([shared, shared], rel=1e-9)
    assert fitted.temperature[4] > 1.5 * fitted.temperature[0]


@pytest.mark.parametrize("method", METHODS[2:])
def test_a_finding_with_few_of_a_class_takes_the_global_temperature(make_scores, method):
    scores = make_scores()
    labels = scores.labels.copy()
    labels[:, 1] = 0
    labels[:, 2] = np.nan
    scores = replace(scores, labels=labels)
    fitted, shared = fit_calibration(scores, method), fit_calibration(scores)
    assert np.array_equal(calibrated(scores, fitted)[:, 1:3], calibrated(scores, shared)[:, 1:3])
    assert not np.array_equal(calibrated(scores, fitted)[:, 0], calibrated(scores, shared)[:, 0])
    assert fitted.notes == (
        "Finding 1: 0 positives of 600, takes the global temperature",
        "Finding 2: 0 positives of 0, takes the global temperature",
    )


@pytest.mark.parametrize("method", METHODS)
def test_one_class_alone_leaves_the_temperature_at_one(method):
    fitted = fit_calibration(Scores(np.ones((9, 1)), np.zeros((9, 1)), ("Edema",), "validation"), method)
    assert (fitted.temperature, fitted.calibrator) == ((1.0,), None)
    assert "no finding has both classes" in fitted.notes[0]
    assert np.isnan(fitted.ece).all()


def test_bad_calibrations(make_scores):
    with pytest.raises(SplitError, match="calibration must be fitted on the validation part"):
        fit_calibration(make_scores(split="test"))
    with pytest.raises(SplitError, match="calibration must be fitted on the validation part"):
        choose(make_scores(split="test"))
    with pytest.raises(ValueError, match="'temperature', 'temperature_per_finding', 'platt', 'isotonic', got 'plat'"):
        fit_calibration(make_scores(), "plat")
    with pytest.raises(ValueError, match="a patient for each, got 5 folds"):
        choose(replace(make_scores(20), patients=np.arange(20) % 4))
