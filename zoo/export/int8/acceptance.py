"""Whether an int8 network may replace its float32 one: its losses, on images that it was not calibrated on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import SplitError, UsageError
from zoo.data import duplicates
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.comparison import compare
from zoo.evaluation.decision import Decision, positives, probabilities
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result import Estimate
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.proportions import proportion
from zoo.evaluation.statistics.ratios import mean_over_findings
from zoo.release import exports, layout
from zoo.release.export_facts import Acceptance, Figure, ImagesOfPart, Loss, Part
from zoo.release.folder import ReleaseFolder

#: Largest number of images that ranges are measured on (more change them little), and of tuning images beside them.
CALIBRATION, TUNING = 300, 700


@dataclass(frozen=True)
class Images:
    """Rows of a canonical table, by purpose. No image is in two of the tables, and no compared patient in the others.

    Attributes:
        calibration: Ranges are measured on these.
        tuning: The layers to leave in float32 are chosen on these and on `calibration`. May be empty.
        compared: The losses are measured on these.
        part: The part of the split that `compared` is from: "test", or "all" without a split.
        split_hash: Hash of the split's manifest, or "".
        notes: Sentences for the reader of `export.json`.
    """

    calibration: pd.DataFrame
    tuning: pd.DataFrame
    compared: pd.DataFrame
    part: Part
    split_hash: str = ""
    notes: tuple[str, ...] = ()

    @property
    def calibrated_on(self) -> ImagesOfPart:
        """Number and part of the calibration images."""
        return ImagesOfPart(len(self.calibration), "validation" if self.split_hash else "all", self.split_hash)


def choose_images(
    data: Path,
    dataset: str | None,
    trained_on: Path | None = None,
    seed: int = 0,
    *,
    columns: TableSpec | None = None,
) -> Images:
    """Chooses images of a folder for each purpose.

    With the training's split, calibration and tuning images are from its validation part and compared ones from its
    test part. Without it, patients are drawn for each purpose, since the images of the training are not known.

    Args:
        data: Folder of images and their table.
        dataset: Format of the table; None to find it out.
        trained_on: Run folder or `split.json` of the training.
        seed: Seed of the draw.
        columns: Names of the columns, for a table of one's own.

    Raises:
        SplitError: The folder holds too few images of a part.

    Example:
        >>> images = choose_images(Path("data"), "competition")         # doctest: +SKIP
        >>> len(images.calibration), len(images.compared), images.part  # doctest: +SKIP
        (300, 748, 'all')
    """
    table, _ = reading.drop_missing(
        reading.read_table(reading.dataset_of(data, dataset, columns=columns), data, columns=columns)
    )
    if trained_on is None:
        note = (
            "the images of the training are not known (no --trained-on): calibrated and compared on images of "
            f"{data.name} drawn at random, with all images of a patient on one side"
        )
        patients = table["Patient_ID"].fillna(table["Image_name"]).astype(str)
        order = np.random.default_rng(seed).permutation(patients.unique())
        ours = patients.isin(order[: len(order) // 2])
        part: Part = "all"
        first, compared, split_hash = table[ours], table[~ours], ""
        notes: tuple[str, ...] = (note,)
    else:
        parts, split_hash = duplicates.split_images(trained_on), duplicates.split_hash(trained_on)
        names = (parts[part].names if part in parts else () for part in ("validation", "test"))
        first, compared = (table[table["Image_name"].isin(own)] for own in names)
        part, notes = "test", ()
    if min(len(first), len(compared)) < 2:
        what = "of the split's validation and test part" if trained_on else "in the two halves"
        raise SplitError(
            f"{data}: {len(first)} and {counted(len(compared), 'image is', 'images are')} {what}: both need at least 2"
        )
    mixed = np.random.default_rng(seed).permutation(len(first))
    n = min(CALIBRATION, max(1, len(first) * 2 // 3))
    calibration, tuning = (
        first.iloc[np.sort(rows)].reset_index(drop=True) for rows in (mixed[:n], mixed[n : n + TUNING])
    )
    return Images(calibration, tuning, compared.reset_index(drop=True), part, split_hash, notes)


def loss(found: ReleaseFolder, table: pd.DataFrame, plain: np.ndarray, int8: np.ndarray, part: Part) -> Loss:
    """The losses of int8 against float32 on the same images.

    Args:
        found: The release whose decision is applied.
        table: The images and their labels, n rows.
        plain: float32 (n, findings) logits before the temperature.
        int8: The same, computed in int8.
        part: The part of the split.

    Returns:
        Macro AUC of both and its loss, and the share of threshold decisions that stay, each
        with n and interval.

    Raises:
        ValueError: No finding has a positive and a negative, or the release has no thresholds.
    """
    patients = table["Patient_ID"].fillna(table["Image_name"]).to_numpy(str)
    labels = reading.labels_of(table, found.spec.findings)
    both = {"float32": plain, "int8": int8}
    split = "test" if part == "all" else part
    scores = {name: Scores(z, labels, found.spec.findings, split, patients=patients) for name, z in both.items()}
    macro = compare(scores).pairs[0].macro.auc
    auc = {name: float(mean_over_findings(roc_auc(labels, z))[0].item()) for name, z in both.items()}
    if not np.isfinite(auc["float32"]):
        raise UsageError(
            f"none of {len(found.spec.findings)} findings has a positive and a negative in "
            f"{counted(len(table), 'image')}"
        )
    kept = _decisions_kept(found.decision, plain, int8, scores["int8"].clusters)
    assert macro.value is not None  # some finding has an AUC
    lost = Figure(macro.value, macro.low, macro.high, macro.n, macro.positives)
    return Loss(lost, kept, auc["float32"], auc["int8"], float(np.abs(plain - int8).max()))


def share_kept(decision: Decision, plain: np.ndarray, int8: np.ndarray) -> float:
    """Share of threshold decisions that are the same in int8, over all images and findings with a threshold."""
    return float(np.nanmean(_same(decision, plain, int8)))


def lines(acceptance: Acceptance) -> list[str]:
    """An acceptance, or a refusal, in sentences for a person."""
    calibration, compared = acceptance.calibration, acceptance.compared
    said = [
        f"int8 calibrated on {calibration.films} images ({calibration.part} part), compared with float32 on "
        f"{compared.films} others ({compared.part} part of split {compared.split_hash[:12] or 'unknown'})"
    ]
    for rest, run in acceptance.runs.items():
        auc, kept = run.auc_loss, run.decisions_kept
        verdict = "; ".join(exports.beyond(run)) or "accepted"
        said.append(
            f"with the rest in {rest}: macro AUC {run.auc:.4f} -> {run.auc_int8:.4f}, loss {auc.value:+.4f} "
            f"{_interval(auc, 4)} of at most {layout.MAX_AUC_LOSS}; {100 * kept.value:.2f} % of decisions stay "
            f"{_interval(kept, 4)}, n {kept.n:,}, of at least {100 * layout.MIN_DECISIONS_KEPT:g} %; largest "
            f"difference of a logit {run.largest_difference:.2g}: {verdict}"
        )
    return [*said, *acceptance.notes]


def _decisions_kept(decision: Decision, plain: np.ndarray, int8: np.ndarray, clusters: np.ndarray) -> Figure:
    same = _same(decision, plain, int8)
    if np.isnan(same).all():
        raise UsageError("the release has no thresholds, so that there are no decisions to compare")
    kept = Estimate.from_interval(proportion(same.ravel(), np.repeat(clusters, same.shape[1])))
    assert kept.value is not None
    return Figure(kept.value, kept.low, kept.high, kept.n)


def _same(decision: Decision, plain: np.ndarray, int8: np.ndarray) -> np.ndarray:
    """1 where a decision of the default operating point stays, 0 where not, NaN where there is none."""
    a, b = (positives(probabilities(z, decision), decision) for z in (plain, int8))
    return np.where(np.isnan(a) | np.isnan(b), np.nan, a == b)


def _interval(figure: Figure, digits: int) -> str:
    if figure.low is None or figure.high is None:
        return "(no interval)"
    return f"({figure.low:.{digits}f} to {figure.high:.{digits}f})"
