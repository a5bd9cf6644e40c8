"""The result of an evaluation as Markdown."""

from __future__ import annotations

import re

from zoo.core.counting import counted
from zoo.evaluation.result import HALF, Estimate, Evaluation, Mean, Measure
from zoo.evaluation.result.checks import LeftOut
from zoo.evaluation.result.evaluation import Calibration
from zoo.evaluation.result.members import BY_FINDING, FITTED, GIVEN, GREEDY, UNIFORM, Members
from zoo.evaluation.result.numbers import PERCENTILES, Resampling
from zoo.evaluation.result.probing import OwnHeads, Probe
from zoo.labels.parts import WHOLE, spoken_part

RESEARCH_ONLY = "Research software, not a medical device: not for diagnosis, triage or any decision about a patient."

#: Number of the images that were left out which are named.
_SHOWN = 5


def markdown(result: Evaluation) -> str:
    """Writes the result of `evaluate` as Markdown: what was evaluated, a table of findings, and the models compared.

    >>> import numpy as np
    >>> from zoo.evaluation.report import evaluate
    >>> from zoo.evaluation.scores import Scores
    >>> labels = np.array([[1], [0]] * 20)
    >>> scores = Scores(np.where(labels, 1.0, -1.0), labels, ("Edema",), "test")
    >>> markdown(evaluate({"model": scores})).splitlines()[0]
    '## model, test part'
    """
    rows = f"{counted(result.n, 'image')} of {counted(result.patients, 'patient')}"
    if not result.patients_known:
        rows = f"{counted(result.n, 'image')} (patients unknown: each image counts as a patient of its own)"
    lines = [
        f"## {_name(result.model)}, {spoken_part(result.split)}",
        "",
        RESEARCH_ONLY,
        "",
        f"{rows}, split `{result.split_hash[:12] or 'unnamed'}`. In brackets: {_how(result.interval)}.",
        "",
        *_finding_table(result),
        "",
        *_notes(result),
    ]
    if result.probe:
        lines += ["", *_probe(result.probe)]
    if result.models:
        lines += ["", *_model_table(result)]
    if result.members:
        lines += ["", *_member_tables(result, result.members)]
    return "\n".join(lines) + "\n"


def _how(interval: Resampling) -> str:
    said, drawn = f"{interval.level:.0%} intervals", f"{interval.resamples:,} resamples of patients"
    if interval.method == PERCENTILES:
        return f"{said} from {drawn}, seed {interval.seed}"
    few = "A number without one: too few patients to tell"  # percentiles have none where all resamples are equal, too
    if not interval.resamples:
        return f"{said} clustered by patient. {few}"
    return f"{said} clustered by patient, those of means with correlations from {drawn}, seed {interval.seed}. {few}"


def _finding_table(result: Evaluation) -> list[str]:
    columns = {Measure("auc"): "AUC", Measure("average_precision"): "AP", Measure("f1", HALF): "F1 at 0.5"}
    if result.default_point:
        for name in ("f1", "sensitivity", "specificity"):
            columns[Measure(name, result.point)] = f"{name.capitalize()} at `{_name(result.point)}`"
    columns = {measure: title for measure, title in columns.items() if measure in result.macro.by_measure}
    lines = [f"| Finding | n | Positives | {' | '.join(columns.values())} |", "|---|" + "---:|" * (len(columns) + 2)]
    for finding, row in result.findings.items():
        cells = [f"{row.auc.n:,}", f"{row.auc.positives:,}", *(_cell(row.get(*measure)) for measure in columns)]
        lines.append(f"| {_name(finding)} | {' | '.join(cells)} |")
    means = [_cell(result.macro.get(*measure)) + _counted(result.macro.get(*measure)) for measure in columns]
    return [*lines, f"| **Mean over findings** | | | {' | '.join(means)} |"]


def _notes(result: Evaluation) -> list[str]:
    notes = []
    for point in dict.fromkeys((HALF, result.point)):
        weighted, micro = result.weighted.find("f1", point), result.micro.find("f1", point)
        if weighted and micro:
            at = "0.5" if point == HALF else f"`{_name(point)}`"
            notes.append(f"F1 at {at}, all findings: {_cell(weighted)} weighted by positives, {_cell(micro)} micro.")
    if result.default_point:
        part = result.points[result.point].origin.split
        fitted = "were not fitted on any data" if part == "none" else f"were fitted on the {spoken_part(part)}"
        notes.append(f"The thresholds of `{_name(result.point)}` {fitted}.")
    if result.left_out is not None:
        notes.append(_left_out(result.left_out))
    undefined = [f for f, row in result.findings.items() if row.auc.value is None]
    weak = [f for f, row in result.findings.items() if f not in undefined and row.auc.includes(0.5)]
    few = [f for f, row in result.findings.items() if f not in undefined and not row.auc.has_interval]
    notes += [f"**{_name(line)}**" for line in worse_than_a_member(result)]
    if undefined:
        notes.append(f"Left out of the mean AUC, since one class is missing: {', '.join(map(_name, undefined))}.")
    if weak:
        notes.append(f"**Not shown to learn** (the interval of the AUC covers 0.5): {', '.join(map(_name, weak))}.")
    if few:
        notes.append(f"**Too few to tell** (the AUC has no interval): {', '.join(map(_name, few))}.")
    if result.calibration is not None and result.calibration.split != "none":
        notes.append(_calibration(result.calibration))
    return [f"- {note}" for note in notes]


def _left_out(block: LeftOut) -> str:
    shown = "; ".join(f"{_name(image.image)}: {_name(image.reason)}" for image in block.first[:_SHOWN])
    more = "; and others" if block.images.positives > _SHOWN else ""
    return f"Left out: {block.images.positives:,} of {counted(block.images.n, 'image')} of the table ({shown}{more})."


def _probe(probe: Probe) -> list[str]:
    """What was fitted, and what cross-validation over all images found, in sentences."""
    strengths = ", ".join(f"{_name(member)} {strength:g}" for member, strength in probe.members.items())
    lines = [
        f"Linear heads on frozen features of {_name(probe.features)}; inverse penalty C of {strengths}, chosen by "
        f"{probe.folds}-fold cross-validation over patients of the training part, one for all findings; "
        f"{'both classes weighted equally' if probe.balanced else 'images unweighted'}."
    ]
    lines += [f"Not trained: {_name(finding)} ({reason})." for finding, reason in probe.untrained.items()]
    if (found := probe.cross_validation) is not None:
        lines.append(
            f"Cross-validated over all {counted(found.n, 'image')} of {counted(found.patients, 'patient')} "
            f"({found.folds} folds by "
            f"patient): mean AUC {_cell(found.mean)}."
        )
    if (curve := probe.learning_curve) is not None:
        most = curve.points[-1].patients
        lines.append(
            f"Twice the {counted(most, 'patient')} of a fold's training would add {_cell(curve.doubling)} AUC."
        )
    if probe.own is not None:
        lines.append(_name(own_heads(probe.own)))
    return [f"- {line}" for line in (*lines, *map(_name, probe.notes))]


def own_heads(own: OwnHeads) -> str:
    """Says how well the probed model does with its own heads, and whether that can be compared with the probe.

    >>> mean = Estimate(0.722, 0.658, 0.783, n=1168, positives=166)
    >>> aucs = {"Edema": mean, "Pneumonia": mean}
    >>> own_heads(OwnHeads("mine", "", "test", 146, 120, True, True, False, aucs, mean))[:76]
    'mine itself (fine-tuned): mean AUC 0.722 [0.658, 0.783] over 2 findings, on '
    """
    kind = "fine-tuned" if own.fine_tuned else "heads on frozen features"
    images = counted(own.images, "image") + (f" of {counted(own.patients, 'patient')}" if own.patients_known else "")
    place = "its own table" if own.split == WHOLE else f"its own {spoken_part(own.split)}"
    data = f" ({own.data})" if own.data else ""
    same = (
        "The split is the same, so these are the images of this test part; compare finding by finding."
        if own.same_images
        else "These are not the images of this test part, so the two cannot be compared."
    )
    return (
        f"{own.name} itself ({kind}): mean AUC {_cell(own.mean)} over {counted(len(own.findings), 'finding')}, "
        f"on the {images} of {place}{data}. {same}"
    )


def _calibration(block: Calibration) -> str:
    titles = {"log_loss": "log loss", "brier": "Brier score", "ece": "ECE"}
    changes = ", ".join(
        f"{titles[measure.name]} "
        + " to ".join(_cell(n, ".4f", error=measure.name == "ece") for n in (change.before, change.after))
        for measure, change in block.macro.items()
    )
    if block.method == "none":
        return block.how
    return f"Calibration ({block.method}, fitted on the {spoken_part(block.split)}), means over findings: {changes}."


def _model_table(result: Evaluation) -> list[str]:
    lines = [f"| Model | Mean AUC | Mean AP | AUC of {_name(result.model)} minus this |", "|---|---:|---:|---:|"]
    for name, block in {result.model: result.numbers, **result.models}.items():
        cells = [_cell(block.macro.auc), _cell(block.macro.get("average_precision"))]
        cells.append(_cell(result.differences[name].macro.auc, "+.3f") if name != result.model else "")
        lines.append(f"| {_name(name)} | " + " | ".join(cells) + " |")
    return lines


def _member_tables(result: Evaluation, members: Members) -> list[str]:
    lines = [
        f"{how_weighted(members)} Log losses in nats; of the {spoken_part(members.fitted_on)} beside the members, of "
        f"the {spoken_part(result.split)} beside the weights.",
        "",
        "| Member | Weight | Greedy selection | Log loss alone | Log loss added without it | AUC lost without it |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, member in members.members.items():
        numbers = [f"{member.weight:.3f}", f"{member.greedy:.2f}", f"{member.log_loss:.4f}"]
        less = [_cell(member.without_log_loss, "+.4f"), _cell(member.without_auc, "+.3f")]
        lines.append(f"| {_name(name)} | {' | '.join([*numbers, *less])} |")
    lines += [
        "",
        "| Weights | Mean AUC | Log loss | AUC of those in use minus this | Log loss of those in use minus this |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, choice in members.choices.items():
        cells = [_cell(choice.auc), _cell(choice.log_loss, ".4f")]
        cells.append(_cell(choice.auc_difference, "+.3f") if choice.auc_difference else "in use")
        cells.append(_cell(choice.log_loss_difference, "+.4f") if choice.log_loss_difference else "in use")
        lines.append(f"| {_name(choice_name(name, members))} | {' | '.join(cells)} |")
    return lines


def how_weighted(members: Members) -> str:
    """Says how the members in use are weighted, in one sentence.

    >>> how_weighted(Members("uniform", "a", {}, {}))
    'The members are weighted equally.'
    """
    if members.fit is None:
        given = "by given numbers" if members.used == GIVEN else "equally"
        return f"The members are weighted {given}."
    if members.fit.not_fitted:
        part = spoken_part(members.fit.origin.split)
        return f"The members are weighted equally: no weights could be fitted on the {part} ({members.fit.not_fitted})."
    fit, by_finding = members.fit, ""
    if fit.shrinkage_by_finding is not None:
        by_finding = f", for each finding, shrunk towards those of all findings by {fit.shrinkage_by_finding:g}"
    return (
        f"The weights of the members were fitted on the {spoken_part(fit.origin.split)}{by_finding}, and shrunk "
        f"towards equal ones by {fit.shrinkage:g} (chosen by cross-validation)."
    )


def choice_name(choice: str, members: Members) -> str:
    """The name of a choice of weights in a table.

    >>> choice_name("fitted_per_finding", Members("uniform", "a", {}, {}))
    'fitted by finding'
    """
    named = {UNIFORM: "uniform", FITTED: "fitted", BY_FINDING: "fitted by finding", GIVEN: "as given"}
    if choice in members.members:
        return f"{choice} alone (smallest log loss on the {spoken_part(members.fitted_on)})"
    return named.get(choice, "greedy selection" if choice == GREEDY else choice)


def worse_than_a_member(result: Evaluation) -> list[str]:
    """Says of which members the ensemble is significantly worse in mean AUC, and what to do; one sentence each."""
    block, found = result.members, []
    if block is None:
        return []
    if block.used == UNIFORM:
        what = "the mean with equal weights"
        to_do = "fit the weights with `--set ensemble.weighting=fitted`; a finished run is not trained again"
    else:
        what, to_do = "the ensemble", "that member can be loaded alone"
    for name in block.members:
        # `zoo evaluate` does not evaluate the members by themselves; the best one is still among the choices.
        choice = block.choices.get(name)
        less = result.differences[name].macro.auc if name in result.differences else choice and choice.auc_difference
        if less and less.high is not None and less.high < 0:
            found.append(f"In mean AUC {what} is worse than {name} alone by {_cell(less)}: {to_do}.")
    return found


def _cell(number: Estimate, form: str = ".3f", *, error: bool = False) -> str:
    """A number with its interval; of a calibration error that may be 0, "at most" its upper limit."""
    if number.value is None:
        return "\u2013"
    if number.low is None or number.high is None:
        return f"{number.value:{form}}"
    if error and number.may_be_zero:
        return f"{number.value:{form}} (at most {number.high:{form}})"
    return f"{number.value:{form}} [{number.low:{form}}, {number.high:{form}}]"


def _counted(mean: Estimate) -> str:
    """The number of findings that a mean covers, if not all."""
    return f" ({mean.findings} of {mean.of})" if isinstance(mean, Mean) and mean.findings != mean.of else ""


def _name(text: str) -> str:
    """A name for one cell of a table: an unescaped "|" would end the cell."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))
