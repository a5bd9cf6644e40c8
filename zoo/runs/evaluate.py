"""`zoo evaluate`: evaluates a release on labelled images, or files of predictions from any model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from zoo.core.counting import counted
from zoo.core.errors import SplitError, UsageError
from zoo.core.files import write_json
from zoo.core.progress import Progress
from zoo.core.seeds import check_seed
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.calibration.prior_shift import shift_decision
from zoo.evaluation.comparison import How
from zoo.evaluation.decision import Decision
from zoo.evaluation.ensembling.choosing import weigh
from zoo.evaluation.files.study import Study, evaluate_study, read_files, with_ensemble
from zoo.evaluation.refit import Fit, refit
from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.checks import SameImages, SharedNames
from zoo.evaluation.scores import Scores
from zoo.inference import load
from zoo.inference.starting import Choice, RuntimeName
from zoo.labels.parts import WHOLE
from zoo.runs import leaks, results, seen_before
from zoo.runs.by_study import by_study
from zoo.runs.scoring import Scored, score


@dataclass(frozen=True)
class Request:
    """Options of an evaluation.

    Attributes:
        fit: How to fit a decision on validation data, to replace that of the release; None fits none.
        validation: Validation data: files of predictions, one per model, or one folder of images. () takes the rows
            that the files assign to the validation part, or a share of the patients.
        validation_share: Share of the patients to use as validation data; they are left out of the report.
        prevalence: Finding -> target prevalence to which the decision is adjusted.
        coherent: Whether to report the effect of projecting the probabilities to coherent ones.
        trained_on: Run folder or `split.json` of the training, to detect data leakage.
        training_images: Folder of the training images, to find copies of them by content.
        seed: Seed of the validation share.
        command: Command line that reproduces the evaluation, for the report.
        by: "study" makes one row of the images of a study (`runs.by_study`), for a release on labelled images.
    """

    fit: Fit | None = None
    validation: Sequence[Path] = ()
    validation_share: float | None = None
    prevalence: Mapping[str, float] = field(default_factory=dict)
    coherent: bool = False
    trained_on: Path | None = None
    training_images: Path | None = None
    seed: int = 0
    command: str = ""
    by: Literal["image", "study"] = "image"

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.fit is None and (self.validation or self.validation_share is not None):
            raise UsageError("validation data were given, but nothing to fit on them: say --fit auto (fit=Fit())")
        if self.validation and self.validation_share is not None:
            raise UsageError("validation data come from files of their own or are a share of the patients, not both")
        if self.training_images is not None and self.trained_on is None:
            raise UsageError("the run's split tells which images were trained on: give --trained-on RUN as well")


@dataclass(frozen=True)
class Evaluated:
    """The result of an evaluation.

    Attributes:
        result: The evaluation, as written to `metrics.json`.
        report: Path of the report.
        decision: File of the fitted or adjusted decision, for `Predictor.with_decision`; or None.
    """

    result: Evaluation
    report: Path
    decision: Path | None = None


def evaluate_release(
    name: str | Path,
    data: Path,
    out: Path,
    progress: Progress,
    *,
    runtime: RuntimeName = "keras",
    precision: Choice = "float32",
    dataset: str | None = None,
    columns: TableSpec | None = None,
    request: Request = Request(),
) -> Evaluated:
    """Scores every labelled image of a folder with a release, and evaluates its own decision or a fitted one.

    Args:
        name: Name, folder or reference of a release, as in `zoo.load`.
        data: Folder of images and table, or the table.
        out: Folder of the results.
        progress: Receives the progress after each image.
        runtime: Runtime, as in `zoo.load`. The report has heatmaps with Keras only.
        precision: Precision, as in `zoo.load`.
        dataset: Format of the table; by default the names of the files tell it.
        columns: Names of the columns, for a table of one's own.
        request: Options of the evaluation.
    """
    model = load.load(name, runtime=runtime, precision=precision)
    if precision == "auto":
        progress.message(f"precision 'auto': {model.runtime.name} {model.runtime.precision}")
    # The weights that other choices would give are fitted on validation data, so the members need some.
    several = len(model.members) > 1 and request.fit is not None
    no_members = _no_members(runtime, request.by) if several else ()
    by_member = several and not no_members
    scored = score(model, data, dataset, progress, columns, by_member=by_member)
    study, path_of, study_of = scored.study, scored.path_of, scored.study_of
    validation, others = None, scored
    if request.validation:
        if len(request.validation) != 1:
            raise UsageError(f"--validation is one folder of images for a release, got {len(request.validation)}")
        others = score(model, request.validation[0], dataset, progress, columns, by_member=by_member)
        validation, study_of = others.study, {**others.study_of, **study_of}
    validation, study = _parts(study, validation, request)
    paths = [path_of[image] for image in study.ids]
    found = leaks.find(study, validation, progress, request.trained_on, request.training_images, paths)
    seen, said = seen_before.among(model, paths, progress)
    study = replace(study, notes=(said, *no_members, *study.notes))
    own, fit = model.decision, request.fit is not None
    joined = by_study(study, validation, study_of, own, fit=fit) if request.by == "study" else None
    if joined is not None:
        study, validation, own = joined.reported, joined.validation, joined.decision(own)
        paths = [path_of[image] for image in joined.first]
    decision = _decide(study, validation, request, own, trained=model.trained)
    decision = joined.decision(decision) if joined is not None else decision
    result = replace(
        _measure(study, decision, request, progress, leakage=found), trained_on=seen, left_out=scored.left_out
    )
    # Without a fit the table is not divided: it is no part of the split that the model was trained with.
    result = result if fit else replace(result, split=WHOLE)
    if by_member and validation is not None:
        parts = _by_member(model.name, others, validation), _by_member(model.name, scored, study)
        block = weigh(model.spec, *parts, trained=model.trained, seed=request.seed).members
        left = () if block else ("the table of the members is left out: no label of the validation part is known",)
        result = replace(result, members=block, notes=(*(result.notes or ()), *left))
    scores = study.scores[model.name]
    network = model.model if runtime == "keras" else None
    wrong = results.mistakes(network, paths, scores, decision)
    method = results.method(network) if network is not None else ""
    shown = results.write(result, out, mistakes=wrong, method=method, command=request.command)
    return Evaluated(result, shown, _keep(decision, out, request))


def _no_members(runtime: RuntimeName, by: str) -> tuple[str, ...]:
    """Why a report has no table of the members of an ensemble, as a note; () if it has one."""
    if runtime != "keras":
        return (f"the table of the members is left out: runtime {runtime!r} computes their mean alone, 'keras' each",)
    if by == "study":
        return ("the table of the members is left out: it is made by image, and these rows are of studies",)
    return ()


def _by_member(name: str, scored: Scored, part: Study) -> dict[str, Scores]:
    """The ensemble and its members -> scores of a part of the images that were scored."""
    own, row_of = part.scores[name], {image: row for row, image in enumerate(scored.study.ids)}
    rows = [row_of[image] for image in part.ids]
    return {name: own} | {member: replace(own, logits=z[rows]) for member, z in scored.members.items()}


def evaluate_predictions(
    predictions: Sequence[Path],
    out: Path,
    progress: Progress,
    *,
    labels: Path | None = None,
    readers: Sequence[Path] = (),
    how: How | None = None,
    request: Request = Request(),
    **reading: Any,
) -> Evaluated:
    """Evaluates files of predictions from any model.

    Args:
        predictions: CSV files, one per model. The report is on the first, or on the ensemble of all if `how` is given.
        out: Folder of the results.
        progress: Receives the progress of the steps.
        labels: CSV file of labels; None takes the labels in the predictions' files.
        readers: CSV files, one a reader: the ids of the predictions, and a column of 0 and 1 for each finding read.
        how: What the ensemble averages: "logits", "probabilities" or "ranks".
        request: Options of the evaluation.
        **reading: Further arguments of `files.study.read_files`.
    """
    validation = None
    if request.fit is not None and request.validation_share is None:
        if request.validation and len(request.validation) != len(predictions):
            raise UsageError(
                f"--validation needs a file for each of {len(predictions)} models, in their order, "
                f"got {len(request.validation)}"
            )
        validation = read_files(request.validation or predictions, labels, split="validation", **reading)
    study = read_files(predictions, labels, readers=readers, **reading)
    validation, study = _parts(study, validation, request)
    decision = _decide(study, validation, request, how=how)
    found = leaks.find(study, validation, progress, request.trained_on)
    result = _measure(study, decision, request, progress, how=how, leakage=found)
    return Evaluated(result, results.write(result, out, command=request.command), _keep(decision, out, request))


def _parts(study: Study, validation: Study | None, request: Request) -> tuple[Study | None, Study]:
    """The validation part, or None if nothing is fitted, and the test part; both carry the hash of the division."""
    reported = np.ones(len(study.ids), bool)
    if request.fit is not None and validation is None:
        share = 0.5 if request.validation_share is None else request.validation_share
        reported = ~next(iter(study.scores.values())).patients_share(share, request.seed)
        validation = study.take(~reported, "validation")
    _check_apart(validation, study.ids[reported], request)
    rows = sorted([*_named(validation, "validation"), *_named(study.take(reported, "test"), "test")])
    named = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    if validation is not None:
        validation = validation.take(np.ones(len(validation.ids), bool), "validation", named)
    return validation, study.take(reported, "test", named)


def _check_apart(validation: Study | None, reported: np.ndarray, request: Request) -> None:
    shared = sorted({*validation.ids} & {*reported}) if validation is not None else []
    if shared and not request.validation:
        raise SplitError(
            "no column of the files says which rows are validation data: give them as --validation FILE, or draw a "
            "share of the patients, for example --validation-share 0.3"
        )
    if shared:
        raise SplitError(
            f"{counted(len(shared), 'image is', 'images are')} in both the validation and the test part (first: "
            f"{str(shared[0])!r}): figures "
            "on images that the decision was fitted on would be too good"
        )


def _named(study: Study | None, part: str) -> Iterator[list[str]]:
    """Part, image and patient of each row; the hash over these identifies the division."""
    if study is not None:
        patients = next(iter(study.scores.values())).patients
        known = np.full(len(study.ids), "") if patients is None else patients
        yield from ([part, str(image), str(patient)] for image, patient in zip(study.ids, known, strict=True))


def _decide(
    study: Study,
    validation: Study | None,
    request: Request,
    decision: Decision | None = None,
    *,
    how: How | None = None,
    trained: Sequence[bool] = (),
) -> Decision | None:
    """The decision to evaluate: a fitted one or the given one, adjusted to the target prevalence if there is one."""
    findings = next(iter(study.scores.values())).findings
    if request.fit is not None and validation is not None:
        fitted_on = next(iter(with_ensemble(validation, how).values())).subset(findings=findings)
        decision = refit(fitted_on, request.fit, trained=trained)
    if not request.prevalence:
        return decision
    if decision is None:
        raise UsageError("a target prevalence adjusts a fitted decision, and there is none: say --fit auto as well")
    return shift_decision(decision, request.prevalence)


def _measure(
    study: Study,
    decision: Decision | None,
    request: Request,
    progress: Progress,
    *,
    how: How | None = None,
    leakage: Mapping[str, SharedNames | SameImages],
) -> Evaluation:
    """Computes all figures of the report."""
    with progress.task("measuring", 2) as advance:
        result = evaluate_study(study, how=how, decision=decision, coherent=request.coherent)
        advance()
        main = with_ensemble(study, how)[result.model]
        result = results.complete(result, main, decision, groups=study.groups, leakage=leakage)
        advance()
    return result


def _keep(decision: Decision | None, out: Path, request: Request) -> Path | None:
    """Writes the decision if it was fitted or adjusted in this evaluation."""
    if decision is None or (request.fit is None and not request.prevalence):
        return None
    write_json(out / "decision.json", decision.to_dict())
    return out / "decision.json"
