"""Panels of one finding's curves: ROC, precision-recall, reliability, and measures over the threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import ReaderPoint
from zoo.evaluation.result.curves import OverThresholds, PrecisionRecall, ReliabilityCurve, Roc
from zoo.report.drawing import LIGHT, SERIES
from zoo.report.layout import Margins, Panel

_CHANCE: dict[str, Any] = {"color": LIGHT["muted"], "linewidth": 1, "linestyle": (0, (1, 2)), "zorder": 1}
_POINT: dict[str, Any] = {"color": LIGHT["ink"], "marker": "o", "markersize": 7, "fillstyle": "none", "linestyle": ""}
_READER: dict[str, Any] = {"color": LIGHT["vermillion"], "marker": "^", "markersize": 6, "linestyle": ""}


@dataclass(frozen=True)
class Marks:
    """Text and marks that are drawn with a curve.

    Attributes:
        words: Two lines above the curve.
        point: Name, x and y of the operating point, or None.
        readers: Points of the readers.

    >>> Marks(("AUC 0.8",)).readers
    ()
    """

    words: tuple[str, ...] = ()
    point: tuple[str, float, float] | None = None
    readers: Sequence[ReaderPoint] = ()


def roc(title: str, description: str, curve: Roc, marks: Marks) -> Panel:
    """Draws sensitivity against false positive rate, with the readers' points."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [0, 1], label="chance", **_CHANCE)
        axes.plot(_known(curve.fpr), _known(curve.tpr), label="model", **_line(0))
        for reader in marks.readers:
            _cross(axes, reader.false_positive_rate, reader.sensitivity)
        if marks.readers:
            rates = [reader.false_positive_rate.value for reader in marks.readers]
            sensitivities = [reader.sensitivity.value for reader in marks.readers]
            axes.plot(rates, sensitivities, label="readers", **_READER)
        _finish(axes, "False positive rate", "Sensitivity", marks)

    return Panel(title, description, draw)


def precision_recall(title: str, description: str, curve: PrecisionRecall, prevalence: float, marks: Marks) -> Panel:
    """Draws PPV against sensitivity; random calls have a PPV equal to the prevalence."""

    def draw(axes: Any) -> None:
        axes.plot([0, 1], [prevalence, prevalence], label="chance", **_CHANCE)
        recall, precision = _known(curve.recall), _known(curve.precision)
        # Steps: a straight line between two cuts would overstate the precision.
        axes.plot(recall, precision, label="model", drawstyle="steps-pre", **_line(0))
        _finish(axes, "Sensitivity (recall)", "PPV (precision)", marks)

    return Panel(title, description, draw)


def reliability(title: str, description: str, stages: Mapping[str, ReliabilityCurve], words: tuple[str, ...]) -> Panel:
    """Draws observed frequency against predicted probability, before and (if one was fitted) after calibration."""
    last = list(stages)[-1]
    top = max([0.0, *(v for c in stages.values() for v in (*c.predicted, *c.observed) if v is not None)])
    # The bins of a rare finding lie in one corner of the unit square, so only that corner is drawn.
    top = 1.0 if top > 0.6 else 1.15 * top or 1.0

    def draw(axes: Any) -> None:
        axes.plot([0, top], [0, top], label="perfect", **_CHANCE)
        for stage, curve in stages.items():
            x, y = _known(curve.predicted), _known(curve.observed)
            style = dict(SERIES[0 if stage == last else 1]) | {"fillstyle": "full" if stage == last else "none"}
            if stage == last:
                axes.vlines(x, _known(curve.low), _known(curve.high), color=style["color"], linewidth=0.8)
            axes.plot(
                x, y, label=f"{stage} calibration" if len(stages) > 1 else "model", markersize=4, **_no_size(style)
            )
        _finish(axes, "Predicted probability", "Observed frequency", Marks(words), top)
        axes.locator_params(nbins=4)

    return Panel(title, description, draw, margins=Margins(left=0.64))


def over_thresholds(
    title: str, description: str, curve: OverThresholds, point: tuple[str, float] | None, words: tuple[str, ...]
) -> Panel:
    """Draws sensitivity, specificity, PPV and F1 against the threshold, and marks the operating point."""
    x = _known(curve.threshold)
    # The axis ends where hardly any image is called positive.
    top = next((t for t, s in zip(x, _known(curve.sensitivity), strict=True) if s < 0.02), 1.0)
    top = min(1.0, max(top, 1.4 * point[1] if point else 0.0))

    def draw(axes: Any) -> None:
        lines = {
            "sensitivity": curve.sensitivity,
            "specificity": curve.specificity,
            "PPV": curve.ppv,
            "F1": curve.f1,
        }
        for i, (name, values) in enumerate(lines.items()):
            axes.plot(x, _known(values), label=name, **_line(i))
        if point is not None:
            axes.axvline(point[1], color=LIGHT["ink"], linewidth=1.2, label=point[0])
            axes.plot([point[1]], [1.03], marker="v", markersize=7, color=LIGHT["ink"], clip_on=False, linestyle="")
        _finish(axes, "Threshold", "", Marks(words), columns=3)
        axes.set_xlim(-0.02 * top, 1.02 * top)

    return Panel(title, description, draw)


def _cross(axes: Any, x: Estimate, y: Estimate) -> None:
    """Draws the two intervals of a reader's point."""
    thin = {"color": LIGHT["vermillion"], "linewidth": 0.7, "zorder": 2}
    if x.low is not None:
        axes.plot([x.low, x.high], [y.value, y.value], **thin)
    if y.low is not None:
        axes.plot([x.value, x.value], [y.low, y.high], **thin)


def _finish(axes: Any, x: str, y: str, marks: Marks, top: float = 1.0, columns: int = 2) -> None:
    if marks.point is not None:
        name, *place = marks.point
        axes.plot(*([v] for v in place), label=name, zorder=4, markeredgewidth=1.6, **_POINT)
    axes.set_xlim(-0.02 * top, 1.02 * top)
    axes.set_ylim(-0.02 * top, 1.03 * top)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(loc="upper center", bbox_to_anchor=(0.42, -0.15), ncols=columns, columnspacing=1.0, handletextpad=0.5)
    # Above the axes, since inside them a curve can run through any corner.
    axes.text(-0.16, 1.02, "\n".join(marks.words), transform=axes.transAxes, va="bottom", size=8, linespacing=1.3)


def _line(i: int) -> dict[str, Any]:
    return dict(SERIES[i]) | {"marker": ""}


def _no_size(style: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in style.items() if key != "markersize"}


def _known(values: Sequence[float | None]) -> list[float]:
    """Replaces undefined values by NaN, which makes a gap in a line."""
    return [float("nan") if v is None else v for v in values]
