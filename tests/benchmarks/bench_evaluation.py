"""Exact AUC, thresholds, calibration and patient-clustered intervals, beside the plain scikit-learn and NumPy loops."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_curve, roc_auc_score

from zoo.evaluation import metrics, report, thresholds
from zoo.evaluation.calibration.fitting import METHODS, choose, fit_calibration
from zoo.evaluation.decision import Decision
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics import delong, intervals
from zoo.labels.findings import FINDINGS
from zoo.report.html import write_report

K = len(FINDINGS)
RESAMPLES, LOOPS = 2000, 3
AUC, CUTS = f"Exact AUC, 100,000 x {K}", f"Exact max-F1 thresholds, 100,000 x {K}"
BOOTSTRAP = f"Intervals of the AUC from resampled patients, 22,000 x {K}"
DELONG, CALIBRATION = f"AUC with DeLong's variance, 11,000 x {K}", f"Calibration: {{}}, 22,000 x {K}"
WHOLE = f"A whole evaluation, 11,175 x {K}"


@functools.cache
def predictions(n: int) -> Scores:
    """Logits that rank, one label in ten positive, two images a patient on average."""
    rng = np.random.default_rng(0)
    labels = (rng.random((n, K)) < 0.1).astype(np.float32)
    patients = rng.integers(0, n // 2, n)
    return Scores(rng.normal(size=labels.shape) + labels, labels, FINDINGS, "validation", patients=patients)


def columns(scores: Scores) -> list[tuple[np.ndarray, np.ndarray]]:
    return [*zip(scores.labels.T, scores.logits.T, strict=True)]


def sklearn_auc(scores: Scores, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    return np.array([roc_auc_score(y[rows], z[rows]) for y, z in columns(scores)])


def same_auc(found: np.ndarray) -> str:
    gap = np.abs(found - sklearn_auc(predictions(100_000))).max()
    assert gap < 1e-12
    return f"differs from scikit-learn by {gap:.0e} at most"


def test_auc(compare: Callable[..., Any]) -> None:
    s = predictions(100_000)
    compare(AUC, "zoo", lambda: metrics.roc_auc(s.labels, s.logits), items=K, unit="findings/s", check=same_auc)


def test_auc_sklearn(compare: Callable[..., Any]) -> None:
    s = predictions(100_000)
    compare(AUC, "scikit-learn loop", lambda: sklearn_auc(s), items=K, unit="findings/s", peer=True)


def sklearn_f1(scores: Scores) -> list[float]:
    """F1 at the best of all cuts."""
    best = []
    for y, p in zip(scores.labels.T, scores.probabilities.T, strict=True):
        precision, recall, _ = precision_recall_curve(y, p.astype(np.float32))
        best.append(float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-12))))
    return best


def best_f1(found: Any) -> str:
    s = predictions(100_000)
    reached = metrics.f1(s.labels, s.probabilities, found["point"].thresholds)
    np.testing.assert_allclose(reached, sklearn_f1(s), atol=1e-12)
    return "F1 reached is the best of scikit-learn's curve (1e-12)"


def test_thresholds(compare: Callable[..., Any]) -> None:
    s, point = predictions(100_000), {"point": thresholds.PointSpec("max_f1")}
    fit = functools.partial(thresholds.fit_points, s, point)
    compare(CUTS, "zoo, with intervals of what they reach", fit, items=K, unit="findings/s", check=best_f1)


def test_thresholds_sklearn(compare: Callable[..., Any]) -> None:
    s = predictions(100_000)
    compare(CUTS, "scikit-learn loop", lambda: sklearn_f1(s), items=K, unit="findings/s", peer=True)


def test_all_points(compare: Callable[..., Any]) -> None:
    s, name = predictions(100_000), "zoo, all six operating points with intervals"
    compare(CUTS, name, lambda: thresholds.fit_points(s), items=6 * K, unit="findings/s")


def resampled(scores: Scores) -> dict[str, np.ndarray]:
    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {"auc": metrics.roc_auc(scores.labels, scores.logits, weights)}

    return intervals.bootstrap(statistic, scores.clusters, resamples=RESAMPLES, seed=0)


def sklearn_resampled(scores: Scores, loops: int) -> np.ndarray:
    """The same resamples, as index arrays: a patient drawn twice has its images twice."""
    clusters = scores.clusters
    drawn = next(intervals.draw(int(clusters.max()) + 1, loops, 0))
    rows = (np.repeat(np.arange(len(clusters)), one[clusters].astype(int)) for one in drawn)
    return np.array([sklearn_auc(scores, own) for own in rows])


def same_resamples(found: dict[str, np.ndarray]) -> str:
    assert found["auc"].shape == (RESAMPLES, K)
    np.testing.assert_allclose(found["auc"][:LOOPS], sklearn_resampled(predictions(22_000), LOOPS), atol=1e-9)
    return f"the first {LOOPS} resamples are scikit-learn's (1e-9)"


def test_bootstrap(compare: Callable[..., Any]) -> None:
    s, name = predictions(22_000), f"zoo, {RESAMPLES:,} resamples"
    compare(BOOTSTRAP, name, lambda: resampled(s), items=RESAMPLES, unit="resamples/s", rounds=3, check=same_resamples)


def test_bootstrap_sklearn(compare: Callable[..., Any]) -> None:
    s, name = predictions(22_000), f"scikit-learn loop, {LOOPS} of {RESAMPLES:,}"
    compare(BOOTSTRAP, name, lambda: sklearn_resampled(s, LOOPS), items=LOOPS, unit="resamples/s", rounds=3, peer=True)


def plain_delong(scores: Scores) -> np.ndarray:
    """(k, 2) AUC and its standard error from every pair of a positive and a negative, rows independent."""
    found = []
    for y, z in columns(scores):
        own, others = z[y == 1], z[y == 0]
        wins = (own[:, None] > others) + 0.5 * (own[:, None] == others)
        error = np.var(wins.mean(axis=1), ddof=1) / len(own) + np.var(wins.mean(axis=0), ddof=1) / len(others)
        found.append((wins.mean(), np.sqrt(error)))
    return np.array(found)


def same_variance(found: tuple[intervals.Interval, ...]) -> str:
    expected = plain_delong(predictions(11_000))
    np.testing.assert_allclose([i.value for i in found], expected[:, 0], atol=1e-12)
    np.testing.assert_allclose([(i.high - i.low) / (2 * 1.96) for i in found], expected[:, 1], rtol=0.05)
    return "AUC is the plain form's (1e-12), and so is the standard error (5 %)"


def test_delong(compare: Callable[..., Any]) -> None:
    s = predictions(11_000)
    compare(
        DELONG,
        "zoo",
        lambda: delong.delong(s.labels, s.logits),
        items=K,
        unit="findings/s",
        check=same_variance,
    )


def test_delong_plain(compare: Callable[..., Any]) -> None:
    s = predictions(11_000)
    compare(DELONG, "NumPy, all pairs", lambda: plain_delong(s), items=K, unit="findings/s", rounds=3, peer=True)


def sklearn_platt(scores: Scores) -> np.ndarray:
    models = (LogisticRegression(C=np.inf, tol=1e-8).fit(z[:, None], y) for y, z in columns(scores))
    return np.stack([m.predict_proba(z[:, None])[:, 1] for m, z in zip(models, scores.logits.T, strict=True)], axis=1)


def sklearn_isotonic(scores: Scores) -> np.ndarray:
    bound = 1 / (len(scores.labels) + 2)  # as ours: no image shows a probability to be 0 or 1
    model = IsotonicRegression(y_min=bound, y_max=1 - bound, out_of_bounds="clip")
    return np.stack([model.fit_transform(z, y) for y, z in columns(scores)], axis=1)


def same_as(expected: Callable[[Scores], np.ndarray], found: Any) -> str:
    s = predictions(22_000)
    calibrated = s.calibrated(Decision(FINDINGS, found.temperature, calibrator=found.calibrator))
    gap = np.abs(calibrated - expected(s)).max()
    assert gap < 1e-4
    return f"probabilities differ by {gap:.0e} at most"


RIVALS: dict[str, Callable[[Scores], np.ndarray]] = {"platt": sklearn_platt, "isotonic": sklearn_isotonic}


@pytest.mark.parametrize("method", METHODS)
def test_calibration(compare: Callable[..., Any], method: Any) -> None:
    compare(
        CALIBRATION.format(method),
        "zoo, with what it changed",
        functools.partial(fit_calibration, predictions(22_000), method),
        items=K,
        unit="findings/s",
        check=functools.partial(same_as, RIVALS[method]) if method in RIVALS else None,
    )


@pytest.mark.parametrize("method", RIVALS)
def test_calibration_sklearn(compare: Callable[..., Any], method: str) -> None:
    s, section = predictions(22_000), CALIBRATION.format(method)
    compare(section, "scikit-learn loop", lambda: RIVALS[method](s), items=K, unit="findings/s", peer=True)


def test_choice_of_calibration(compare: Callable[..., Any]) -> None:
    s, name = predictions(22_000), "zoo, all four methods in five folds, and none"
    section = CALIBRATION.format("choice by cross-validation")
    compare(section, name, lambda: choose(s), items=5 * len(METHODS) * K, unit="findings/s", rounds=3)


@functools.cache
def evaluated() -> tuple[Scores, Decision]:
    return replace(predictions(11_175), split="test"), thresholds.fit_decision(predictions(22_000))


def test_every_metric(compare: Callable[..., Any]) -> None:
    scores, decision = evaluated()
    work = lambda: report.evaluate({"model": scores}, decision)  # noqa: E731
    compare(WHOLE, "every metric with its interval", work, unit="evaluations/s", rounds=3)


def test_report(compare: Callable[..., Any], tmp_path: Path) -> None:
    scores, decision = evaluated()
    found = report.evaluate({"model": scores}, decision)
    compare(WHOLE, "report.html and its figures", lambda: write_report(found, tmp_path), unit="reports/s", rounds=3)


def test_command(compare: Callable[..., Any], tmp_path: Path) -> None:
    scores, _ = evaluated()
    names = [f"film{i}" for i in range(len(scores.labels))]
    for file, values in (("p.csv", scores.probabilities), ("l.csv", scores.labels.astype(int))):
        table = pd.DataFrame(values, columns=list(FINDINGS))
        table.assign(Image_name=names, Patient_ID=scores.patients).to_csv(tmp_path / file, index=False)
    command = ["evaluate", "--predictions", "p.csv", "--labels", "l.csv", "--out", "results"]

    def run() -> None:
        path = os.pathsep.join(filter(None, (str(Path.cwd()), os.environ.get("PYTHONPATH"))))
        env = os.environ | {"PYTHONPATH": path}
        subprocess.run(
            [sys.executable, "-m", "zoo.cli", *command], cwd=tmp_path, env=env, check=True, stdout=subprocess.DEVNULL
        )

    def wrote(_: None) -> str:
        assert (tmp_path / "results" / "report.html").exists()
        return "wrote report.html and metrics.json"

    compare(WHOLE, "`zoo evaluate`, a fresh process, from CSV to report", run, unit="runs/s", rounds=3, check=wrote)
