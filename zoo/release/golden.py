"""Golden images and their logits: does this backend compute what the one that wrote the release did?"""

from __future__ import annotations

import math
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from zoo._version import __version__
from zoo.config.specs import MAX_IMAGE_SIZE
from zoo.core import home
from zoo.core.errors import ReleaseError, WeightsError
from zoo.core.files import content_key, write_json
from zoo.core.warn import warn_user
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.models.weights.header import read_header
from zoo.release import manifest
from zoo.training import devices

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble
    from zoo.release.folder import ReleaseFolder

LOGITS, IMAGES = "parity.json", "parity.safetensors"

#: Largest difference of a logit that goes without a word; float32 on another backend stays below it.
TOLERANCE = 1e-4

#: Above it the network is not the one that was released. TF32 and bfloat16 arithmetic of accelerators lie between.
LIMIT = 0.25

#: The same on a CPU, where every backend computes in float32.
CPU_LIMIT = 2e-2

#: What `Predictor.predict` sends by default: the check compiles no shape of its own.
_BATCH = 16

#: How many golden images there may be, and their bytes with a header.
MAX_IMAGES = _BATCH
MAX_BYTES = MAX_IMAGES * MAX_IMAGE_SIZE**2 + 2**16


def images(size: int) -> np.ndarray:
    """uint8 (4, size, size, 1) phantoms with some findings on them.

    Noise will not do: a trained network's logits on it reach hundreds, and differ by tens between backends that agree
    to 1e-5 on radiographs.
    """
    shown = ((), ("Edema",), ("Pleural Effusion", "Support Devices"), ("Cardiomegaly", "Lung Lesion"))
    drawn = [draw_phantom(np.random.default_rng(i), findings)[0] for i, findings in enumerate(shown)]
    return np.stack([read_image(image, size) for image in drawn])


def write(folder: Path, model: Ensemble, size: int) -> dict[str, np.ndarray]:
    """Writes the golden images and the logits of `model` and of each of its members; returns the logits."""
    import keras

    golden = images(size)
    logits = {"ensemble": predict(model, golden)}
    logits |= {member.name: predict(member, golden) for member in model.members}
    if broken := [name for name, values in logits.items() if not np.isfinite(values).all()]:
        raise ReleaseError(f"{folder}: not written: the logits of {', '.join(broken)} are not finite")
    save_file({"images": golden}, folder / IMAGES)
    manifest.write_json(
        folder / LOGITS,
        {
            "backend": keras.config.backend(),
            "images": IMAGES,
            "tolerance": TOLERANCE,
            "logits": {name: values.tolist() for name, values in logits.items()},
        },
    )
    return logits


def check(release: ReleaseFolder, model: Ensemble, run: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
    """Holds a loaded model against the golden logits, at its first load on this machine; what was found is remembered.

    A sha256 says that the files are those of the manifest, not that they belong together: tensors of one shape that
    were exchanged, or a member of another release, are found here alone.

    Args:
        release: Where `model` comes from.
        model: All of its members, or some.
        run: uint8 (n, size, size, 1) golden images -> float32 (n, findings) logits; by default `predict` of `model`.

    Raises:
        ReleaseError: The logits are not finite, or differ by more than `LIMIT` (`CPU_LIMIT` on a CPU). Above the
            tolerance of the release it is a warning.
    """
    import keras

    facts = _facts(release, model)
    noted = home.home() / "checked" / f"{content_key(facts)}.json"
    difference, tolerance = _recall(noted, facts), _golden(release)["tolerance"]
    known = difference is not None
    if difference is None:
        difference = gap(release, model, run)
    where, backend = release.source or release.folder, keras.config.backend()
    if not math.isfinite(difference):
        raise ReleaseError(f"{where}: its logits of the golden images are not finite: the weights are broken")
    found = (
        f"{where}: logits on {backend} differ by {difference:.2g} from those released on {release.backend} "
        f"(tolerance {tolerance:g})"
    )
    if difference > (CPU_LIMIT if _is_cpu() else LIMIT):
        other = f"; use KERAS_BACKEND={release.backend}" if backend != release.backend else ""
        raise ReleaseError(f"{found}: this is not the network that was released{other}")
    if not known:
        # Where it cannot be noted, it is checked again next time.
        with suppress(OSError):
            write_json(noted, {**facts, "difference": difference})
    if difference > tolerance:
        warn_user(f"{found}; other arithmetic, such as an accelerator's, may be the reason")


def gap(release: ReleaseFolder, model: Ensemble, run: Callable[[np.ndarray], np.ndarray] | None = None) -> float:
    """Largest absolute difference of `model`'s logits to the golden ones, for all members or some, on this backend.

    Args:
        release: As for `check`.
        model: As for `check`.
        run: As for `check`.

    Returns:
        The difference; NaN where a logit is not finite.

    Raises:
        ReleaseError: The golden files are not what a release holds.
    """
    wanted = logits_of(release, [member.name for member in model.members])
    images = _images(release, len(wanted))
    return _difference(predict(model, images) if run is None else run(images), wanted)


def gap_of_members(release: ReleaseFolder, model: Ensemble) -> float:
    """The largest `gap` of the members of `model`, each alone: two that were exchanged have the same mean."""
    wanted = {member.name: logits_of(release, [member.name]) for member in model.members}
    images = _images(release, len(next(iter(wanted.values()))))
    gaps = [_difference(predict(member, images), wanted[member.name]) for member in model.members]
    return float(np.max(gaps))  # NaN where one is


def _images(release: ReleaseFolder, n: int) -> np.ndarray:
    check_images(release.folder, release.spec.image_size, n)
    return load_file(release.folder / IMAGES)["images"]


def _difference(logits: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(logits - wanted).max()) if np.isfinite(logits).all() else math.nan


def logits_of(release: ReleaseFolder, members: Sequence[str] | None = None) -> np.ndarray:
    """float32 (n, findings): the golden logits of these members together; of all by default.

    Raises:
        ReleaseError: The golden file is not what a release holds.
    """
    stored, spec = _golden(release)["logits"], release.spec
    all_names = [m.name for m in spec.members]
    if members is None or set(members) == set(all_names):
        return _array(release, stored, "ensemble")
    weights = dict(zip(all_names, spec.member_weights or (1.0,) * len(all_names), strict=True))
    each = [_array(release, stored, name) for name in members]
    return np.average(each, axis=0, weights=[weights[name] for name in members]).astype(np.float32)


def check_images(folder: Path, size: int, n: int | None = None) -> None:
    """Looks, without reading them, whether the golden images are what a network for `size` pixels takes.

    Args:
        folder: Of the release.
        size: Height and width.
        n: How many there must be; a few by default.

    Raises:
        ReleaseError: They are not uint8 (n, size, size, 1), or the file holds something else beside them.
    """
    try:
        header = read_header(folder / IMAGES)
    except WeightsError as error:
        raise ReleaseError(str(error)) from None
    found = [(name, tensor.dtype, tensor.shape) for name, tensor in header.items()]
    many = found[0][2][0] if found and found[0][2] else 0
    if not 1 <= many <= MAX_IMAGES or found != [("images", "U8", (n or many, size, size, 1))]:
        raise ReleaseError(
            f"{folder / IMAGES}: expected uint8 images of shape ({n or 'n'}, {size}, {size}, 1) alone, got {found[:3]}"
        )


def predict(model: Any, golden: np.ndarray) -> np.ndarray:
    """float32 logits of a few images, in the batch that `Predictor.predict` sends by default."""
    batch = np.zeros((_BATCH, *golden.shape[1:]), np.uint8)
    batch[: len(golden)] = golden
    return np.asarray(model.predict_on_batch(batch), np.float32)[: len(golden)]


def _golden(release: ReleaseFolder) -> Mapping[str, Any]:
    data = release.golden
    tolerance = data.get("tolerance")
    if not isinstance(data.get("logits"), dict) or not isinstance(tolerance, float) or not 0 < tolerance <= LIMIT:
        raise ReleaseError(f"{release.folder / LOGITS}: expected logits and a tolerance in 0..{LIMIT:g}")
    return data


def _array(release: ReleaseFolder, stored: Mapping[str, Any], name: str) -> np.ndarray:
    try:
        values = np.asarray(stored[name], np.float32)
    except (KeyError, TypeError, ValueError):
        values = np.empty(0, np.float32)
    if values.ndim != 2 or values.shape[1] != len(release.spec.findings) or not 1 <= len(values) <= MAX_IMAGES:
        raise ReleaseError(
            f"{release.folder / LOGITS}: no golden logits of {name!r} with {len(release.spec.findings)} findings"
        )
    return values


def _is_cpu() -> bool:
    import keras

    return keras.config.backend() in ("tensorflow", "jax") and devices.capability() is None


def _facts(release: ReleaseFolder, model: Ensemble) -> dict[str, Any]:
    """What a check is of; it holds for nothing else."""
    import keras

    backend = keras.config.backend()
    return {
        "manifest_sha256": release.manifest_sha256,
        "members": [member.name for member in model.members],
        "backend": backend,
        "versions": [sys.modules[backend].__version__, keras.__version__, __version__],
        "machine": platform.node(),
    }


def _recall(noted: Path, facts: Mapping[str, Any]) -> float | None:
    """The difference that was found before; None where nothing, or something else, was noted."""
    try:
        known = manifest.read_json(noted)
    except ReleaseError:
        return None
    difference = known.pop("difference", None)
    return difference if known == facts and isinstance(difference, float) else None
