"""Exact AUC, thresholds, calibration and patient-clustered intervals, beside the plain scikit-learn loop."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_auc_score

from zoo.evaluation import intervals, metrics, report, thresholds
from zoo.evaluation.calibration import METHODS, choose, fit_calibration
from zoo.evaluation.scores import Scores
from zoo.findings import FINDINGS

ROUNDS = 3


def predictions(n: int) -> Scores:
    rng = np.random.default_rng(0)
    labels = (rng.random((n, len(FINDINGS))) < 0.1).astype(np.float32)
    patients = rng.integers(0, n // 2, n)
    return Scores(rng.normal(size=labels.shape) + labels, labels, FINDINGS, "tune", patients=patients)


def seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def sklearn_auc(scores: Scores) -> np.ndarray:
    return np.array([roc_auc_score(scores.labels[:, j], scores.logits[:, j]) for j in range(len(FINDINGS))])


def sklearn_f1(scores: Scores) -> list[float]:
    best = []
    for j in range(len(FINDINGS)):
        precision, recall, cuts = precision_recall_curve(scores.labels[:, j], scores.probabilities[:, j])
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
        best.append(float(cuts[np.argmax(f1[:-1])]))
    return best


def main() -> None:
    print("## Evaluation\n\n| what | zoo (s) | scikit-learn loop (s) | ratio |\n| --- | --- | --- | --- |")
    big, small = predictions(100_000), predictions(22_000)
    np.testing.assert_allclose(metrics.roc_auc(small.labels, small.logits), sklearn_auc(small), atol=1e-12)
    ours, theirs = seconds(lambda: metrics.roc_auc(big.labels, big.logits)), seconds(lambda: sklearn_auc(big))
    print(f"| exact AUC, 100,000 x 14 | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} |")
    ours, theirs = seconds(lambda: thresholds.fit_point(big, "max_f1")), seconds(lambda: sklearn_f1(big))
    print(f"| exact max-F1 thresholds with intervals, 100,000 x 14 | {ours:.2f} | {theirs:.2f} | {theirs / ours:.1f} |")
    ours = seconds(lambda: thresholds.fit_points(big))
    print(f"| six operating points with intervals, 100,000 x 14 | {ours:.2f} | | |")
    for method in METHODS:
        print(f"| calibration, {method}, 22,000 x 14 | {seconds(partial(fit_calibration, small, method)):.2f} | | |")
    print(f"| calibration, chosen by cross-validation, 22,000 x 14 | {seconds(lambda: choose(small)):.2f} | | |")

    def statistic(weights: np.ndarray | None) -> dict[str, np.ndarray]:
        return {"auc": metrics.roc_auc(small.labels, small.logits, weights)}

    ours = seconds(lambda: intervals.bootstrap(statistic, small.clusters, resamples=2000, seed=0))
    theirs = 2000 * seconds(lambda: sklearn_auc(small))  # the loop once, taken 2,000 times
    print(f"| AUC in 2,000 patient resamples of 22,000 x 14 | {ours:.1f} | {theirs:.0f} | {theirs / ours:.0f} |")
    decision, test = thresholds.fit_decision(small), replace(predictions(11_175), split="test")
    ours = seconds(lambda: report.evaluate({"model": test}, decision))
    print(f"| every metric of one model, 2,000 patient resamples of 11,175 x 14 | {ours:.1f} | | |")


if __name__ == "__main__":
    main()
