"""Judging a model: `zoo evaluate`."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from zoo.cli.command import NOT_A_DEVICE, command


def add(commands: Any) -> None:
    """Adds the subcommand."""
    sub = command(commands, "evaluate", _evaluate, "every figure with its interval, for a release or for predictions")
    sub.add_argument("model", nargs="?", help="name, folder or hf:// reference of a release; needs --data")
    sub.add_argument("--data", type=Path, help="folder of labelled films for the release")
    sub.add_argument("--trained-on", type=Path, help="run folder or split.json of the release, to count leaks")
    sub.add_argument("--predictions", type=Path, nargs="+", default=[], help="CSV files of predictions, one a model")
    sub.add_argument("--labels", type=Path, help="CSV file of labels (default: those in the predictions)")
    sub.add_argument("--dataset", help="form of the table, or the findings of the predictions: competition, nih, ...")
    sub.add_argument("--id", dest="id_column", help="column that names the films, in all files")
    sub.add_argument("--prefix", help="what stands before each finding's name in the predictions")
    sub.add_argument("--kind", choices=("logits", "probabilities", "scores"), help="what the predictions are")
    sub.add_argument("--drop-missing", action="store_true", help="leave out rows with a missing prediction")
    sub.add_argument("--ensemble", choices=("logits", "probabilities", "ranks"), help="report the mean of all files")
    sub.add_argument("--readers", type=Path, nargs="+", default=[], help="CSV files of people's calls, 0 and 1")
    sub.add_argument("--resamples", type=int, default=2000)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--out", type=Path, required=True, help="folder of metrics.json and the report")


def _evaluate(options: argparse.Namespace) -> None:
    from zoo import evaluating
    from zoo.evaluation.report import markdown
    from zoo.terminal import TerminalProgress

    if bool(options.predictions) == bool(options.model and options.data):
        raise ValueError("give either a release and --data DIR, or --predictions FILE ...")
    drawn = {"resamples": options.resamples, "seed": options.seed, "command": shlex.join(["zoo", *sys.argv[1:]])}
    if options.predictions:
        done = evaluating.evaluate_predictions(
            options.predictions, options.out,
            labels=options.labels, readers=options.readers, how=options.ensemble, schema=options.dataset or "auto",
            id_column=options.id_column, prefix=options.prefix, kind=options.kind, drop_missing=options.drop_missing,
            **drawn,
        )  # fmt: skip
    else:
        with TerminalProgress() as progress:
            done = evaluating.evaluate_release(
                options.model, options.data, options.out, progress,
                dataset=options.dataset or "competition", trained_on=options.trained_on, **drawn,
            )  # fmt: skip
    print(markdown(done.metrics))
    for note in done.metrics.get("notes", ()):
        print(f"note: {note}")
    print(f"Report: {done.report}   {NOT_A_DEVICE}")
