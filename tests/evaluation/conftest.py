"""Made-up predictions with what real ones have: rare findings, ties, unknown labels, patients with several films."""

from collections.abc import Callable

import numpy as np
import pytest

from zoo.evaluation.scores import Scores

MakeScores = Callable[..., Scores]


@pytest.fixture(scope="session")
def make_scores() -> MakeScores:
    def make(
        n: int = 600, k: int = 5, *, split: str = "validation", seed: int = 0, scale: float = 1.0, unknown: float = 0.1
    ):
        rng = np.random.default_rng(seed)
        prevalence = np.linspace(0.05, 0.5, k)
        labels = (rng.random((n, k)) < prevalence).astype(np.float32)
        # Two unit normals two apart: the true log-odds are 2x - 2 and the prior's; `scale` spoils the calibration.
        evidence = 2 * (rng.normal(size=(n, k)) + 2 * labels) - 2
        logits = np.round(scale * (evidence + np.log(prevalence / (1 - prevalence))), 2)
        labels[rng.random((n, k)) < unknown] = np.nan
        findings = tuple(f"Finding {j}" for j in range(k))
        return Scores(logits, labels, findings, split, "hash-of-split", rng.integers(0, max(2, n // 3), n))

    return make
