"""Writing an export: files of one format, held against Keras on films it has not seen before they appear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo._version import __version__
from zoo.core.errors import ExportError, UnknownNameError
from zoo.core.files import recover, whole_folder
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.labels.findings import FINDINGS
from zoo.release import exports, manifest, parity, release
from zoo.release.exports import Export, Format, Precision
from zoo.release.folder import ReleaseFolder

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble

#: Which arithmetic each format has here.
FORMATS: Mapping[Format, tuple[Precision, ...]] = {
    "openvino": ("float32", "bfloat16", "int8"),
    "onnx": ("float32",),
    "litert": ("float32",),
    "saved_model": ("float32",),
}

#: By how much a logit may differ from Keras' own, as a share of the largest one (or of 1, where all are smaller).
TOLERANCES: Mapping[str, float] = {"float32": 1e-4, "bfloat16": 2e-2}

#: What makes or runs an export; each version stands in its facts.
_LIBRARIES = ("keras", "openvino", "onnx", "onnxruntime", "nncf", "tensorflow-cpu", "tensorflow")

#: Films drawn for the check beside the golden ones.
_FRESH = 8

#: Writes the files of one format into a folder. It is given the network, the release and the folder, and returns what
#: runs them: films to what the file gives for them.
Writer = Callable[["Ensemble", ReleaseFolder, Path], Callable[[np.ndarray], np.ndarray]]


def check_choice(format: str, precision: str) -> None:
    """Refuses a format or precision that there is none of; says which there are."""
    if format not in FORMATS:
        raise UnknownNameError("format", format, FORMATS)
    if precision not in FORMATS[format]:  # type: ignore[index]
        have = ", ".join(FORMATS[format])  # type: ignore[index]
        raise ExportError(f"format {format!r} is written in {have}, not in {precision!r}")


def export(
    found: ReleaseFolder,
    target: str | Path,
    format: Format = "openvino",
    precision: Precision = "float32",
    *,
    members: Sequence[str] | None = None,
    batch: int | None = None,
) -> Export:
    """Exports a release with its preprocessing and temperature inside, whole or not at all.

    The graph takes uint8 grey levels (n, image_size, image_size, 1) and gives float32 logits divided by the
    temperature. A calibrator or prior shift of the decision is not in it.

    Args:
        found: With the weights of `members`.
        target: Folder to write; an older export there is replaced.
        format: "openvino", "onnx", "litert" or "saved_model".
        precision: Of `FORMATS`; for int8 see `zoo.export.int8.making`.
        members: Names of the members to take; all by default.
        batch: Films at once where the graph shall take no other number; any number by default.

    Raises:
        ExportError: Its logits are not Keras', a layer cannot be exported, or there is no such precision.
        ImportError: A library that writes or runs the format is missing; names the extra.
    """
    from zoo.export import formats

    check_choice(format, precision)
    if precision == "int8":
        raise ExportError("int8 is made with films to calibrate on: zoo export NAME --precision int8 --data DIR")
    model = release.build_checked(found, members)
    facts = describe(found, format, precision, members, batch)
    write = formats.writer(format, precision, facts, batch)
    with whole(Path(target)) as new:
        run = write(model, found, new)
        facts["check"] = hold_against_keras(model, run, found.spec.image_size, facts["temperature"], precision)
        finish(new, facts)
    return Export(Path(target), facts)


def describe(
    found: ReleaseFolder, format: Format, precision: Precision, members: Sequence[str] | None, batch: int | None
) -> dict[str, Any]:
    """What `export.json` says of an export before it is made."""
    spec, decision = found.spec, release.decision_of(found, members)
    names = [m.name for m in spec.members if members is None or m.name in members]
    n, size = batch or "n", spec.image_size
    rest = "" if decision is None or decision.temperature_alone else "; the release's calibrator is not in it"
    return {
        "format_version": exports.EXPORT_VERSION,
        "format": format,
        "precision": precision,
        "model": spec.name,
        "members": names,
        "findings": list(spec.findings),
        "image_size": size,
        "temperature": list(decision.temperature) if decision else [1.0],
        "input": {"name": "pixels", "dtype": "uint8", "shape": [n, size, size, 1], "values": "grey levels 0..255"},
        "output": {
            "name": "logits",
            "dtype": "float32",
            "shape": [n, len(spec.findings)],
            "values": f"logits divided by the temperature, whose sigmoid is the probability{rest}",
        },
        "source": {
            "manifest_sha256": found.manifest_sha256,
            "reference": found.source,
            "weights": {f"{name}.safetensors": found.files[f"{name}.safetensors"]["sha256"] for name in names},
        },
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Version of this library and of each other that has a hand in an export, where it is installed."""
    found = {"zoo": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hold_against_keras(
    model: Ensemble,
    run: Callable[[np.ndarray], np.ndarray],
    size: int,
    temperature: Sequence[float],
    precision: str,
) -> dict[str, Any]:
    """Compares an export with the network on the golden films and on fresh ones.

    Raises:
        ExportError: A logit differs by more than the tolerance, or is not a number.
    """
    import keras

    films = np.concatenate([parity.images(size), fresh_films(size)])
    expected = parity.predict(model, films) / np.asarray(temperature, np.float32)
    got = np.asarray(run(films), np.float32)
    backend = keras.config.backend()
    if got.shape != expected.shape or not np.isfinite(got).all():
        raise ExportError(f"the export gives {got.shape} or what is no number, Keras on {backend} {expected.shape}")
    difference, largest = float(np.abs(got - expected).max()), float(np.abs(expected).max())
    share = TOLERANCES.get(precision)
    tolerance = None if share is None else share * max(1.0, largest)
    if tolerance is not None and difference > tolerance:
        raise ExportError(
            f"the export was not written: a logit differs by {difference:.3g} from Keras on {backend}, over "
            f"{len(films)} films; {precision} may differ by {tolerance:.3g}"
        )
    facts = {"backend": backend, "films": len(films), "largest": largest, "difference": difference}
    return {**facts, "tolerance": tolerance}


def fresh_films(size: int, n: int = _FRESH) -> np.ndarray:
    """uint8 (n, size, size, 1) phantoms that are none of the golden ones."""
    shown = ([], *([name] for name in FINDINGS if name != "No Finding"))
    drawn = (draw_phantom(np.random.default_rng(1000 + i), shown[i % len(shown)])[0] for i in range(n))
    return np.stack([read_image(film, size) for film in drawn])


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A new folder that takes the place of `target` when the block ends; not when it raises or deletes the folder.

    Raises:
        ExportError: `target` is there and is no export: it would not be replaced.
    """
    recover(target)
    if target.exists() and not (target / exports.FACTS).is_file():
        raise ExportError(f"{target} exists and is no export: choose another place")
    with whole_folder(target) as new:
        yield new


def finish(folder: Path, facts: dict[str, Any]) -> None:
    """Adds the files' sizes and hashes to the facts, and writes them."""
    facts["files"] = manifest.describe(folder)
    manifest.write_json(folder / exports.FACTS, facts)
