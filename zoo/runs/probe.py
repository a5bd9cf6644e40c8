"""`zoo probe`: a linear head for each finding on frozen features of a model, written as an ordinary release."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from zoo.config.specs import EnsembleSpec, to_dict
from zoo.core.errors import TrainingError
from zoo.core.process import require_own_process
from zoo.core.progress import Progress, tell_warnings
from zoo.data import splits
from zoo.data.identity import DataIdentity
from zoo.data.images.reading import read_image
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation import report
from zoo.evaluation.decision import Decision, probabilities
from zoo.evaluation.files.study import Study
from zoo.evaluation.leakage import seen_images
from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.probing import ClassCounts, Probe
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_decision
from zoo.evaluation.untrained import left_out, marked
from zoo.inference.embedding import embedder
from zoo.inference.feature_store import features_of
from zoo.inference.predictor import Predictor
from zoo.release import card
from zoo.release.trained_on import TrainedOn
from zoo.release.write import write_release
from zoo.runs import leaks, probed, provenance, results, seen_before, training_data
from zoo.runs.gate import fit_on_training_part
from zoo.runs.restart import removed_on_failure
from zoo.training.probes import folds, learning
from zoo.training.probes.learning import Sample
from zoo.training.probes.linear import Linear
from zoo.training.probes.spec import OUT_OF_FOLD, ProbeSpec

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble


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


@dataclass(frozen=True, eq=False)
class _Data:
    """The usable rows of the table, their features by member, the digests of their files, and their split."""

    table: pd.DataFrame
    features: Mapping[str, np.ndarray]
    digests: tuple[str, ...]
    split: splits.Split
    labels: np.ndarray
    findings: tuple[str, ...]

    def scores(self, part: str, logits: np.ndarray, trained: Sequence[bool]) -> Scores:
        rows = self.split.rows(part)
        values, labels, _ = left_out(logits[rows], self.labels[rows], self.findings, trained)
        patients = splits.patients_of(self.table)[rows]
        return Scores(values, labels, self.findings, part, self.split.hash, patients)


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
    ensemble = _ensemble_spec(model, name, ("unnamed",))  # raises for an impossible name before any image is read
    with removed_on_failure(run, progress):
        dataset = reading.dataset_of(data, dataset, columns=columns)
        held = _read(model, data, dataset, columns, spec, run, progress)
        train_rows = held.split.rows("train")
        patients = splits.patients_of(held.table).astype(str)
        reasons = folds.not_fittable(held.labels[train_rows], patients[train_rows], spec.folds, held.findings)
        _tell_untrained(reasons, held.findings, progress)
        able = [j for j, finding in enumerate(held.findings) if finding not in reasons]
        part = _sample(held, patients, train_rows, able, spec)
        heads, strengths = folds.fit_heads(part.features, part.labels, part.fold, progress, balanced=spec.balanced)
        facts = Probe(
            features=PurePath(model.name).name,
            members=strengths,
            folds=spec.folds,
            balanced=spec.balanced,
            training=_counts(held.labels[train_rows], held.findings),
            untrained=reasons,
            notes=tuple(seen_before.notes(model, seen_before.record_of(model), held.digests, held.split, progress)),
            own=probed.own_heads(model, held.split),
        )
        if crossed:
            whole = _sample(held, patients, np.arange(len(held.table)), able, spec)
            logits, found = learning.cross_validate(whole, progress, spec.seed)
            _write_out_of_fold(run / OUT_OF_FOLD, held, whole, logits)
            curve = learning.learning_curve(whole, strengths, progress, spec.seed)
            facts = dataclasses.replace(facts, cross_validation=found, learning_curve=curve)
        ensemble = dataclasses.replace(ensemble, findings=held.findings, untrained=tuple(reasons))
        whole_heads = {member: _all_columns(linear, able, len(held.findings)) for member, linear in heads.items()}
        source = {"name": data_name, "form": dataset}
        return _finish(model, ensemble, whole_heads, held, facts, spec, (out, run), source, progress)


def _read(
    model: Predictor,
    data: Path,
    dataset: str,
    columns: TableSpec | None,
    spec: ProbeSpec,
    run: Path,
    progress: Progress,
) -> _Data:
    with tell_warnings(progress):
        table = reading.read_table(dataset, data, columns=columns, say=progress.message)
    splits.check_patients(table, spec.split)
    findings = reading.findings_of(table)
    table, missing = reading.drop_missing(table)
    made = embedder(model)
    stored = features_of(model, made, list(table["Image_path"]), run, progress)
    readable = np.array([path not in stored.unreadable for path in table["Image_path"]])
    table, unreadable = reading.drop_unreadable(table, stored.unreadable)
    skipped = pd.concat([missing, unreadable], ignore_index=True)
    training_data.list_skipped(skipped, len(table), run / "skipped.csv", progress)
    with tell_warnings(progress):
        split = splits.make_split(table, findings, spec.split)
    split.save(run / "split.json")
    DataIdentity.of(table, findings, stored.digests).save(run / "data.json")
    sizes = ", ".join(f"{len(rows)} {part}" for part, rows in split.parts.items())
    progress.message(f"split by {split.by}: {sizes} (hash {split.hash[:12]})")
    ends = np.cumsum([0, *made.sizes.values()])
    by_member = {
        member: stored.features[readable, start:end]
        for member, start, end in zip(made.sizes, ends, ends[1:], strict=False)
    }
    digests = tuple(stored.digests.get(path, "") for path in table["Image_path"])
    return _Data(table, by_member, digests, split, reading.labels_of(table, findings), findings)


def _sample(held: _Data, patients: np.ndarray, rows: np.ndarray, able: Sequence[int], spec: ProbeSpec) -> Sample:
    labels, whose = held.labels[rows][:, able], patients[rows]
    return Sample(
        {member: features[rows] for member, features in held.features.items()},
        labels,
        tuple(held.findings[j] for j in able),
        whose,
        folds.make_folds(labels, whose, spec.folds, spec.seed),
        spec.balanced,
    )


def _tell_untrained(reasons: Mapping[str, str], findings: Sequence[str], progress: Progress) -> None:
    said = "; ".join(f"{finding}: {reason}" for finding, reason in reasons.items())
    if len(reasons) == len(findings):
        raise TrainingError(f"none of {len(findings)} findings can be fitted in the training part ({said})")
    if reasons:
        progress.message(f"{len(reasons)} of {len(findings)} findings stay untrained ({said})")


def _finish(
    model: Predictor,
    ensemble: EnsembleSpec,
    heads: Mapping[str, Linear],
    held: _Data,
    facts: Probe,
    spec: ProbeSpec,
    places: tuple[Path, Path],
    source: dict[str, Any],
    progress: Progress,
) -> Outcome:
    out, run = places
    trained = [finding not in facts.untrained for finding in held.findings]
    logits = {member: heads[member].logits(features) for member, features in held.features.items()}
    logits = {ensemble.name: np.mean(list(logits.values()), axis=0)} | (logits if len(logits) > 1 else {})
    decisions = {
        key: marked(fit_decision(held.scores("validation", values, trained), trained=trained), ensemble.untrained)
        for key, values in logits.items()
    }
    test = {key: held.scores("test", values, trained) for key, values in logits.items()}
    network = _network(model, ensemble, heads)
    decision, scores = decisions[ensemble.name], test[ensemble.name]
    result = _complete(report.evaluate(test, decisions), scores, decision, held, run, progress)
    before, mine = seen_before.record_of(model), TrainedOn.of_run(run)
    tested = [held.digests[row] for row in held.split.rows("test")]
    seen = None if before is None else seen_images(*before.find(tested), compared=len(tested), of=len(tested))
    result = dataclasses.replace(result, probe=facts, trained_on=seen)
    with progress.task("report", 2) as advance:
        paths = list(held.table["Image_path"].iloc[held.split.rows("test")])
        wrong = results.mistakes(network, paths, scores, decision)
        advance()
        shown = results.write(result, run, mistakes=wrong, method=results.method(network))
        advance()
    origin = _provenance(model, held, facts, spec, source)
    gate = fit_on_training_part(held.table, held.split, ensemble.image_size, read_image, progress, spec.seed)
    folder = write_release(
        out,
        network,
        ensemble,
        decision,
        member_decisions=_by_member(decisions, ensemble),
        metrics=result,
        provenance=origin,
        card=card.render(ensemble, result, decision=decision, provenance=origin, checks=str(gate or "")),
        trained_on=mine.joined(before) if mine is not None and before is not None else mine,
        gate=gate,
    )
    return Outcome(result, shown, folder)


def _complete(
    result: Evaluation, scores: Scores, decision: Decision, held: _Data, run: Path, progress: Progress
) -> Evaluation:
    tested = held.table.iloc[held.split.rows("test")]
    groups, paths = results.groups_of(tested), list(tested["Image_path"])
    study = Study({result.model: scores}, tested["Image_name"].to_numpy(str), groups, {}, ())
    shared = leaks.find(study, None, progress, run / "split.json", paths=paths)
    return results.complete(result, scores, decision, groups=groups, leakage=shared)


def _network(model: Predictor, ensemble: EnsembleSpec, heads: Mapping[str, Linear]) -> Ensemble:
    """The backbones of the model with the new heads, in float32."""
    from zoo.models.classifier import Classifier
    from zoo.models.ensemble import Ensemble
    from zoo.models.heads import build_head
    from zoo.names import sources
    from zoo.release.build import build_model
    from zoo.runtimes.runtime import KerasRuntime

    if isinstance(model.runtime, KerasRuntime):
        base = model.model
    else:
        assert model.origin is not None
        base = build_model(sources.find(model.origin.name, model.members), model.members)
    members = []
    for member in ensemble.members:
        head = build_head("gap", len(ensemble.findings), 0.0)
        classifier = Classifier(base.member(member.name).backbone, head, member.name)
        head.linear.kernel.assign(heads[member.name].kernel.astype(np.float32))
        head.linear.bias.assign(heads[member.name].bias.astype(np.float32))
        members.append(classifier)
    network = Ensemble(members, None, ensemble.name)
    network.trainable = False
    return network


def _ensemble_spec(model: Predictor, name: str, findings: tuple[str, ...]) -> EnsembleSpec:
    start = PurePath(model.name).name
    members = tuple(
        dataclasses.replace(m, head="gap", dropout=0.0, weights=start, alias=m.name)
        for m in model.spec.members
        if m.name in model.members
    )
    return EnsembleSpec(name, members, model.spec.image_size, findings)


def _all_columns(linear: Linear, able: Sequence[int], findings: int) -> Linear:
    """The heads of all findings; those that were not fitted are 0."""
    kernel, bias = np.zeros((len(linear.kernel), findings)), np.zeros(findings)
    kernel[:, able], bias[able] = linear.kernel, linear.bias
    return Linear(kernel, bias)


def _by_member(decisions: Mapping[str, Decision], ensemble: EnsembleSpec) -> dict[str, Decision]:
    return {m.name: decisions[m.name] for m in ensemble.members if m.name in decisions}


def _counts(labels: np.ndarray, findings: Sequence[str]) -> dict[str, ClassCounts]:
    columns = zip(findings, labels.T, strict=True)
    return {finding: ClassCounts(int((c == 1).sum()), int((c == 0).sum())) for finding, c in columns}


def _write_out_of_fold(path: Path, held: _Data, sample: Sample, logits: np.ndarray) -> None:
    """One row per image: name, patient, fold, and the uncalibrated probability of each fitted finding."""
    frame = pd.DataFrame(probabilities(logits), columns=list(sample.findings))
    frame.insert(0, "fold", sample.fold)
    frame.insert(0, "Patient_ID", sample.patients)
    frame.insert(0, "Image_name", held.table["Image_name"].to_numpy())
    frame.to_csv(path, index=False)


def _provenance(model: Predictor, held: _Data, facts: Probe, spec: ProbeSpec, source: dict[str, Any]) -> dict[str, Any]:
    start = {"model": facts.features, "manifest_sha256": model.manifest_sha256, "strengths": dict(facts.members)}
    origin = provenance.origin(held.table, held.split, spec.seed, source)
    write_probe = {"probe": start | to_dict(spec)}
    return origin | write_probe
