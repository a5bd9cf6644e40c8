"""`zoo evaluate`: a release on labelled images, or anybody's predictions against labels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.core.errors import SplitError, UsageError
from zoo.core.files import write_json
from zoo.core.progress import Progress, tell_warnings
from zoo.data.splits import patients_of
from zoo.data.tables import reading as tables
from zoo.evaluation.calibration.prior_shift import shift_decision
from zoo.evaluation.comparison import How
from zoo.evaluation.decision import Decision
from zoo.evaluation.files.study import Drawn, Study, evaluate_study, read_files, with_ensemble
from zoo.evaluation.refit import Fit, refit
from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.checks import SameImages, SharedNames
from zoo.evaluation.scores import Scores
from zoo.inference import load
from zoo.inference.predictor import Predictor
from zoo.inference.starting import Choice, RuntimeName
from zoo.runs import leaks, results


@dataclass(frozen=True)
class Request:
    """What is asked of an evaluation, beside the numbers themselves.

    Attributes:
        fit: A decision to fit on validation data of one's own, in place of the release's; None fits none.
        validation: These data: files of predictions, one a model, or one folder of images. () takes the rows that the
            files say are of the validation part, or a share of the patients.
        validation_share: That share of the patients, who are then not reported.
        prevalence: Finding -> local prevalence that the decision is moved to; {} moves none.
        coherent: Whether to report what projecting the probabilities to coherent ones does.
        trained_on: Run folder or `split.json` of the training, to count what leaked.
        training_images: Folder of the training images, to find copies of them by their content.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resamples and of the share.
        command: What makes these numbers again, for the report.
    """

    fit: Fit | None = None
    validation: Sequence[Path] = ()
    validation_share: float | None = None
    prevalence: Mapping[str, float] = field(default_factory=dict)
    coherent: bool = False
    trained_on: Path | None = None
    training_images: Path | None = None
    resamples: int = 2000
    seed: int = 0
    command: str = ""

    def __post_init__(self) -> None:
        if self.fit is None and (self.validation or self.validation_share is not None):
            raise UsageError("validation data were given, but nothing to fit on them: say --fit auto (fit=Fit())")
        if self.validation and self.validation_share is not None:
            raise UsageError("validation data come from files of their own or are a share of the patients, not both")
        if self.training_images is not None and self.trained_on is None:
            raise UsageError("which images were trained on is told by the run's split: give --trained-on RUN as well")


@dataclass(frozen=True)
class Evaluated:
    """What an evaluation came to.

    Attributes:
        result: What `metrics.json` holds.
        report: Path of the report that a person opens.
        decision: File of the decision that was fitted or moved, which `Predictor.with_decision` takes; or None.
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
    dataset: str = "competition",
    request: Request = Request(),
) -> Evaluated:
    """Scores every labelled image of a folder with a release, and evaluates it with its decision, or a fitted one.

    Args:
        name: As for `zoo.load`.
        data: Folder of images and table.
        out: Folder of the results.
        progress: Told of each image.
        runtime: As for `zoo.load`. The report's heatmaps are Keras' alone.
        precision: As for `zoo.load`.
        dataset: Form of the table.
        request: What is asked.
    """
    model = load.load(name, runtime=runtime, precision=precision)
    study, path_of = _score(model, data, dataset, progress)
    validation = None
    if request.validation:
        if len(request.validation) != 1:
            raise UsageError(f"--validation is one folder of images for a release, got {len(request.validation)}")
        validation = _score(model, request.validation[0], dataset, progress)[0]
    validation, study = _parts(study, validation, request)
    trained = model.decision.trained if model.decision is not None else ()
    decision = _decide(study, validation, request, model.decision, trained=trained)
    paths = [path_of[image] for image in study.ids]
    found = leaks.find(study, validation, progress, request.trained_on, request.training_images, paths)
    result = _measure(study, decision, request, progress, leakage=found)
    scores = study.scores[model.name]
    network = model.model if runtime == "keras" else None
    wrong = results.mistakes(network, paths, scores, decision)
    method = results.method(network) if network is not None else ""
    shown = results.write(result, out, mistakes=wrong, method=method, command=request.command)
    return Evaluated(result, shown, _keep(decision, out, request))


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
    """Evaluates files of predictions, of any model.

    Args:
        predictions: CSV files, one a model; the first is under report, or their ensemble.
        out: Folder of the results.
        progress: Told of the steps.
        labels: CSV file of labels; None takes those in the predictions' files.
        readers: CSV files of people's calls.
        how: What an ensemble of all averages: "logits", "probabilities" or "ranks".
        request: What is asked.
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


def _score(model: Predictor, folder: Path, dataset: str, progress: Progress) -> tuple[Study, Mapping[str, str]]:
    """The images of a folder that could be read, scored; and the file of each."""
    with tell_warnings(progress) as notes:
        table, missing = tables.drop_missing(tables.read_table(dataset, folder))
    parts, errors = [], []
    with progress.task(f"scoring {len(table)} images", len(table)) as advance:
        for batch in model.stream(table["Image_path"]):
            parts.append(batch.logits)
            errors += batch.errors
            for _ in batch.names:
                advance()
    read = np.array([not error for error in errors], bool)
    table, logits = table[read].reset_index(drop=True), np.concatenate(parts)[read]
    patients = None if table["Patient_ID"].isna().all() else patients_of(table).astype(str)
    scores = Scores(logits, tables.labels_of(table, model.labels), model.labels, "test", patients=patients)
    notes += [f"{len(missing)} images of the table are not in the folder"] if len(missing) else []
    notes += _unknown_patients(table)
    notes += [f"unreadable, left out: {error}" for error in errors if error]
    ids = table["Image_name"].to_numpy(str)
    study = Study({model.name: scores}, ids, results.groups_of(table), {model.name: "logits"}, tuple(notes))
    return study, dict(zip(ids, table["Image_path"], strict=True))


def _unknown_patients(table: pd.DataFrame) -> list[str]:
    unknown = int(table["Patient_ID"].isna().sum())
    return [f"{unknown:,} of {len(table):,} images have no patient: each is taken for one of its own"] * bool(unknown)


def _parts(study: Study, validation: Study | None, request: Request) -> tuple[Study | None, Study]:
    """The validation part, or None where nothing is fitted, and the one under report; both know the hash of the two."""
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
            "share of the patients, as by --validation-share 0.3"
        )
    if shared:
        raise SplitError(
            f"{len(shared)} images are in the validation part and in the one reported (first: {str(shared[0])!r}): "
            "numbers on images that were fitted on would flatter"
        )


def _named(study: Study | None, part: str) -> Iterator[list[str]]:
    """Part, image and patient of each row, by which two divisions of images are the same or not."""
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
    """The decision under report: a fitted one, or the given one; at the prevalence that was asked for."""
    findings = next(iter(study.scores.values())).findings
    if request.fit is not None and validation is not None:
        fitted_on = next(iter(with_ensemble(validation, how).values())).subset(findings=findings)
        decision = refit(fitted_on, request.fit, trained=trained)
    if not request.prevalence:
        return decision
    if decision is None:
        raise UsageError("a local prevalence moves a fitted decision, and there is none: say --fit auto as well")
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
    """All numbers of the report."""
    with progress.task("resampling", 2) as advance:
        drawn: Drawn = {"resamples": request.resamples, "seed": request.seed, "level": 0.95}
        result = evaluate_study(study, how=how, decision=decision, coherent=request.coherent, **drawn)
        advance()
        main = with_ensemble(study, how)[result.model]
        result = results.complete(result, main, decision, groups=study.groups, leakage=leakage)
        advance()
    return result


def _keep(decision: Decision | None, out: Path, request: Request) -> Path | None:
    """Writes a decision that was made here."""
    if decision is None or (request.fit is None and not request.prevalence):
        return None
    write_json(out / "decision.json", decision.to_dict())
    return out / "decision.json"
