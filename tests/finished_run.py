"""What a finished run knows of its model, without training one: for cards and whatever else shows it."""

import dataclasses

import numpy as np

from zoo.config.specs import to_dict
from zoo.evaluation.report import evaluate
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision
from zoo.training.recipe import Recipe, Stage


def finished_run(spec):
    """Metrics, decision and provenance of a finished run of a model."""
    decision = fit_decision(_scores(spec.findings, "validation", 1), date="2026-01-02")
    test = _scores(spec.findings, "test", 2)
    other = dataclasses.replace(test, logits=test.logits[::-1].copy())
    result = evaluate({spec.name: test, "pixel baseline": other}, {spec.name: decision})
    recipe = Recipe("small", spec, (Stage("only", epochs=3, batch_size=8, learning_rate=1e-3),))
    split = {"by": "patient", "seed": 7, "hash": "5" * 64, "films": {"train": 1234, "validation": 120, "test": 120}}
    versions = {"zoo": "0.1.0", "keras": "3.15.1", "backend": "jax", "python": "3.11.7", "date": "2026-01-02"}
    return {
        "result": result,
        "decision": decision,
        "provenance": {"recipe": to_dict(recipe), "split": split, **versions},
    }


def _scores(findings, split, seed):
    rng = np.random.default_rng(seed)
    labels = (rng.random((120, len(findings))) < 0.3).astype(float)
    logits = labels * 1.5 + rng.normal(size=labels.shape)
    labels[rng.random(labels.shape) < 0.1] = np.nan
    patients = np.array([f"p{i // 2}" for i in range(120)])
    return Scores(logits.astype(np.float32), labels, findings, split=split, split_hash="5" * 64, patients=patients)
