"""Writes an export: files of one format, compared with Keras on images before they appear under their name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from zoo._version import __version__
from zoo.core.counting import counted
from zoo.core.errors import ExportError, UnknownNameError
from zoo.core.files import recover, whole_folder
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.evaluation.decision import Decision
from zoo.evaluation.untrained import trained
from zoo.export import decisions, formats
from zoo.labels.findings import FINDINGS
from zoo.release import golden, layout, manifest
from zoo.release.build import build_checked, decision_of
from zoo.release.export_facts import Acceptance, ExportFacts, GraphFacts, KerasCheck, Source, Tensor
from zoo.release.exports import Export
from zoo.release.folder import ReleaseFolder
from zoo.release.layout import Format, Precision
from zoo.runtimes.averaged import mean_over_views

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble

#: Format -> the precisions that it is written in.
FORMATS: Mapping[Format, tuple[Precision, ...]] = {
    "openvino": ("float32", "bfloat16", "int8"),
    "onnx": ("float32",),
    "litert": ("float32",),
    "saved_model": ("float32",),
}

#: By how much an output may differ from Keras' own, as a share of the largest one (or of 1, where all are smaller).
#: Logits in bfloat16 are accepted by `export.decisions` instead.
TOLERANCES: Mapping[str, float] = {"float32": 1e-4, "bfloat16": 2e-2}

#: What a graph returns: the logits of the findings, or the pooled features of the members (`zoo.models.features`).
Values = Literal["logits", "features"]

#: Libraries that make or run an export; the facts state the version of each.
_LIBRARIES = ("keras", "openvino", "onnx", "onnxruntime", "nncf", "tensorflow-cpu", "tensorflow")

#: Number of images drawn for the comparison beside the golden ones.
_FRESH = 8


def check_choice(format: str, precision: str) -> None:
    """Raises `UnknownNameError` or `ExportError` for an unknown format or precision, naming those that exist.

    >>> check_choice("openvino", "int8")
    >>> check_choice("onnx", "int8")
    Traceback (most recent call last):
    zoo.core.errors.ExportError: format 'onnx' is written in float32, not in 'int8'
    """
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
    calibrated: bool = True,
    values: Values = "logits",
) -> Export:
    """Exports a release with its preprocessing inside, whole or not at all.

    The graph takes uint8 grey levels (n, image_size, image_size, 1) and returns float32 logits (n, findings), divided
    by the temperature of the release's decision. A calibrator or prior shift of the decision is not in the graph.

    Args:
        found: The release, with the weights of `members`.
        target: Folder to write; an older export there is replaced.
        format: "openvino", "onnx", "litert" or "saved_model".
        precision: One of those that `FORMATS` lists for the format; int8 is made by `zoo.export.int8.making`.
        members: Names of the members to take; all by default.
        batch: Number of images in a call, where the graph is to take no other; any number by default.
        calibrated: False leaves the temperature out: the graph returns the logits of Keras.
        values: "features" makes a graph of the pooled features, float32 (n, features), for `openvino` and `onnx`.

    Raises:
        ExportError: Its logits are not Keras', a layer cannot be exported, or there is no such precision.
        ImportError: A library that writes or runs the format is missing; names the extra.

    Example:
        >>> found = sources.find("user/xrayslam-demo")                  # doctest: +SKIP
        >>> export(found, "exported", "onnx").facts.temperature         # doctest: +SKIP
        (1.31,)
    """
    check_choice(format, precision)
    if precision == "int8":
        raise ExportError("int8 is made with images to calibrate on: zoo export NAME --precision int8 --data DIR")
    model = build_checked(found, members)
    facts = describe(found, format, precision, members, batch, calibrated=calibrated)
    network: Any = model
    if values == "features":
        from zoo.models.features import features_model, sizes

        network, counts = features_model(model), sizes(model)
        output = _features(sum(counts.values()), batch)
        facts = replace(facts, features=counts, temperature=(1.0,), output=output)
    write = formats.writer(facts, batch)
    decision, scores = None, None
    if precision == "bfloat16" and values == "logits":
        decision = decision_of(found, members) or Decision(found.spec.findings)
        if found.tested is not None and decision is found.decision:
            scores = found.tested.logits
    with whole(Path(target)) as new:
        run = write(network, found, new)
        check = hold_against_keras(network, run, found.spec.image_size, facts.temperature, precision, decision, scores)
        made = finish(new, facts, check)
    return Export(Path(target), made)


def describe(
    found: ReleaseFolder,
    format: Format,
    precision: Precision,
    members: Sequence[str] | None,
    batch: int | None,
    *,
    calibrated: bool,
) -> GraphFacts:
    """The facts for `export.json` that are known before the export is made; the arguments are those of `export`."""
    spec, decision = found.spec, decision_of(found, members)
    names = [m.name for m in spec.members if members is None or m.name in members]
    n: int | Literal["n"] = batch or "n"
    size = spec.image_size
    known = zip(spec.findings, trained(spec, names, decision), strict=True)
    untrained = [finding for finding, is_trained in known if not is_trained]
    values = "logits of Keras, not divided by the release's temperature"
    if calibrated:
        rest = "" if decision is None or decision.temperature_alone else "; the release's calibrator is not in it"
        values = f"logits divided by the temperature, whose sigmoid is the probability{rest}"
    return GraphFacts(
        format=format,
        precision=precision,
        model=spec.name,
        members=tuple(names),
        findings=spec.findings,
        image_size=size,
        temperature=decision.temperature if decision and calibrated else (1.0,),
        input=Tensor("pixels", "uint8", (n, size, size, 1), "grey levels 0..255"),
        output=Tensor("logits", "float32", (n, len(spec.findings)), values),
        source=Source(
            manifest_sha256=found.manifest_sha256,
            weights={f"{name}.safetensors": found.files[f"{name}.safetensors"].sha256 for name in names},
            reference=found.source,
        ),
        versions=versions(),
        untrained=tuple(untrained),
    )


def _features(size: int, batch: int | None) -> Tensor:
    values = "mean of each member's feature map over all places, the members side by side"
    return Tensor("features", "float32", (batch or "n", size), values)


def versions() -> dict[str, str]:
    """The versions of this library and of the installed ones that make or run an export.

    >>> versions()["zoo"] == __version__
    True
    """
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
    decision: Decision | None = None,
    scores: np.ndarray | None = None,
) -> KerasCheck:
    """Compares an export with the network on the golden images and on newly drawn ones.

    Args:
        model: The network.
        run: Runs the export.
        size: Height and width of the images in pixels.
        temperature: What the export divides the logits by.
        precision: Its number type; int8 has no tolerance here, since it is accepted on other images.
        decision: If given, the export is accepted by what becomes of this decision, over its views, and not by the
            size of its logits.
        scores: float32 (n, findings) logits of the test part, on which the same changes must leave the decision, too.

    Returns:
        The entry "check" of `export.json`.

    Raises:
        ExportError: A logit differs by more than the tolerance, or is not a number; or the decision changes too much.
    """
    import keras

    images = np.concatenate([golden.images(size), fresh_images(size)])
    divisor = np.asarray(temperature, np.float32)
    expected = golden.predict(model, images) / divisor
    got = np.asarray(run(images), np.float32)
    backend = keras.config.backend()
    if got.shape != expected.shape or not np.isfinite(got).all():
        raise ExportError(
            f"the export was not written: its logits of shape {got.shape} must be finite, and of the shape "
            f"{expected.shape} that Keras on {backend} returns"
        )
    difference, largest = float(np.abs(got - expected).max()), float(np.abs(expected).max())
    if decision is not None:
        exact, other = expected, got
        if decision.tta is not None:
            exact = mean_over_views(lambda view: golden.predict(model, view), images, decision.tta) / divisor
            other = mean_over_views(run, images, decision.tta)
        exact, other = exact * divisor, other * divisor
        kept = decisions.kept(decision, exact, other)
        reasons = kept.beyond()
        if not reasons and scores is not None:
            reasons = decisions.kept_of_scores(decision, scores, other - exact).beyond()
            reasons = reasons and f"such changes are too large for the scores of the test part: {reasons}"
        if reasons:
            raise ExportError(
                f"the export was not written: in {precision}, over {counted(len(images), 'image')}, {reasons}; use "
                "precision 'float32' or 'auto'"
            )
        return KerasCheck(backend, len(images), difference, None, largest, kept.share, kept.n, kept.probability)
    share = TOLERANCES.get(precision)
    tolerance = None if share is None else share * max(1.0, largest)
    if tolerance is not None and difference > tolerance:
        raise ExportError(
            f"the export was not written: a logit differs by {difference:.3g} from Keras on {backend}, over "
            f"{counted(len(images), 'image')}; {precision} may differ by {tolerance:.3g}"
        )
    return KerasCheck(backend, len(images), difference, tolerance, largest)


def fresh_images(size: int, n: int = _FRESH) -> np.ndarray:
    """Draws uint8 (n, size, size, 1) phantoms other than the golden ones.

    >>> fresh_images(16, 2).shape
    (2, 16, 16, 1)
    """
    shown = ([], *([name] for name in FINDINGS if name != "No Finding"))
    drawn = (draw_phantom(np.random.default_rng(1000 + i), shown[i % len(shown)])[0] for i in range(n))
    return np.stack([read_image(image, size) for image in drawn])


@contextmanager
def whole(target: Path) -> Iterator[Path]:
    """A new folder that replaces `target` when the block ends, unless the block raises or deletes the folder.

    Raises:
        ExportError: `target` exists and is not an export; it stays as it is.
    """
    recover(target)
    if target.exists() and not (target / layout.FACTS).is_file():
        raise ExportError(f"{target} exists and is no export: choose another place")
    with whole_folder(target) as new:
        yield new


def finish(folder: Path, facts: GraphFacts, check: KerasCheck, acceptance: Acceptance | None = None) -> ExportFacts:
    """Adds the sizes and hashes of the files to the facts, and writes `export.json`."""
    made = ExportFacts(**vars(facts), check=check, files=manifest.describe(folder), acceptance=acceptance)
    manifest.write_json(folder / layout.FACTS, made.to_json())
    return made
