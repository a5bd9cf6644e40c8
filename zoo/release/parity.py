"""Golden images and their logits: does this backend compute what the one that wrote the release did?"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import load_file, save_file

from zoo.config.specs import MAX_IMAGE_SIZE
from zoo.core import home
from zoo.core.errors import ReleaseError, WeightsError
from zoo.core.files import content_key, write_text
from zoo.core.warn import warn_user
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.models.weights.header import read_header
from zoo.release import manifest

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble
    from zoo.release.release import Release

LOGITS, IMAGES = "parity.json", "parity.safetensors"

#: Largest difference of a logit that goes without a word; float32 on another backend stays below it.
TOLERANCE = 1e-4

#: Above it the network is not the one that was released. TF32 and bfloat16 arithmetic of accelerators lie between.
LIMIT = 0.25

#: What `Predictor.predict` sends by default: the check compiles no shape of its own.
_BATCH = 16

#: Of the golden images, with a header.
MAX_BYTES = _BATCH * MAX_IMAGE_SIZE**2 + 2**16


def images(size: int) -> np.ndarray:
    """uint8 (4, size, size, 1) phantoms with some findings on them.

    Noise will not do: a trained network's logits on it reach hundreds, and differ by tens between backends that agree
    to 1e-5 on films.
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


def check(release: Release, model: Ensemble) -> None:
    """Holds a loaded model against the golden logits where another backend wrote them; once for each set of versions.

    Raises:
        ReleaseError: The logits differ by more than `LIMIT`. Above the release's tolerance it is a warning.
    """
    import keras

    if release.backend == keras.config.backend():
        return
    seen = _seen(release, model)
    if seen.exists():
        return
    difference, tolerance = gap(release, model), _golden(release)["tolerance"]
    facts = (
        f"{release.source or release.folder}: logits on {keras.config.backend()} differ by {difference:.2g} from those "
        f"released on {release.backend} (tolerance {tolerance:g})"
    )
    if not difference <= LIMIT:
        raise ReleaseError(f"{facts}: this is not the network that was released; use KERAS_BACKEND={release.backend}")
    if difference > tolerance:
        warn_user(f"{facts}; an accelerator's arithmetic may be the reason")
        return
    # Where it cannot be noted, it is checked again next time.
    with suppress(OSError):
        write_text(seen, f"{difference:.3g}\n")


def gap(release: Release, model: Ensemble) -> float:
    """Largest absolute difference of `model`'s logits to the golden ones, for all members or some, on this backend.

    Raises:
        ReleaseError: The golden files are not what a release holds.
    """
    wanted = golden(release, [member.name for member in model.members])
    check_images(release.folder, release.spec.image_size, len(wanted))
    films = load_file(release.folder / IMAGES)["images"]
    return float(np.abs(predict(model, films) - wanted).max())


def golden(release: Release, members: Sequence[str] | None = None) -> np.ndarray:
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
    if not 1 <= many <= _BATCH or found != [("images", "U8", (n or many, size, size, 1))]:
        raise ReleaseError(
            f"{folder / IMAGES}: expected uint8 images of shape ({n or 'n'}, {size}, {size}, 1) alone, got {found[:3]}"
        )


def predict(model: Any, golden: np.ndarray) -> np.ndarray:
    """float32 logits of a few images, in the batch that `Predictor.predict` sends by default."""
    batch = np.zeros((_BATCH, *golden.shape[1:]), np.uint8)
    batch[: len(golden)] = golden
    return np.asarray(model.predict_on_batch(batch), np.float32)[: len(golden)]


def _golden(release: Release) -> Mapping[str, Any]:
    data = manifest.read_json(release.folder / LOGITS)
    tolerance = data.get("tolerance")
    if not isinstance(data.get("logits"), dict) or not isinstance(tolerance, float) or not 0 < tolerance <= LIMIT:
        raise ReleaseError(f"{release.folder / LOGITS}: expected logits and a tolerance in 0..{LIMIT:g}")
    return data


def _array(release: Release, stored: Mapping[str, Any], name: str) -> np.ndarray:
    try:
        values = np.asarray(stored[name], np.float32)
    except (KeyError, TypeError, ValueError):
        values = np.empty(0, np.float32)
    if values.ndim != 2 or values.shape[1] != len(release.spec.findings) or not 1 <= len(values) <= _BATCH:
        raise ReleaseError(
            f"{release.folder / LOGITS}: no golden logits of {name!r} with {len(release.spec.findings)} findings"
        )
    return values


def _seen(release: Release, model: Ensemble) -> Path:
    """A file that stands for: these weights agreed on this backend and these versions."""
    import keras

    backend = keras.config.backend()
    versions = (backend, sys.modules[backend].__version__, keras.__version__)
    facts = (release.manifest_sha256, *(m.name for m in model.members), *versions)
    return home.home() / "checked" / content_key(facts)
