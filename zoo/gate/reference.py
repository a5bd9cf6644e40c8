"""What a model's training images look like, as data of its release, and the judgement of an image by it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from zoo.core.errors import ReleaseError
from zoo.gate.changes import GROUPS, KINDS
from zoo.gate.descriptor import FEATURES, describe, reduce
from zoo.gate.tones import Tones, check, check_size, measure
from zoo.gate.verdict import Verdict
from zoo.models.weights.header import read_release_header

#: File of a release.
FILE = "gate.safetensors"

#: Increased when descriptors, kinds or limits change their meaning: another version's file is not used.
VERSION = 1

#: Directions in which the training images' descriptors vary most; over all others the variance is taken as equal.
DIRECTIONS = 100

#: Largest size of a file in bytes.
MAX_BYTES = 2**20

_FAR = "unlike the training images: no chest radiograph, or a damaged one"

_SHAPES: dict[str, tuple[str, tuple[int, ...]]] = {
    "version": ("I32", ()),
    "images": ("I32", ()),
    "patients": ("I32", ()),
    "mean": ("F32", (FEATURES,)),
    "basis": ("F32", (FEATURES, DIRECTIONS)),
    "variances": ("F32", (DIRECTIONS,)),
    "rest": ("F32", ()),
    "kernel": ("F32", (FEATURES, len(KINDS))),
    "bias": ("F32", (len(KINDS),)),
    "limits": ("F32", (len(GROUPS),)),
    "furthest": ("F32", ()),
    "tones": ("F32", (3,)),
}
_DTYPES = {"I32": np.int32, "F32": np.float32}


@dataclass(frozen=True, eq=False)
class Reference:
    """The descriptors of training images in short; made by `zoo.gate.fitting.fit`.

    Attributes:
        images: Number of training images that it was fitted on.
        patients: Number of their patients.
        mean: float32 (features,) mean descriptor.
        basis: float32 (features, directions) in which descriptors vary most; orthonormal.
        variances: float32 (directions,) variance along each.
        rest: float32 () variance along every other direction.
        kernel: float32 (features, kinds); with `bias`, the log-odds of each of `KINDS` against a good image.
        bias: float32 (kinds,).
        limits: float32 (groups,) of these log-odds, for each of `GROUPS`.
        furthest: float32 () limit on the distance from the training images.
        tones: float32 (3,) limits on contrast, black and white.
    """

    images: np.ndarray
    patients: np.ndarray
    mean: np.ndarray
    basis: np.ndarray
    variances: np.ndarray
    rest: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray
    limits: np.ndarray
    furthest: np.ndarray
    tones: np.ndarray

    def __str__(self) -> str:
        return f"fitted on {int(self.images):,} images of {int(self.patients):,} patients"

    def judge(self, pixels: np.ndarray, decoded: tuple[int, int]) -> Verdict:
        """Judges one image.

        Args:
            pixels: uint8 (size, size, 1) grey levels, as the network gets them.
            decoded: Height and width of the image before it was resized to that, at least up to twice `size`.
        """
        too_small = check_size(decoded, len(pixels))
        if too_small is not None and too_small.quality == "rejected":
            return too_small
        small = reduce(pixels)
        if reason := check(measure(small), Tones(*map(float, self.tones))):
            return Verdict("rejected", reason)
        features = describe(small)[None]
        faults, far = self.odds(features)[0] - self._limit_of_kind, float(self.distance(features)[0] / self.furthest)
        worst = int(np.argmax(faults))
        kind = KINDS[worst] if faults[worst] > 0 else None
        if not far <= 1:  # NaN too
            # Of an image that is far from all others, only a turn and exchanged tones are told apart reliably.
            named = f"{kind.reason}; " if kind is not None and kind.group in ("turned", "inverted") else ""
            return Verdict("rejected", f"{named}{_FAR} ({far:.1f} times the distance of the furthest)")
        if kind is None:
            return too_small or Verdict()
        return Verdict("doubtful" if kind.group == "mirrored" else "rejected", kind.reason)

    def odds(self, features: np.ndarray) -> np.ndarray:
        """Returns the log-odds of each kind of fault against a good image, (n, kinds), of descriptors (n, features)."""
        return features @ self.kernel + self.bias

    def distance(self, features: np.ndarray) -> np.ndarray:
        """Returns the Mahalanobis distance (n,) of descriptors (n, features) from the training images.

        Their covariance is that of probabilistic principal components (Tipping and Bishop, "Probabilistic principal
        component analysis", JRSS B 1999): the variances along `basis`, and `rest` along every other direction.
        """
        away = features - self.mean
        along = away @ self.basis
        across = (away**2).sum(1) - (along**2).sum(1)
        return np.sqrt((along**2 / self.variances).sum(1) + np.maximum(across, 0) / self.rest)

    @property
    def _limit_of_kind(self) -> np.ndarray:
        return self.limits[[GROUPS.index(kind.group) for kind in KINDS]]


def save(reference: Reference, path: Path) -> None:
    """Writes a reference as a safetensors file."""
    from safetensors.numpy import save_file

    values = {field.name: getattr(reference, field.name) for field in fields(Reference)}
    values["version"] = np.array(VERSION)
    save_file({name: np.array(values[name], _DTYPES[kind], order="C") for name, (kind, _) in _SHAPES.items()}, path)


def described(checks: str) -> str:
    """Says which quality checks a release has.

    Args:
        checks: `str(Reference)`, or "" without any.

    >>> described("")
    'no checks: it is "unknown"'
    """
    return f"checks {checks}" if checks else 'no checks: it is "unknown"'


def load(path: Path) -> Reference | None:
    """Reads a reference; None for one of another version, which this version cannot use.

    Raises:
        ReleaseError: The file is not one that `save` writes: other tensors, types or shapes, or values that are not
            finite or not positive where they must be.
    """
    from safetensors import safe_open

    header = read_release_header(path)
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ReleaseError(f"{path}: {size:,} bytes are too many for this file (at most {MAX_BYTES:,})")
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in header.items()}
    with safe_open(path, "numpy") as file:
        # Another version may hold anything else.
        if found.get("version") == _SHAPES["version"] and int(file.get_tensor("version")) != VERSION:
            return None
        values = {name: file.get_tensor(name) for name in _SHAPES if name != "version"} if found == _SHAPES else {}
    if found != _SHAPES:
        wrong = sorted(name for name in {*found, *_SHAPES} if found.get(name) != _SHAPES.get(name))
        raise ReleaseError(
            f"{path}: not the reference of a gate: {', '.join(wrong)[:200]} missing, extra or of another shape"
        )
    if not all(np.isfinite(value).all() for value in values.values()):
        raise ReleaseError(f"{path}: holds numbers that are not finite")
    if not all((values[name] > 0).all() for name in ("variances", "rest", "furthest", "images", "patients")):
        raise ReleaseError(f"{path}: variances, distances and counts must be positive")
    reference = Reference(**values)
    ends = np.stack([np.full(len(reference.mean), end, np.float32) for end in (-1, 0, 1)])
    with np.errstate(all="ignore"):
        if not (np.isfinite(reference.distance(ends)).all() and np.isfinite(reference.odds(ends)).all()):
            raise ReleaseError(f"{path}: holds numbers so large that no image has a distance")
    return reference
