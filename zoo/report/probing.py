"""The section on heads that were fitted on frozen features: cross-validation and the learning curve."""

from __future__ import annotations

from typing import Any

from zoo.core.counting import counted
from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.probing import LearningCurve, OwnHeads, Probe
from zoo.evaluation.tables import own_heads
from zoo.report.drawing import LIGHT, SERIES
from zoo.report.layout import Cell, Chart, Margins, Panel, Section, Table, decimals


def sections(result: Evaluation) -> list[Section]:
    """The section, in a list; an empty list for a model that was trained as a whole."""
    probe = result.probe
    if probe is None:
        return []
    strengths = ", ".join(f"{member} {strength:g}" for member, strength in probe.members.items())
    words = [
        f"A logistic regression for each finding on the frozen features of {probe.features}. The inverse strength C of "
        f"the penalty ({strengths}) is one for all findings, chosen by {probe.folds}-fold cross-validation over the "
        "patients of the training part. "
        + ("Both classes of a finding have the same total weight." if probe.balanced else "Images are unweighted.")
    ]
    if probe.cross_validation is not None:
        own = probe.cross_validation
        words.append(
            f"Cross-validation uses all {counted(own.n, 'image')} of {counted(own.patients, 'patient')}, so its "
            "intervals are "
            "narrower than those of the test part. It compares images of the same fold only, and chooses the penalty "
            "without the fold."
        )
    curve = probe.learning_curve
    if curve is not None:
        words += _words(curve)
    elif probe.cross_validation is not None:
        words.append("There are too few patients for a learning curve.")
    if probe.own is not None:
        words.append(own_heads(probe.own))
    charts = () if curve is None else (Chart("learning", "Learning curve", (_panel(curve),)),)
    notes = [f"{finding} is not trained: {reason}." for finding, reason in probe.untrained.items()] + list(probe.notes)
    return [Section("probe", "Heads on frozen features", tuple(words), tuple(notes), charts, (_table(result, probe),))]


def _words(curve: LearningCurve) -> list[str]:
    most, gain = curve.points[-1].patients, curve.doubling
    parts = []
    for own in curve.gains:
        if own.patients is None:
            parts.append(f"{own.gain:g} AUC: more than these data can tell")
            continue
        high = f"{own.high:,}" if own.high is not None else "more than can be told"
        parts.append(f"{own.gain:g} AUC: {own.patients:,} [{own.low if own.low is not None else 0:,} to {high}]")
    shown = gain.low is not None and gain.low > 0.0005
    return [
        f"Mean AUC over {len(curve.findings)} findings by the number of patients in training. The fitted power law is "
        f"1 \u2212 AUC = {curve.floor:.3f} + {curve.scale:.3g} \u00d7 patients^\u2212{curve.exponent:.2f}. Twice the "
        f"{counted(most, 'patient')} would add {decimals(gain.value)} [{decimals(gain.low)}, {decimals(gain.high)}]"
        + ("." if shown else ": these data do not show that more patients help.")
        + " The intervals cover the patients that are scored and the choice of subsets, hardly the patients that heads "
        "are fitted on: in a simulation, those of the points held the true value in 90 to 93 %.",
        f"Patients needed in addition for a gain of {'; '.join(parts)}. "
        f"Nothing is said beyond {counted(curve.horizon, 'patient')}.",
    ]


def _table(result: Evaluation, probe: Probe) -> Table:
    own = probe.cross_validation
    rows: list[tuple[Cell, ...]] = []
    for finding, counts in probe.training.items():
        test = result.findings[finding].auc if finding in result.findings else None
        crossed = own.findings.get(finding) if own is not None else None
        rows.append((finding, counts.positives, counts.negatives, test, crossed, *_of_model(probe, finding)))
    model: tuple[Cell, ...] = () if probe.own is None else (probe.own.mean,)
    rows.append(("Mean", "", "", result.macro.auc, own.mean if own is not None else None, *model))
    head = ["Finding", "Positives in training", "Negatives in training", "AUC, test part", "AUC, cross-validated"]
    head += [] if probe.own is None else [_title(probe.own)]
    return Table("Labels in training, and AUC", tuple(head), tuple(rows), last_is_mean=True)


def _of_model(probe: Probe, finding: str) -> tuple[Cell, ...]:
    """The cell of the model's own heads, if there is such a column."""
    return () if probe.own is None else (probe.own.findings.get(finding),)


def _title(own: OwnHeads) -> str:
    return f"AUC of {own.name} itself" + ("" if own.same_images else ", on other images")


def _panel(curve: LearningCurve) -> Panel:
    sizes = [point.patients for point in curve.points]
    values = [point.auc.value or 0.0 for point in curve.points]

    def draw(axes: Any) -> None:
        ends = [(p.auc.low, p.auc.high) for p in curve.points]
        low = [v if a is None else a for v, (a, _) in zip(values, ends, strict=True)]
        high = [v if b is None else b for v, (_, b) in zip(values, ends, strict=True)]
        axes.fill_between(sizes, low, high, color=LIGHT["blue"], alpha=0.15, linewidth=0)
        axes.plot(sizes, values, label="cross-validated", **dict(SERIES[0]))
        further = [sizes[0] * (2 * sizes[-1] / sizes[0]) ** (i / 40) for i in range(41)]
        law = [1 - curve.floor - curve.scale * size**-curve.exponent for size in further]
        axes.plot(further, law, label="power law", color=LIGHT["vermillion"], linestyle="--")
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
        axes.minorticks_off()
        axes.set_xlabel("Patients in training")
        axes.set_ylabel("Mean AUC")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2)

    ends = (
        f"from {decimals(values[0])} with {counted(sizes[0], 'patient')} to {decimals(values[-1])} with {sizes[-1]:,}"
    )
    description = f"Mean AUC by the number of patients, {ends}; the power law is drawn to twice as many."
    return Panel("Learning curve", description, draw, size=(4.2, 3.2), margins=Margins(left=0.6, top=0.1))
