"""`zoo probe`: a linear head for each finding on frozen features of a model, written as an ordinary release."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from zoo.config.specs import EnsembleSpec, to_dict
from zoo.core.errors import TrainingError
from zoo.core.process import require_own_process
from zoo.core.progress import Progress
from zoo.data.images.reading import read_image
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation import report
from zoo.evaluation.calibration.fitting import TEMPERATURES
from zoo.evaluation.decision import Decision
from zoo.evaluation.files.study import Study
from zoo.evaluation.leakage import seen_images
from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.checks import SeenImages
from zoo.evaluation.result.probing import Probe
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision
from zoo.evaluation.untrained import marked
from zoo.inference.predictor import Predictor
from zoo.release import card
from zoo.release.trained_on import TrainedOn
from zoo.release.write import write_release
from zoo.runs import leaks, probe_data, probe_network, probed, provenance, results, seen_before
from zoo.runs.gate import fit_on_training_part
from zoo.runs.probe_data import ProbeData
from zoo.runs.restart import removed_on_failure
from zoo.runs.tested import own_scores
from zoo.training.probes import folds, learning
from zoo.training.probes.linear import Linear
from zoo.training.probes.spec import OUT_OF_FOLD, ProbeSpec


@dataclass(frozen=True)
class Outcome:
    """The result of `probe`.

    Attributes:
        result: The evaluation on the test part, with the block `probe`.
        report: Path of the report.
        release: Folder of the release.
    """

    result: Evaluation
    report: Path
    release: Path


def probe(
    model: Predictor,
    data: Path,
    out: Path,
    progress: Progress,
    *,
    spec: ProbeSpec | None = None,
    run: Path | None = None,
    name: str = "",
    dataset: str | None = None,
    columns: TableSpec | None = None,
    data_name: str = "",
    crossed: bool = True,
) -> Outcome:
    """Fits heads on the frozen features of a model, evaluates them on the test part and writes a release.

    The features are computed once and kept in the run folder by the content of the images. The strength of the penalty
    is one for all findings of a member, chosen by cross-validation over the patients of the training part. The decision
    is fitted on the validation part. With several members each has its own head, and the logits are averaged. The run
    folder holds `split.json`, `data.json`, `skipped.csv`, `out_of_fold.csv`, `metrics.json` and the reports.

    Args:
        model: The model whose backbones are used; its own heads are not.
        data: Folder of images and table, or the table.
        out: Folder of the release; an earlier release there is replaced.
        progress: Receives the progress of every step.
        spec: How the heads are fitted.
        run: Folder for everything else; "<out>-run" by default.
        name: Name of the new model; the name of `out` by default.
        dataset: Format of the table; by default it is found out.
        columns: Names of the columns, for a table of one's own.
        data_name: Name of the data set, for the model card.
        crossed: Whether to cross-validate over all images and draw a learning curve.

    Raises:
        TableError: The table or its images cannot be used.
        SplitError: There are too few patients, or none is named.
        TrainingError: No finding can be fitted.
        MissingExtraError: scikit-learn is not installed.
    """
    require_own_process()
    spec, run, name = spec or ProbeSpec(), run or out.with_name(f"{out.name}-run"), name or out.name
    # Before any image is read: an impossible name raises.
    ensemble = probe_network.ensemble_spec(model, name, ("unnamed",))
    with removed_on_failure(run, progress):
        dataset = reading.dataset_of(data, dataset, columns=columns)
        held = probe_data.read(model, data, dataset, columns, spec, run, progress)
        untrained = _untrained(held, spec, progress)
        able = [j for j, finding in enumerate(held.findings) if finding not in untrained]
        part = probe_data.sample(held, held.train_rows, able, spec)
        heads, strengths = folds.fit_heads(part.features, part.labels, part.fold, progress, balanced=spec.balanced)
        facts = _facts(model, held, untrained, strengths, spec, progress)
        if crossed:
            whole = probe_data.sample(held, np.arange(len(held.table)), able, spec)
            logits, found = learning.cross_validate(whole, progress, spec.seed)
            probe_data.write_out_of_fold(run / OUT_OF_FOLD, held, whole, logits)
            curve = learning.learning_curve(whole, strengths, progress, spec.seed)
            facts = dataclasses.replace(facts, cross_validation=found, learning_curve=curve)
        ensemble = dataclasses.replace(ensemble, findings=held.findings, untrained=tuple(untrained))
        heads = {m: probe_network.with_all_findings(h, able, len(held.findings)) for m, h in heads.items()}
        origin = _provenance(model, held, facts, spec, {"name": data_name, "form": dataset})
        return _finish(model, ensemble, heads, held, facts, origin, out, run, progress)


def _untrained(held: ProbeData, spec: ProbeSpec, progress: Progress) -> dict[str, str]:
    """Finding -> why no head can be fitted for it, which is also told."""
    rows, findings = held.train_rows, held.findings
    reasons = folds.not_fittable(held.labels[rows], held.patients[rows], spec.folds, findings)
    said = "; ".join(f"{finding}: {reason}" for finding, reason in reasons.items())
    if len(reasons) == len(findings):
        raise TrainingError(f"none of {len(findings)} findings can be fitted in the training part ({said})")
    if reasons:
        progress.message(f"{len(reasons)} of {len(findings)} findings stay untrained ({said})")
    return reasons


def _facts(
    model: Predictor,
    held: ProbeData,
    untrained: Mapping[str, str],
    strengths: Mapping[str, float],
    spec: ProbeSpec,
    progress: Progress,
) -> Probe:
    record = seen_before.record_of(model)
    return Probe(
        features=PurePath(model.name).name,
        members=strengths,
        folds=spec.folds,
        balanced=spec.balanced,
        training=probe_data.counts(held.labels[held.train_rows], held.findings),
        untrained=untrained,
        notes=tuple(seen_before.notes(model, record, held.digests, held.split, progress)),
        own=probed.own_heads(model, held.split),
    )


def _finish(
    model: Predictor,
    ensemble: EnsembleSpec,
    heads: Mapping[str, Linear],
    held: ProbeData,
    facts: Probe,
    origin: dict[str, Any],
    out: Path,
    run: Path,
    progress: Progress,
) -> Outcome:
    """Fits the decisions on the validation part, evaluates the test part, and writes the report and the release."""
    decisions, test = _decide(ensemble, heads, held)
    network = probe_network.network(model, ensemble, heads)
    before, mine = seen_before.record_of(model), TrainedOn.of_run(run)
    decision, scores = decisions[ensemble.name], test[ensemble.name]
    result = _complete(report.evaluate(test, decisions), scores, decision, held, run, progress)
    result = dataclasses.replace(result, probe=facts, trained_on=_seen(before, held))
    paths = list(held.tested["Image_path"])
    with progress.task("report", 2) as advance:
        wrong = results.mistakes(network, paths, scores, decision)
        advance()
        shown = results.write(result, run, mistakes=wrong, method=results.method(network))
        advance()
    gate = fit_on_training_part(held.table, held.split, ensemble.image_size, read_image, progress, origin["seed"])
    folder = write_release(
        out,
        network,
        ensemble,
        decision,
        member_decisions={m.name: decisions[m.name] for m in ensemble.members if m.name in decisions},
        metrics=result,
        provenance=origin,
        card=card.render(ensemble, result, decision=decision, provenance=origin, checks=str(gate or "")),
        trained_on=mine.joined(before) if mine is not None and before is not None else mine,
        gate=gate,
        tested=own_scores(scores, paths, gate, ensemble.image_size, progress, origin["seed"]),
    )
    return Outcome(result, shown, folder)


def _decide(
    ensemble: EnsembleSpec, heads: Mapping[str, Linear], held: ProbeData
) -> tuple[dict[str, Decision], dict[str, Scores]]:
    """Decisions fitted on the validation part, and scores of the test part: of the mean and of each member."""
    trained = [finding not in ensemble.untrained for finding in held.findings]
    logits = {member: heads[member].logits(features) for member, features in held.features.items()}
    logits = {ensemble.name: np.mean(list(logits.values()), axis=0)} | (logits if len(logits) > 1 else {})
    decisions = {
        key: marked(fit_decision(scores, calibration=TEMPERATURES, trained=trained), ensemble.untrained)
        for key, scores in ((key, held.scores("validation", values, trained)) for key, values in logits.items())
    }
    return decisions, {key: held.scores("test", values, trained) for key, values in logits.items()}


def _complete(
    result: Evaluation, scores: Scores, decision: Decision, held: ProbeData, run: Path, progress: Progress
) -> Evaluation:
    tested = held.tested
    groups, paths = results.groups_of(tested), list(tested["Image_path"])
    study = Study({result.model: scores}, tested["Image_name"].to_numpy(str), groups, {}, ())
    shared = leaks.find(study, None, progress, run / "split.json", paths=paths)
    return results.complete(result, scores, decision, groups=groups, leakage=shared)


def _seen(record: TrainedOn | None, held: ProbeData) -> SeenImages | None:
    """How many images of the test part the probed model was trained on; None if it does not record them."""
    digests = [held.digests[row] for row in held.split.rows("test")]
    return None if record is None else seen_images(*record.find(digests), compared=len(digests), of=len(digests))


def _provenance(
    model: Predictor, held: ProbeData, facts: Probe, spec: ProbeSpec, source: dict[str, Any]
) -> dict[str, Any]:
    start = {"model": facts.features, "manifest_sha256": model.manifest_sha256, "strengths": dict(facts.members)}
    return provenance.origin(held.table, held.split, spec.seed, source) | {"probe": start | to_dict(spec)}
