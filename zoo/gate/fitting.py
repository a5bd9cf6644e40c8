"""Fits the reference of a gate on a model's training images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zoo.core.errors import ImageError, MissingExtraError
from zoo.core.progress import Progress
from zoo.data.images.reading import Reader
from zoo.evaluation.statistics.intervals import cluster_folds
from zoo.gate.changes import GROUPS, KINDS, varied
from zoo.gate.descriptor import FEATURES, describe, reduce
from zoo.gate.reference import DIRECTIONS, Reference
from zoo.gate.tones import Tones, limits_of, measure

#: With fewer patients there is no reference: limits on the rarest 1 % cannot be told. At most so many images are used.
MIN_PATIENTS, MAX_IMAGES = 60, 2000

#: Group -> share of good images that its limit may reject; "far" is the distance.
REJECTED = {"turned": 0.001, "inverted": 0.001, "shuffled": 0.001, "cropped": 0.008, "mirrored": 0.005, "far": 0.004}

#: Folds of patients, so that limits come from images that the numbers were not fitted on.
_FOLDS = 5

#: Share of the covariance that is replaced by equal variances in all directions (Friedman, "Regularized discriminant
#: analysis", JASA 1989).
_SHRINKAGE = 0.1

#: Good images in each of two forms, then each kind of fault.
_CLASSES = 1 + len(KINDS)


class Samples:
    """Descriptors of good and of changed images, collected one image at a time.

    Args:
        seed: Of the random changes.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self.good: list[np.ndarray] = []
        self.faulty: list[np.ndarray] = []
        self.tones: list[Tones] = []

    def add(self, pixels: np.ndarray) -> None:
        """Adds one training image, uint8 (size, size, 1): as it is, varied a little, and with each kind of fault."""
        grey = pixels[..., 0]
        plain, other = reduce(grey), reduce(varied(grey, self._rng))
        self.tones += [measure(plain), measure(other)]
        self.good.append(np.stack([describe(plain), describe(other)]))
        changed = (np.ascontiguousarray(kind.change(grey, self._rng)) for kind in KINDS)
        self.faulty.append(np.stack([describe(reduce(image)) for image in changed]))


def fit_images(
    paths: Sequence[str],
    patients: Sequence[object] | np.ndarray,
    size: int,
    read: Reader,
    progress: Progress,
    *,
    seed: int = 0,
) -> Reference | None:
    """Fits a reference on training images, at most `MAX_IMAGES` of them, drawn at random.

    Args:
        paths: n images of the training part.
        patients: (n,) patient of each.
        size: Height and width of the network's input.
        read: Reads the pixels of an image.
        progress: Receives the progress.
        seed: Of the draw and of the changes.

    Returns:
        The reference; None with too few patients, which a message says.
    """
    whose = np.asarray(patients).astype(str)
    rows = np.arange(len(paths))
    if len(rows) > MAX_IMAGES:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_IMAGES, replace=False))
    samples, kept, failed = Samples(seed), [], ""
    with progress.task("quality checks", len(rows)) as advance:
        for row in rows.tolist():
            try:
                samples.add(read(paths[row], size, 1))
                kept.append(row)
            except ImageError as error:
                failed = failed or str(error)
            advance()
    if failed:
        progress.message(f"quality checks: {len(rows) - len(kept):,} images cannot be read, first {failed}")
    if len(np.unique(whose[kept])) < MIN_PATIENTS:
        progress.message(f"no quality checks: readable images of fewer than {MIN_PATIENTS} patients")
        return None
    return fit(samples, whose[kept], seed=seed)


def fit(samples: Samples, patients: np.ndarray, *, seed: int = 0) -> Reference:
    """Fits a reference.

    The log-odds are those of a linear discriminant analysis with one covariance for all kinds, shrunk towards equal
    variances. Each limit is the quantile of `REJECTED` among good images of patients that took no part in its fit.

    Args:
        samples: Descriptors of n images.
        patients: (n,) their patients.
        seed: Of the folds.
    """
    good, faulty = np.stack(samples.good), np.stack(samples.faulty)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        raise MissingExtraError("fitting quality checks", "threadpoolctl", "train") from None
    # Threads that share busy cores take many times as long for matrices of this size.
    with threadpool_limits(1):
        return _fit(good, faulty, patients, limits_of(samples.tones), seed)


def _fit(good: np.ndarray, faulty: np.ndarray, patients: np.ndarray, tones: Tones, seed: int) -> Reference:
    of = np.unique(patients, return_inverse=True)[1].reshape(-1)
    fold = cluster_folds(of, _FOLDS, seed)
    parts = [_Moments.of(good[fold == i], faulty[fold == i]) for i in range(_FOLDS)]
    odds, distances = np.empty((*good.shape[:2], len(KINDS))), np.empty(good.shape[:2])
    for i in range(_FOLDS):
        held = _numbers(_Moments.sum([part for j, part in enumerate(parts) if j != i]))
        odds[fold == i] = good[fold == i] @ held.kernel + held.bias
        distances[fold == i] = np.stack([held.distance(form) for form in good[fold == i].swapaxes(0, 1)], 1)
    whole = _numbers(_Moments.sum(parts))
    flat = odds.reshape(-1, len(KINDS))
    worst = [flat[:, [k.group == group for k in KINDS]].max(1) for group in GROUPS]
    limits = [max(_limit(found, REJECTED[group]), 0.0) for group, found in zip(GROUPS, worst, strict=True)]
    facts = {
        "images": np.array(len(good), np.int32),
        "patients": np.array(of.max() + 1, np.int32),
        "limits": np.array(limits, np.float32),
        "furthest": np.array(_limit(distances, REJECTED["far"]), np.float32),
        "tones": np.array([tones.contrast, tones.black, tones.white], np.float32),
    }
    return Reference(**{**vars(whole), **facts})


def _limit(found: np.ndarray, share: float) -> float:
    return float(np.quantile(found, 1 - share, method="higher"))


class _Moments:
    """Sums over images from which means and covariances are computed, so that folds are left out without a new pass.

    Attributes:
        n: Number of images.
        sums: (classes, features) of their descriptors by class; good images count in each of their forms.
        within: (features, features) products of all classes.
        good: (features, features) products of good images alone.
    """

    def __init__(self, n: int, sums: np.ndarray, within: np.ndarray, good: np.ndarray) -> None:
        self.n, self.sums, self.within, self.good = n, sums, within, good

    @classmethod
    def of(cls, good: np.ndarray, faulty: np.ndarray) -> _Moments:
        """Those of (n, 2, features) and (n, kinds, features)."""
        forms = good.reshape(-1, FEATURES)
        sums = np.concatenate([good.mean(1, dtype=np.float64).sum(0)[None], faulty.sum(0, dtype=np.float64)])
        rows = faulty.reshape(-1, FEATURES)
        own = (forms.T @ forms).astype(np.float64) / 2
        return cls(len(good), sums, own + (rows.T @ rows).astype(np.float64), own)

    @classmethod
    def sum(cls, parts: Sequence[_Moments]) -> _Moments:
        """Those of all images of some parts."""
        return cls(
            sum(part.n for part in parts),
            sum((part.sums for part in parts), np.zeros((_CLASSES, FEATURES))),
            sum((part.within for part in parts), np.zeros((FEATURES, FEATURES))),
            sum((part.good for part in parts), np.zeros((FEATURES, FEATURES))),
        )


def _numbers(held: _Moments) -> Reference:
    """The reference of these images without its limits."""
    means = held.sums / held.n
    covariance = held.within / (held.n * _CLASSES) - means.T @ means / _CLASSES
    level = np.trace(covariance) / FEATURES
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * level * np.eye(FEATURES)
    weights = np.linalg.solve(covariance, means.T)
    bias = -0.5 * (means.T * weights).sum(0)
    values, vectors = np.linalg.eigh(held.good / held.n - np.outer(means[0], means[0]))
    rest = max(values[:-DIRECTIONS].mean(), 1e-6)
    nothing = np.zeros(())
    return Reference(
        images=nothing,
        patients=nothing,
        mean=means[0].astype(np.float32),
        basis=vectors[:, -DIRECTIONS:].astype(np.float32),
        variances=(np.maximum(values[-DIRECTIONS:], 0) + rest).astype(np.float32),
        rest=np.array(rest, np.float32),
        kernel=(weights[:, 1:] - weights[:, :1]).astype(np.float32),
        bias=(bias[1:] - bias[0]).astype(np.float32),
        limits=nothing,
        furthest=nothing,
        tones=nothing,
    )
