"""int8 by post-training quantisation (NNCF): calibrated on images, and kept only where it loses next to nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import ImageError, MissingExtraError, SplitError
from zoo.core.progress import Progress, Silent
from zoo.data.images.reading import read_image
from zoo.data.tables.spec import TableSpec
from zoo.export import exporting, formats, graph_cache
from zoo.export.int8 import acceptance, quantising, sensitivity
from zoo.export.int8.acceptance import Images
from zoo.release import exports, install, layout, openvino_ir
from zoo.release.build import build_checked
from zoo.release.export_facts import Acceptance, GraphFacts, ImagesOfPart, KerasCheck, Limits
from zoo.release.exports import Export
from zoo.release.folder import ReleaseFolder
from zoo.release.layout import INT8
from zoo.runtimes.averaged import averaged
from zoo.runtimes.openvino_runtime import OpenVinoRuntime, core, native

#: Share of decisions that accuracy-aware quantisation tries to keep: above the limit, which holds on other images.
_AIM = 1 - (1 - layout.MIN_DECISIONS_KEPT) / 2

#: Number of images whose pixels are in memory at once.
_AT_ONCE = 64

#: Number of images that a layer's error is measured on.
_FEW = 32


@dataclass(frozen=True)
class Outcome:
    """The result of making an int8 export.

    Attributes:
        acceptance: The losses and their limits, as `export.json` holds them.
        accepted: Whether the losses are within the limits.
        export: The export; None where it was refused, and nothing was written.
        carried: Folder of the release that carries it now, or None (a release on a Hub).
    """

    acceptance: Acceptance
    accepted: bool
    export: Export | None = None
    carried: Path | None = None

    def lines(self) -> list[str]:
        """The acceptance in sentences, for a person."""
        return acceptance.lines(self.acceptance)


def export_int8(
    found: ReleaseFolder,
    data: Path,
    out: Path | None = None,
    progress: Progress | None = None,
    *,
    dataset: str | None = "competition",
    columns: TableSpec | None = None,
    trained_on: Path | None = None,
    carry: bool = True,
) -> Outcome:
    """Quantises a release, compares it with float32, and keeps it only where it may stand in for that.

    Members with depthwise convolutions stay in floating point: int8 gains them little time and costs them most. The
    bias that rounding adds to each logit is corrected. If too many decisions still change, the layers with the largest
    errors are given back to floating point.

    The export that the release carries returns the logits of Keras; the one in `out` divides them by the temperature,
    as every exported file does.

    Args:
        found: The release, with all its weights.
        data: Folder of images and their table, as for training.
        out: Folder for an export with the temperature inside, or None.
        progress: Receives one step for each image.
        dataset: Format of the table; None to find it out.
        columns: Names of the columns, for a table of one's own.
        trained_on: Run folder or `split.json` of the training.
        carry: Put it into the release where that is a folder of this machine; otherwise, and for a release on a Hub,
            it is kept below `ZOO_HOME` alone.

    Raises:
        SplitError: The split is not that of the release, or too few of its images are here.
        ImportError: OpenVINO or NNCF is not installed; names the extra.
    """
    for library in ("openvino", "nncf", "onnx"):
        if find_spec(library) is None:
            raise MissingExtraError("int8", library, "serve")
    progress = progress or Silent()
    images = acceptance.choose_images(data, dataset, trained_on, columns=columns)
    _require_own_split(found, images)
    facts = exporting.describe(found, "openvino", "int8", None, 1, calibrated=False)
    network = build_checked(found)
    plain = formats.to_openvino(formats.graph_of(network, facts), 1)
    target = graph_cache.folder_of(found, None, "openvino", "int8")
    graph_cache.remove_remains(target)
    with graph_cache.locked(target), exporting.whole(target) as new, tempfile.TemporaryDirectory() as beside:
        reference = OpenVinoRuntime(formats.save_openvino(plain, Path(beside), facts))
        quantised = _quantise(found, plain, reference, images, progress)
        formats.save_openvino(quantised, new, facts)
        result = _compare(found, new, reference, images, progress)
        result = replace(result, in_float=tuple(sensitivity.layers_in_float(quantised)))
        if exports.beyond(result.runs["float32"]):
            shutil.rmtree(new)
            return Outcome(result, False)
        # The release will carry it, and must be able to load it as if it came from somebody else.
        size, findings = found.spec.image_size, len(found.spec.findings)
        openvino_ir.check(new / "model.xml", (new / "model.bin").stat().st_size, size, findings)
        made = exporting.finish(new, facts, _check(network, new, facts), result)
        exports.check_accepted(made, new)
    if out is not None:
        _write_calibrated(found, network, quantised, result, out)
    ours = carry and found.root is None
    if ours:
        install.carry(found.folder, {f"{layout.FOLDER}/{INT8}/{file}": target / file for file in layout.FILES})
    return Outcome(result, True, Export(target, made), found.folder if ours else None)


def _check(network: Any, folder: Path, facts: GraphFacts) -> KerasCheck:
    run = OpenVinoRuntime(folder / "model.xml", "int8").logits
    return exporting.hold_against_keras(network, run, facts.image_size, facts.temperature, "int8")


def _write_calibrated(found: ReleaseFolder, network: Any, quantised: Any, result: Acceptance, out: Path) -> None:
    """Writes the int8 network once more, with its logits divided by the temperature."""
    facts = exporting.describe(found, "openvino", "int8", None, 1, calibrated=True)
    with exporting.whole(out) as new:
        model = sensitivity.change_logits(quantised.clone(), "divide", np.asarray(facts.temperature))
        formats.save_openvino(model, new, facts)
        exporting.finish(new, facts, _check(network, new, facts), result)


def _quantise(found: ReleaseFolder, plain: Any, reference: OpenVinoRuntime, images: Images, progress: Progress) -> Any:
    """The int8 network that keeps most decisions of the tuning images; accuracy-aware where that is too few."""
    calibration = _read(found, images.calibration, progress, "calibration").pixels
    # With those of the calibration: ranges do not depend on decisions, and a share near 1 needs many to be estimated.
    tuning = calibration
    if not images.tuning.empty:
        tuning = np.concatenate([calibration, _read(found, images.tuning, progress, "tuning").pixels])
    expected = reference.logits(tuning)

    def run(model: Any, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Logits of the first images after bias correction, and the correction of each finding."""
        got = _logits(model, tuning[:n])
        move = (expected[:n] - got).mean(0)
        return got + move, move

    def error(model: Any) -> float:
        return float(np.sqrt(np.mean((run(model, _FEW)[0] - expected[:_FEW]) ** 2)))

    def measured(model: Any) -> tuple[float, np.ndarray]:
        logits, move = run(model, len(tuning))
        # On the images alone, also where the decision has views: this only leads the search, `_compare` accepts.
        return acceptance.share_kept(found.decision, expected, logits), move

    tried, patterns = [], quantising.left_in_float(plain, found.spec)
    for ranges in quantising.RANGES:
        quantised = quantising.quantise(plain, calibration, patterns, ranges)
        tried.append((*measured(quantised), quantised))
        if tried[-1][0] >= _AIM:
            break
    share, move, best = max(tried, key=lambda one: one[0])
    if share < _AIM:
        progress.message(
            f"{100 * share:.2f} % of the decisions on tuning images stay: giving layers back to floating point"
        )
        with progress.task("measuring layers", len(sensitivity.runs(best))) as advance:
            best = sensitivity.restore(best, plain, error, lambda model: measured(model)[0], _AIM, advance)
        move = measured(best)[1]
    return sensitivity.change_logits(best, "add", move)


def _logits(model: Any, pixels: np.ndarray) -> np.ndarray:
    """Logits of a network in memory, with the layers that are not in int8 in float32."""
    options = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "THROUGHPUT"}
    compiled = core().compile_model(model, "CPU", options)
    return np.concatenate([compiled(image[None])[0] for image in pixels])


def _compare(
    found: ReleaseFolder,
    folder: Path,
    reference: OpenVinoRuntime,
    images: Images,
    progress: Progress,
) -> Acceptance:
    """The acceptance of the network in a folder: with its other layers in each number type that this CPU has."""
    rests: list[str] = [kind for kind in ("float32", "bfloat16") if kind in native()]
    started: dict[str, OpenVinoRuntime] = {
        rest: OpenVinoRuntime(folder / "model.xml", "int8", rest=rest) for rest in rests
    }
    # What `predict` computes: the mean over the views of the decision.
    compute = {name: averaged(run, found.decision.tta).logits for name, run in {"": reference, **started}.items()}
    read = _read(found, images.compared, progress, "comparison", compute)
    runs = {rest: acceptance.loss(found, read.table, read.logits[""], read.logits[rest], images.part) for rest in rests}
    notes = [*images.notes, *read.notes]
    if "bfloat16" in runs and (reasons := exports.beyond(runs["bfloat16"])):
        notes.append(f"with the rest in bfloat16 it is not accepted, and runs in float32: {'; '.join(reasons)}")
        del runs["bfloat16"]
    compared = ImagesOfPart(len(read.table), images.part, images.split_hash)
    limits = Limits(layout.MAX_AUC_LOSS, layout.MIN_DECISIONS_KEPT)
    return Acceptance(images.calibrated_on, compared, limits, runs, notes=tuple(notes))


@dataclass(frozen=True)
class _Read:
    """Images that could be read: their rows, their pixels (unless logits are computed from them), their logits."""

    table: pd.DataFrame
    pixels: np.ndarray
    logits: Mapping[str, np.ndarray]
    notes: tuple[str, ...]


def _read(
    found: ReleaseFolder,
    table: pd.DataFrame,
    progress: Progress,
    what: str,
    compute: Mapping[str, Callable[[np.ndarray], np.ndarray]] | None = None,
) -> _Read:
    """Reads the images of a table, some at a time where only logits are wanted."""
    images: list[np.ndarray] = []
    parts: dict[str, list[np.ndarray]] = {name: [] for name in compute or {}}
    rows: list[int] = []
    with progress.task(f"{counted(len(table), 'image')} for {what}", len(table)) as advance:
        for row, path in enumerate(table["Image_path"]):
            try:
                images.append(read_image(path, found.spec.image_size))
                rows.append(row)
            except (ImageError, FileNotFoundError):
                pass
            if compute and images and (len(images) == _AT_ONCE or row == len(table) - 1):
                for name, logits in compute.items():
                    parts[name].append(logits(np.stack(images)))
                images.clear()
            advance()
    if not rows:
        raise SplitError(f"none of {counted(len(table), 'image')} for {what} can be read")
    lost = len(table) - len(rows)
    notes = (f"{lost} of {counted(len(table), 'image')} for {what} could not be read",) if lost else ()
    pixels = np.stack(images) if images else np.empty(0)
    return _Read(
        table.iloc[rows].reset_index(drop=True), pixels, {n: np.concatenate(p) for n, p in parts.items()}, notes
    )


def _require_own_split(found: ReleaseFolder, images: Images) -> None:
    """Raises where the split is not the release's: its validation part may hold images that the release reports on."""
    own = found.split_hash
    if images.split_hash and own and own != images.split_hash:
        raise SplitError(f"the split is {images.split_hash[:12]}, the release was trained on {own[:12]}: not its run")
