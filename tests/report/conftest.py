"""Metrics with every block there is, from made-up scores with names that would break a careless page."""

import json
from dataclasses import replace

import numpy as np
import pytest

from zoo.evaluation import coherence, comparison, leakage, readers
from zoo.evaluation.prior_shift import shift_decision
from zoo.evaluation.refit import Fit, refit
from zoo.evaluation.report import evaluate
from zoo.evaluation.scores import Scores
from zoo.report.html import write_report
from zoo.report.mistakes import Mistake
from zoo.runs.results import complete

#: The second one has no signal, the fourth no positive film.
FINDINGS = ("Cardiomegaly", "<b>&| $x^2$", "No Finding", "Fracture")
FEW = 40


def make_scores(split: str, seed: int, n: int = 160) -> Scores:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 4)) < (0.3, 0.4, 0.5, 0.0)).astype(np.float32)
    logits = rng.normal(size=(n, 4)) + np.array([2.5, 0.0, 1.5, 0.0]) * labels - 1
    labels[rng.random((n, 4)) < 0.05] = np.nan
    return Scores(
        logits, labels, FINDINGS, split, "f00d" * 16, np.char.add("P", rng.integers(0, n // 2, n).astype(str))
    )


@pytest.fixture(scope="session")
def everything() -> dict:
    """What `evaluate` gives with all that may be added to it, after a round trip through JSON."""
    test, rng = make_scores("test", 1), np.random.default_rng(2)
    fitted = refit(make_scores("validation", 0), Fit("temperature", promise=0.5, confidence=0.8))
    decision = shift_decision(replace(fitted, default="max_f1"), {"Cardiomegaly": 0.123})
    other = replace(test, logits=test.logits + rng.normal(size=test.logits.shape))
    models = {"mine <1>": test, "other": other}
    groups = {
        "sex": rng.choice(["F", "M", ""], len(test.labels)),
        "age band": np.where(np.arange(len(test.labels)) < FEW // 4, "80+", "18-39"),
    }
    calls = {f"Reader {c}": np.where(rng.random(test.labels.shape) < 0.2, 1 - test.labels, test.labels) for c in "AB"}
    few = {"resamples": FEW}
    metrics = evaluate(models, decision, **few)
    p = test.calibrated(decision)
    metrics["projection"] = coherence.reordering(p, coherence.project(p, FINDINGS), FINDINGS)
    leaks = {
        "patients": leakage.shared_patients(test.patients[:3], test.patients).to_dict(),
        "images": leakage.duplicate_images({"a.png": {"bytes": "1"}}, {"b.png": {"bytes": "1"}}).to_dict(),
    }
    metrics = complete(metrics, test, decision, groups=groups, leakage=leaks)
    metrics["comparison"] = comparison.compare(models, **few)
    metrics["readers"] = readers.reader_points(models, calls, **few)
    metrics["notes"] = ["A note of the caller."]
    return json.loads(json.dumps(metrics))


@pytest.fixture(scope="session")
def bare() -> dict:
    """The least there is: scores of unknown scale, without patients, of one model."""
    scores = make_scores("test", 3)
    unknown = replace(scores, kind="scores", patients=None, split_hash="")
    return json.loads(json.dumps(evaluate({"ranks": unknown}, resamples=FEW)))


@pytest.fixture(scope="session")
def history() -> list[dict]:
    """Rows as a CSV reader gives them: text, with blanks."""
    rows = []
    for member in ("small", "large"):
        for i, (stage, auc) in enumerate([("stage1", "0.6"), ("stage1", "0.7"), ("stage2", "")], 1):
            row = {"job": f"{member} {stage}", "stage": stage, "epoch": str(i), "loss": str(1 / i)}
            rows.append(row | {"val_loss": str(1.1 / i), "val_auc": auc})
    return rows


@pytest.fixture(scope="session")
def mistakes() -> list[Mistake]:
    film = np.linspace(0, 255, 900 * 700).reshape(900, 700).astype(np.uint8)
    overlay = np.stack([film, film, 255 - film], axis=-1)
    first = Mistake("film <1>.png", FINDINGS[0], 0, 0.98765, film, overlay)
    return [first, Mistake("film 2.png", FINDINGS[1], 1, 0.01234, film[:64, :64])]


@pytest.fixture(scope="session")
def written(everything, history, mistakes, tmp_path_factory):
    """The page of all there is."""
    folder = tmp_path_factory.mktemp("report")
    command = "zoo evaluate --out <here> " + "--long " * 40
    return write_report(
        everything, folder, history=history, mistakes=mistakes, heatmap_method="Grad-CAM", command=command
    )
