"""Whether arithmetic of less precision leaves a release's decisions as they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from zoo.evaluation.decision import Decision, positives, probabilities
from zoo.release.layout import MIN_DECISIONS_KEPT

#: Largest permitted change of a calibrated probability: what a shift of the log-odds by 0.2 makes of 0.5.
MAX_CHANGE = 0.05

#: Largest permitted mean change of the probabilities.
MAX_MEAN_CHANGE = 0.01

#: Largest number of images of the test part whose scores are compared with every change.
_SCORES = 1000


@dataclass(frozen=True)
class Kept:
    """What other logits leave of a decision.

    Attributes:
        share: Share of the decisions at the default operating point that stay; None without any threshold.
        n: Number of those decisions.
        probability: Largest change of a calibrated probability; None if no finding has one.
        mean: Mean change of the probabilities; None if no finding has one.
    """

    share: float | None
    n: int
    probability: float | None
    mean: float | None

    def beyond(self) -> str:
        """Which limits are exceeded, in words; "" if none.

        One decision may always change: a probability at its threshold may fall on either side in any arithmetic.
        """
        said = []
        if self.share is not None:
            changed = round((1 - self.share) * self.n)
            if changed > max(1, (1 - MIN_DECISIONS_KEPT) * self.n):
                said.append(
                    f"{changed} of {self.n} decisions change (at least {100 * MIN_DECISIONS_KEPT:g} % must stay)"
                )
        if self.probability is not None and not self.probability <= MAX_CHANGE:
            said.append(f"a probability changes by {self.probability:.3f} (at most {MAX_CHANGE:g})")
        if self.mean is not None and not self.mean <= MAX_MEAN_CHANGE:
            said.append(f"probabilities change by {self.mean:.3f} on average (at most {MAX_MEAN_CHANGE:g})")
        return "; ".join(said)


def kept(decision: Decision, exact: np.ndarray, other: np.ndarray) -> Kept:
    """Compares the probabilities and decisions that two sets of logits of the same images give.

    A logit far from its threshold may move more than one near it: 10 and 10.3 are the same probability. The bound on
    single probabilities limits what a few images cannot show, a decision that changes on images nearer the threshold.

    Args:
        decision: Decision of the model; findings that it calls untrained do not count.
        exact: float32 (n, findings) logits before the temperature.
        other: The same, computed with less precision.

    Example:
        >>> exact = np.array([[0.0, 10.0], [1.0, -9.0]], np.float32)
        >>> found = kept(Decision(("Edema", "Fracture")), exact, exact + np.float32([[-0.1, 0.4], [0.0, -0.4]]))
        >>> found.share, found.n, round(found.probability, 3), found.beyond()
        (0.75, 4, 0.025, '')
    """
    learned = np.array(decision.trained)
    first, second = (probabilities(np.asarray(z, np.float64), decision) for z in (exact, other))
    a, b = (positives(p, decision)[:, learned] for p in (first, second))
    decided = ~(np.isnan(a) | np.isnan(b))
    n = int(decided.sum())
    change = np.abs(first - second)[:, learned]
    share = float((a == b)[decided].mean()) if n else None
    return Kept(share, n, *((float(change.max()), float(change.mean())) if change.size else (None, None)))


def kept_of_scores(decision: Decision, scores: np.ndarray, change: np.ndarray) -> Kept:
    """What such changes of the logits would leave of the decisions on other images.

    Few images lie near a threshold, and drawn ones are further from it than radiographs: none of their decisions may
    change where one in fifty of those of radiographs does. How far arithmetic moves a logit is much the same on both,
    which way is not, so that each change counts both ways.

    Args:
        decision: Decision of the model.
        scores: float32 (n, findings) logits of the test part, before the temperature.
        change: float32 (m, findings) differences that were found on other images.

    Returns:
        The shares over all pairs of an image and a change. `probability` is None: over so many pairs the largest change
        would bound the largest logit alone.

    Example:
        >>> decision = Decision(("Edema", "Fracture"))
        >>> found = kept_of_scores(decision, np.float32([[0.05, 4.0], [-3.0, 0.3]]), np.float32([[0.1, 0.2]]))
        >>> found.share, found.n
        (0.875, 8)
    """
    changes = np.concatenate([change, -change])
    exact = np.repeat(scores[:_SCORES], len(changes), axis=0)
    other = exact + np.tile(changes, (len(exact) // len(changes), 1))
    return replace(kept(decision, exact, other), probability=None)
