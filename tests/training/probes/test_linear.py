"""The fit of linear heads: the same numbers as scikit-learn's own pipeline, in the units of the raw features."""

import numpy as np
import pytest

from zoo.core.progress import Silent
from zoo.training.probes import folds
from zoo.training.probes.linear import Prepared

sklearn = pytest.importorskip("sklearn")


def problem(n=120, f=10, k=3, seed=0):
    """Features of uneven scales, of which one is constant, and labels that depend on them, a fifth unknown."""
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(n, f)) * rng.uniform(0.1, 10, f) + rng.normal(size=f)).astype(np.float32)
    features[:, 1] = 3.0
    standard = (features - features.mean(0)) / np.maximum(features.std(0), 1e-6)
    labels = (standard @ rng.normal(size=(f, k)) + rng.normal(size=(n, k)) > 0).astype(float)
    labels[rng.random((n, k)) < 0.2] = np.nan
    return features, labels, np.arange(n) // 2


@pytest.mark.parametrize("f", [10, 300])
@pytest.mark.parametrize("balanced", [False, True])
def test_logits_are_those_of_scikit_learn_on_standardised_features(f, balanced):
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    features, labels, _ = problem(f=f)
    fitted = Prepared(features).fit(labels, (1e-3, 1e-2), balanced=balanced)[1]
    assert fitted.kernel.shape == (f, 3)
    assert (fitted.kernel[1] == 0).all()
    standard = StandardScaler().fit(features.astype(float)).transform(features.astype(float))
    for j in range(3):
        known = ~np.isnan(labels[:, j])
        model = LogisticRegression(C=1e-2, max_iter=5000, tol=1e-8, class_weight="balanced" if balanced else None)
        model.fit(standard[known], labels[known, j])
        np.testing.assert_allclose(fitted.logits(features)[:, j], model.decision_function(standard), atol=2e-3)


def test_a_finding_of_one_class_gets_the_log_odds_of_its_smoothed_prevalence():
    features, labels, _ = problem()
    labels[:, 1] = np.where(np.isnan(labels[:, 1]), np.nan, 0.0)
    fitted = Prepared(features).fit(labels, (1e-2,))[0]
    n = int((~np.isnan(labels[:, 1])).sum())
    assert (fitted.kernel[:, 1] == 0).all()
    assert fitted.bias[1] == pytest.approx(np.log(0.5 / (n + 0.5)))


def test_folds_keep_patients_together_and_spread_both_classes_of_rare_findings():
    _, labels, patients = problem(n=200)
    labels[:, 2] = np.nan
    labels[:20, 2] = 0.0
    labels[[0, 40, 80, 120, 160], 2] = 1.0
    fold = folds.make_folds(labels, patients, 5, seed=3)
    for patient in np.unique(patients):
        assert len(np.unique(fold[patients == patient])) == 1
    for column in labels.T:
        for truth in (0, 1):
            assert set(fold[column == truth]) == set(range(5))
    assert (fold == folds.make_folds(labels, patients, 5, seed=3)).all()


def test_findings_without_enough_patients_of_a_class_are_named_with_the_reason():
    labels = np.array([[1, 1, np.nan], [0, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 0], [0, 0, 0]], float)
    same = ["a", "b", "a", "c", "a", "d"]
    found = folds.not_fittable(labels, np.array(same), 3, ["Edema", "Fracture", "Pneumonia"])
    assert found == {
        "Edema": "1 patient with a positive label, 3 folds need 3",
        "Fracture": "1 patient with a positive label, 3 folds need 3",
        "Pneumonia": "no positive label",
    }


def test_out_of_fold_logits_are_those_of_models_that_never_saw_the_row():
    features, labels, patients = problem()
    fold = folds.make_folds(labels, patients, 4, seed=0)
    crossed = folds.cross_fit(features, labels, fold, Silent(), (1e-3, 1e-1))
    held = fold == 2
    alone = Prepared(features[~held]).fit(labels[~held], (1e-3, 1e-1))[1]
    np.testing.assert_allclose(crossed.logits[1][held], alone.logits(features[held]), rtol=1e-6)
    changed = labels.copy()
    changed[held] = 1 - changed[held]
    again = folds.cross_fit(features, changed, fold, Silent(), (1e-3, 1e-1))
    np.testing.assert_array_equal(again.logits[:, held], crossed.logits[:, held])


def test_the_strength_of_a_fold_is_chosen_without_its_rows():
    fold, labels = np.array([0, 0, 1, 1]), np.array([[1.0], [0.0], [1.0], [0.0]])
    # The first strength ranks fold 0 right, the second fold 1.
    logits = np.array([[[2.0], [1.0], [1.0], [2.0]], [[1.0], [2.0], [2.0], [1.0]]])
    crossed = folds.CrossFit(logits, (0.1, 1.0), labels, fold)
    assert [crossed.best(fold == 0), crossed.best(fold == 1)] == [0, 1]
    nested, strengths = crossed.nested()
    assert strengths == (1.0, 0.1)
    assert nested.ravel().tolist() == [1.0, 2.0, 1.0, 2.0]
