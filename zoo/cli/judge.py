"""Judging a model: `zoo evaluate` on labelled images, `zoo monitor` on those that a site scores."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.command import (
    MODEL,
    NOT_A_DEVICE,
    add_by,
    add_json,
    add_page,
    command,
    number,
    print_json,
    refuse_unused,
    tell_replaced,
)
from zoo.cli.serving import add_runtime
from zoo.cli.tables import add_table, named_columns, table_spec
from zoo.core.errors import UsageError

if TYPE_CHECKING:
    from zoo.runs.evaluate import Request

#: Exit status of `zoo monitor` for an alarm, which a script tells from a refusal.
ALARM = 3


def add(commands: Any) -> None:
    """Adds the subcommands."""
    _add_monitor(commands)
    text = "evaluate a release on labelled images, or files of predictions, with confidence intervals"
    sub = command(commands, "evaluate", _evaluate, text)
    sub.add_argument("model", nargs="?", help=f"{MODEL}; needs --data")
    sub.add_argument("--data", type=Path, help="labelled images to evaluate the release on: a table, or its folder")
    add_by(sub)
    add_runtime(sub)
    sub.add_argument("--trained-on", type=Path, help="run folder or split.json of the training, to detect leakage")
    sub.add_argument("--training-images", type=Path, help="folder of the training images, to find copies of them")
    sub.add_argument("--predictions", type=Path, nargs="+", default=[], help="CSV files of predictions, one per model")
    sub.add_argument("--labels", type=Path, help="CSV file of labels (default: those in the predictions)")
    add_table(sub, "by the names of the files; for predictions their schema: auto, chexpert, nih")
    sub.add_argument("--id", dest="id_column", help="column that identifies the images, in all files")
    sub.add_argument("--prefix", help="prefix of each finding's name in the predictions")
    sub.add_argument(
        "--kind",
        choices=("logits", "probabilities", "scores"),
        help="what the predictions are, where their values do not show it",
    )
    sub.add_argument("--drop-missing", action="store_true", help="leave out rows with a missing prediction")
    sub.add_argument(
        "--ensemble",
        choices=("logits", "probabilities", "ranks"),
        help="evaluate the ensemble of all files: what it averages",
    )
    holds = "CSV files, one a reader: the ids of --predictions, and a column of 0 and 1 for each finding read"
    sub.add_argument("--readers", type=Path, nargs="+", default=[], help=holds)
    _add_decision(sub)
    _add_earlier_names(sub)
    sub.add_argument("--seed", type=number(int, 0), default=0, help="seed of --validation-share (default: 0)")
    sub.add_argument("--out", type=Path, required=True, help="folder for metrics.json and the report")


def _add_monitor(commands: Any) -> None:
    text = "compare the images that a site has scored with those of a reference: scores, calls, quality, features"
    sub = command(commands, "monitor", _monitor, text)
    sub.epilog = f"Exit status: {ALARM} for an alarm, 0 for none."
    sub.add_argument("reference", help="table of a reference period, or name or folder of a release with scores")
    sub.add_argument("new", type=Path, help="table of the new images, as `zoo predict` or `zoo embed` writes it")
    sub.add_argument(
        "--alpha",
        type=number(float, 0.001, 0.5),
        default=0.05,
        help="rate of false alarms, of all distances together (default: 0.05)",
    )
    sub.add_argument("--seed", type=number(int, 0), default=0, help="seed of the draws (default: 0)")
    add_page(sub)
    add_json(sub)


def _monitor(options: argparse.Namespace) -> int:
    from zoo.runs import monitor

    if options.html:
        tell_replaced(options.html)
    found = monitor.monitor(options.reference, options.new, alpha=options.alpha, seed=options.seed)
    if options.html:
        from zoo.report.drift_page import write_drift_page

        write_drift_page(found, options.html)
    if options.json:
        from zoo.config.specs import to_dict

        print_json({"alarm": bool(found.alarms), **to_dict(found)})
    else:
        print(monitor.as_text(found))
        page = f"Page: {options.html}   " if options.html else ""
        print(f"{page}{NOT_A_DEVICE}")
    return ALARM if found.alarms else 0


def _add_decision(sub: Any) -> None:
    sub.add_argument(
        "--fit", choices=("auto", "temperature", "temperature_per_finding", "platt", "isotonic", "none"),
        help="fit calibration and operating points on validation data, which are not reported (auto: the simplest "
        "method, 'none' included, within one standard error of the best cross-validated log loss)",
    )  # fmt: skip
    sub.add_argument(
        "--validation", type=Path, nargs="+", default=[],
        help="data for --fit: files of predictions, one per model, or a folder of images (default: rows whose split is "
        "validation)",
    )  # fmt: skip
    sub.add_argument(
        "--validation-share",
        type=number(float, 0, 1),
        help="share of the patients to fit on, between 0 and 1, drawn by --seed",
    )
    sub.add_argument(
        "--guarantee",
        type=number(float, 0, 1),
        help="with --fit: add operating points that guarantee this sensitivity, or this specificity, on new patients "
        "like those of the validation data, such as 0.9",
    )
    sub.add_argument(
        "--confidence",
        type=number(float, 0, 1),
        default=0.95,
        help="confidence of each guarantee, between 0 and 1 (default: 0.95)",
    )
    sub.add_argument(
        "--prevalence",
        nargs="+",
        default=[],
        metavar="FINDING=SHARE",
        help="adjust probabilities and thresholds to a target prevalence, such as Edema=0.05",
    )
    sub.add_argument("--coherent", action="store_true", help="report the effect of making probabilities coherent")


def _add_earlier_names(sub: Any) -> None:
    """Adds the names that options had before, which the help leaves out."""
    hidden: dict[str, Any] = {"help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
    sub.add_argument("--training-films", dest="training_images", type=Path, **hidden)
    sub.add_argument("--tune", dest="validation", type=Path, nargs="+", **hidden)
    sub.add_argument("--tune-share", dest="validation_share", type=float, **hidden)
    sub.add_argument("--promise", dest="guarantee", type=float, **hidden)


def _request(options: argparse.Namespace) -> Request:
    from zoo.evaluation.refit import Fit
    from zoo.runs.evaluate import Request

    if options.fit is None and options.guarantee is not None:
        raise UsageError("a guarantee is fitted on validation data: say --fit auto as well")
    return Request(
        fit=Fit(options.fit, options.guarantee, options.confidence) if options.fit else None,
        validation=options.validation, validation_share=options.validation_share,
        prevalence=_prevalence(options.prevalence), coherent=options.coherent,
        trained_on=options.trained_on, training_images=options.training_images,
        seed=options.seed, command=shlex.join(["zoo", *sys.argv[1:]]), by=options.by,
    )  # fmt: skip


def _check_options(options: argparse.Namespace) -> None:
    """Refuses options that do not belong together, so that none is ignored."""
    release = bool(options.model and options.data)
    if bool(options.predictions) == release:
        raise UsageError("give either a release and --data DIR, or --predictions FILE ...")
    if options.by == "study" and options.predictions:
        raise UsageError("--by study joins the images of a release on --data, not files of predictions")
    if options.guarantee is None:
        refuse_unused({"--confidence": options.confidence != 0.95}, "is that of a guarantee: give --guarantee as well")
    if release:
        of_files = {
            "--labels": options.labels, "--id": options.id_column, "--prefix": options.prefix, "--kind": options.kind,
            "--drop-missing": options.drop_missing, "--ensemble": options.ensemble, "--readers": options.readers,
        }  # fmt: skip
        refuse_unused(of_files, "is for --predictions, and has no effect on a release")
        return
    of_release = {
        "the name of a release": options.model, "--data": options.data, "--training-images": options.training_images,
        "--runtime": options.runtime != "keras", "--precision": options.precision != "float32",
        **named_columns(options),
    }  # fmt: skip
    refuse_unused(of_release, "is for a release on --data, and has no effect on files of predictions")


def _prevalence(texts: list[str]) -> dict[str, float]:
    shares = {}
    for text in texts:
        finding, _, share = text.rpartition("=")
        try:
            shares[finding] = float(share)
        except ValueError:
            raise UsageError(f"--prevalence takes FINDING=SHARE, as 'Edema=0.05'; got {text!r}") from None
    return shares


def _evaluate(options: argparse.Namespace) -> None:
    from zoo.core.terminal import TerminalProgress
    from zoo.data.images.listing import check_exist
    from zoo.evaluation.report import markdown
    from zoo.runs import evaluate

    _check_options(options)
    tell_replaced(options.out, "metrics.json")
    request = _request(options)
    with TerminalProgress() as progress:
        if options.predictions:
            done = evaluate.evaluate_predictions(
                options.predictions, options.out, progress, request=request,
                labels=options.labels, readers=options.readers, how=options.ensemble, schema=options.dataset or "auto",
                id_column=options.id_column, prefix=options.prefix, kind=options.kind,
                drop_missing=options.drop_missing,
            )  # fmt: skip
        else:
            check_exist([options.data, *options.validation])  # before a model is fetched
            done = evaluate.evaluate_release(
                options.model, options.data, options.out, progress,
                runtime=options.runtime, precision=options.precision,
                dataset=options.dataset, columns=table_spec(options), request=request,
            )  # fmt: skip
    print(markdown(done.result))
    for note in done.result.notes or ():
        print(f"note: {note}")
    if done.decision is not None:
        print(f"Decision: {done.decision}")
    print(f"Report: {done.report}   {NOT_A_DEVICE}")
