"""An evaluation with every block there is, from made-up scores with names that would break a careless page."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from zoo.evaluation import coherence, comparison, leakage, readers
from zoo.evaluation.calibration.prior_shift import shift_decision
from zoo.evaluation.refit import Fit, refit
from zoo.evaluation.report import evaluate
from zoo.evaluation.result import Evaluation, to_json
from zoo.evaluation.result.evaluation import EnsembleOf
from zoo.evaluation.scores import Scores
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


def everything(points: Sequence[str] = ()) -> dict:
    """What `metrics.json` holds of an evaluation with all that may be added to it; with some operating points alone."""
    test, rng = make_scores("test", 1), np.random.default_rng(2)
    fitted = refit(make_scores("validation", 0), Fit("temperature", guarantee=0.5, confidence=0.8))
    kept = {
        name: replace(point, origin=replace(point.origin, date="2026-01-02"))
        for name, point in fitted.operating_points.items()
        if not points or name in points
    }
    decision = shift_decision(replace(fitted, default="max_f1", operating_points=kept), {"Cardiomegaly": 0.123})
    other = replace(test, logits=test.logits + rng.normal(size=test.logits.shape))
    models = {"mine <1>": test, "other": other}
    groups = {
        "sex": rng.choice(["F", "M", ""], len(test.labels)),
        "age band": np.where(np.arange(len(test.labels)) < FEW // 4, "80+", "18-39"),
    }
    calls = {f"Reader {c}": np.where(rng.random(test.labels.shape) < 0.2, 1 - test.labels, test.labels) for c in "AB"}
    p = test.calibrated(decision)
    leaks = {
        "patients": leakage.shared_patients(test.patients[:3], test.patients).result(),
        "images": leakage.duplicate_images({"a.png": {"bytes": "1"}}, {"b.png": {"bytes": "1"}}).result(),
    }
    result = replace(
        evaluate(models, decision),
        kinds=dict.fromkeys(models, "logits"),
        ensemble=EnsembleOf("ranks", ("other", "a third")),
        comparison=comparison.compare(models),
        readers=readers.reader_points(models, calls),
        projection=coherence.reordering(p, coherence.project(p, FINDINGS), FINDINGS),
        notes=("A note of the caller.",),
    )
    return as_file(complete(result, test, decision, groups=groups, leakage=leaks))


def bare() -> dict:
    """The least there is: scores of unknown scale, without patients, of one model."""
    scores = make_scores("test", 3)
    unknown = replace(scores, kind="scores", patients=None, split_hash="")
    return as_file(evaluate({"ranks": unknown}))


def as_file(result: Evaluation) -> dict:
    """The result as it is read from `metrics.json`."""
    return json.loads(json.dumps(to_json(result), allow_nan=False))


def differences(found, wanted, where=""):
    """Each place where two JSON documents differ, in the order of their keys too; numbers may be 1e-9 apart."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        if list(found) != list(wanted):
            yield f"{where}: {list(found)}, not {list(wanted)}"
        for key in found.keys() & wanted.keys():
            yield from differences(found[key], wanted[key], f"{where}/{key}")
    elif isinstance(found, list) and isinstance(wanted, list):
        if len(found) != len(wanted):
            yield f"{where}: {len(found)} items, not {len(wanted)}"
        for i, (one, other) in enumerate(zip(found, wanted, strict=False)):
            yield from differences(one, other, f"{where}/{i}")
    elif isinstance(found, float) and isinstance(wanted, float):
        if abs(found - wanted) > 1e-9:
            yield f"{where}: {found}, not {wanted}"
    elif type(found) is not type(wanted) or found != wanted:
        yield f"{where}: {found!r}, not {wanted!r}"
