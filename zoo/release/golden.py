"""Golden images and logits: checks that this backend computes the same as the one that wrote the release."""

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
from zoo.config.specs import to_dict
from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.core.files import content_key, write_json
from zoo.core.process import processor
from zoo.core.warn import warn_user
from zoo.data.images.arrays import filled_up
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.models.weights.header import read_release_header
from zoo.release import manifest
from zoo.release.documents import Golden
from zoo.release.layout import IMAGES, LIMIT, LOGITS, MAX_IMAGES

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble
    from zoo.release.folder import ReleaseFolder

#: Largest difference of a logit without a warning, as a share of the largest logit if that is above 1; float32 on
#: another backend stays below it.
TOLERANCE = 1e-4

#: Limit on a CPU, where all backends compute in float32.
CPU_LIMIT = 2e-2

#: Default batch size of `Predictor.predict`, so that the check compiles no further shape.
_BATCH = MAX_IMAGES


def images(size: int) -> np.ndarray:
    """Generates uint8 (4, size, size, 1) phantoms with some findings.

    Noise would be unsuitable: a trained network's logits on noise reach hundreds, and differ by tens between backends
    that agree to 1e-5 on radiographs.
    """
    shown = ((), ("Edema",), ("Pleural Effusion", "Support Devices"), ("Cardiomegaly", "Lung Lesion"))
    drawn = [draw_phantom(np.random.default_rng(i), findings)[0] for i, findings in enumerate(shown)]
    return np.stack([read_image(image, size) for image in drawn])


def write(folder: Path, model: Ensemble, size: int) -> dict[str, np.ndarray]:
    """Writes the golden images and the logits of `model` and its members; returns the logits."""
    import keras

    golden = images(size)
    logits = {"ensemble": predict(model, golden)}
    logits |= {member.name: predict(member, golden) for member in model.members}
    if broken := [name for name, values in logits.items() if not np.isfinite(values).all()]:
        raise ReleaseError(f"{folder}: not written: the logits of {', '.join(broken)} are not finite")
    save_file({"images": golden}, folder / IMAGES)
    rows = {name: values.tolist() for name, values in logits.items()}
    tolerance = min(LIMIT, TOLERANCE * max(1.0, *(float(np.abs(values).max()) for values in logits.values())))
    manifest.write_json(folder / LOGITS, to_dict(Golden(keras.config.backend(), IMAGES, tolerance, rows)))
    return logits


def check(release: ReleaseFolder, model: Ensemble, run: Callable[[np.ndarray], np.ndarray] | None = None) -> None:
    """Compares a model with the golden logits on its first load on this machine; the result is stored.

    A sha256 shows that the files match the manifest, not that they belong together. Only this check detects exchanged
    tensors of equal shape, or a member from another release.

    Args:
        release: Release of `model`.
        model: Network of all members, or of some.
        run: uint8 (n, size, size, 1) golden images -> float32 (n, findings) logits; by default `predict` with `model`.

    Raises:
        ReleaseError: The logits are not finite, or differ by more than `LIMIT` (`CPU_LIMIT`, or the release's tolerance
            if that is larger, on a CPU). A difference between the tolerance and this limit only causes a warning.
    """
    import keras

    facts = _facts(release, model)
    noted = home.home() / "checked" / f"{content_key(facts)}.json"
    difference, tolerance = _recall(noted, facts), release.golden.tolerance
    known = difference is not None
    if difference is None:
        difference = gap(release, model, run)
    where, backend = release.source or release.folder, keras.config.backend()
    if not math.isfinite(difference):
        raise ReleaseError(f"{where}: its logits of the golden images are not finite: the weights are broken")
    found = (
        f"{where}: logits on {backend} differ by {difference:.2g} from those released on {release.golden.backend} "
        f"(tolerance {tolerance:g})"
    )
    if difference > (max(CPU_LIMIT, tolerance) if _is_cpu() else LIMIT):
        other = f"; use KERAS_BACKEND={release.golden.backend}" if backend != release.golden.backend else ""
        raise ReleaseError(f"{found}: this is not the network that was released{other}")
    if not known:
        # If the result cannot be stored, the check is repeated on the next load.
        with suppress(OSError):
            write_json(noted, {**facts, "difference": difference})
    if difference > tolerance:
        warn_user(f"{found}; other arithmetic, such as an accelerator's, may be the reason")


def gap(release: ReleaseFolder, model: Ensemble, run: Callable[[np.ndarray], np.ndarray] | None = None) -> float:
    """Returns the largest absolute difference between logits of `model` and golden logits on this backend.

    Args:
        release: Release of `model`.
        model: Network of all members, or of some.
        run: Function from golden images to logits; by default `predict` with `model`.

    Returns:
        The difference; NaN if a logit is not finite.

    Raises:
        ReleaseError: The golden files are invalid.
    """
    wanted = logits_of(release, [member.name for member in model.members])
    images = _images(release, len(wanted))
    return _difference(predict(model, images) if run is None else run(images), wanted)


def gap_of_members(release: ReleaseFolder, model: Ensemble) -> float:
    """Returns the largest `gap` of the single members of `model`: exchanging two would not change their mean."""
    wanted = {member.name: logits_of(release, [member.name]) for member in model.members}
    images = _images(release, len(next(iter(wanted.values()))))
    gaps = [_difference(predict(member, images), wanted[member.name]) for member in model.members]
    return float(np.max(gaps))  # NaN if any gap is NaN


def _images(release: ReleaseFolder, n: int) -> np.ndarray:
    check_images(release.folder, release.spec.image_size, n)
    return load_file(release.folder / IMAGES)["images"]


def _difference(logits: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(logits - wanted).max()) if np.isfinite(logits).all() else math.nan


def logits_of(release: ReleaseFolder, members: Sequence[str] | None = None) -> np.ndarray:
    """Returns the golden logits of these members together (all by default), float32 (n, findings).

    Raises:
        ReleaseError: The golden file is invalid.
    """
    spec = release.spec
    all_names = [m.name for m in spec.members]
    if members is None or set(members) == set(all_names):
        return _array(release, "ensemble")
    shares = np.asarray(spec.only({*members}).shares, np.float32)
    each = [_array(release, name) for name in all_names if name in members]
    return np.einsum("mnf,mf->nf", np.stack(each), shares).astype(np.float32)


def check_images(folder: Path, size: int, n: int | None = None) -> None:
    """Checks from their header that the golden images fit a network with inputs of `size` pixels.

    Args:
        folder: Folder of the release.
        size: Height and width of the input in pixels.
        n: Required number of images; any permitted number by default.

    Raises:
        ReleaseError: The images are not uint8 (n, size, size, 1), or the file has other content.
    """
    header = read_release_header(folder / IMAGES)
    found = [(name, tensor.dtype, tensor.shape) for name, tensor in header.items()]
    many = found[0][2][0] if found and found[0][2] else 0
    if not 1 <= many <= MAX_IMAGES or found != [("images", "U8", (n or many, size, size, 1))]:
        raise ReleaseError(
            f"{folder / IMAGES}: expected uint8 images of shape ({n or 'n'}, {size}, {size}, 1) alone, got {found[:3]}"
        )


def check_logits(release: ReleaseFolder) -> None:
    """Checks that there are golden logits of the ensemble and of each member, with a number for each finding.

    Raises:
        ReleaseError: Some are missing, or have another number of columns.
    """
    for name in ("ensemble", *(member.name for member in release.spec.members)):
        _array(release, name)


def predict(model: Any, golden: np.ndarray) -> np.ndarray:
    """Returns float32 logits of a few images, with the default batch size of `Predictor.predict`."""
    import keras

    batch = filled_up(golden, _BATCH)
    # TensorFlow takes many seconds to trace the graph of a large network, and computes the same without.
    eager = keras.config.backend() == "tensorflow"
    logits = model(batch, training=False) if eager else model.predict_on_batch(batch)
    return np.asarray(logits, np.float32)[: len(golden)]


def _array(release: ReleaseFolder, name: str) -> np.ndarray:
    rows = release.golden.logits.get(name, ())
    if not rows or {len(row) for row in rows} != {len(release.spec.findings)}:
        raise ReleaseError(
            f"{release.folder / LOGITS}: no golden logits of {name!r} with {len(release.spec.findings)} findings"
        )
    return np.asarray(rows, np.float32)


def _is_cpu() -> bool:
    # Reading a release imports no Keras.
    import keras

    from zoo.training import devices

    return keras.config.backend() in ("tensorflow", "jax") and devices.capability() is None


def _facts(release: ReleaseFolder, model: Ensemble) -> dict[str, Any]:
    """Returns the facts that the result of a check depends on."""
    import keras

    backend = keras.config.backend()
    return {
        "manifest_sha256": release.manifest_sha256,
        "members": [member.name for member in model.members],
        "backend": backend,
        "versions": [sys.modules[backend].__version__, keras.__version__, __version__],
        "machine": platform.node(),
        "processor": processor(),
    }


def _recall(noted: Path, facts: Mapping[str, Any]) -> float | None:
    """Returns the stored difference, or None if there is none for these facts."""
    try:
        known = manifest.read_json(noted)
    except ReleaseError:
        return None
    difference = known.pop("difference", None)
    return difference if known == facts and isinstance(difference, float) else None
