"""`zoo distill`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zoo.cli.command import add_replace, command, number
from zoo.cli.make import ANEW, add_training, ended
from zoo.cli.tables import add_table, table_spec


def add(commands: Any) -> None:
    """Adds the subcommand."""
    text = "teach a small student the probabilities of a model, on images with or without labels; can be resumed"
    sub = command(commands, "distill", _distill, text)
    sub.add_argument("teacher", help="name, folder or hf:// reference of the model that teaches")
    sub.add_argument(
        "--student", required=True, metavar="BACKBONE",
        help="registered backbone of the student, such as efficientnetlite0 or mobilenetv3small",
    )  # fmt: skip
    sub.add_argument("--data", type=Path, required=True, help="folder of images with or without a table, or the table")
    add_table(sub)
    sub.add_argument(
        "--unlabelled", type=Path, action="append", default=[],
        help="file or folder of further images without labels, for the training part; give it again for each",
    )  # fmt: skip
    sub.add_argument("--data-name", default="", help="name of the data set, for the model card")
    sub.add_argument("--run", type=Path, help="folder of the run (default: runs/<teacher>-<student>)")
    sub.add_argument(
        "--weights", default="auto",
        help="what the student starts from: auto (ImageNet where there are weights), random, a name or a file "
        "(default: auto)",
    )  # fmt: skip
    sub.add_argument(
        "--temperature", type=float, default=2.0, help="divides the logits of both in the loss, 0.1 to 100 (default: 2)"
    )
    sub.add_argument(
        "--alpha", type=number(float, 0), default=0.0,
        help="weight of the labels in the loss, below 1 (default: 0, the teacher alone)",
    )  # fmt: skip
    sub.add_argument(
        "--runtime", choices=("keras", "openvino", "onnx"), default="keras",
        help="what computes the teacher's logits (default: keras)",
    )  # fmt: skip
    sub.add_argument("--logits", type=Path, help="CSV of the teacher's logits (default: teacher.csv in the run)")
    add_training(sub)
    add_replace(sub, ANEW)


def _distill(options: argparse.Namespace) -> int:
    from zoo.training.student import Student

    student = Student(options.student, options.weights, options.temperature, options.alpha)
    _ = student.start  # an unknown backbone is told before Keras is imported
    from zoo.core.terminal import TerminalProgress
    from zoo.runs import distill

    run = options.run or Path("runs") / f"{Path(options.teacher).name}-{options.student}"
    lesson = distill.Lesson(
        options.teacher, student, options.data, tuple(options.unlabelled), options.dataset, table_spec(options),
        tuple(options.set), options.data_name, options.runtime, options.logits, options.cache,
    )  # fmt: skip
    with TerminalProgress() as progress:
        outcome = distill.distill(lesson, run, progress, max_hours=options.max_hours, restart=options.replace)
    return ended(outcome)
