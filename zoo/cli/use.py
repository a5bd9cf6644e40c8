"""Using a model: `zoo predict`, `zoo submit`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zoo.cli.command import NOT_A_DEVICE, command


def add(commands: Any) -> None:
    """Adds the subcommands."""
    for name, run, text in (
        ("predict", _predict, "findings of every image in a folder, as CSV"),
        ("submit", _submit, "the competition's submission file for a folder of images"),
    ):
        sub = command(commands, name, run, text)
        sub.add_argument("images", type=Path, nargs="+", help="image files or folders")
        sub.add_argument("--model", default="xrayslam-ensemble", help="name of a model, or folder of a release")
        sub.add_argument("--out", type=Path, required=True)
        sub.add_argument("--batch-size", type=int, default=16)
        sub.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
        if name == "predict":
            sub.add_argument("--point", help="operating point (default: the release's)")
        else:
            sub.add_argument("--sample", type=Path, help="sample submission whose rows and order to take")


def _predict(options: argparse.Namespace) -> int:
    from zoo import scoring
    from zoo.terminal import TerminalProgress

    with TerminalProgress() as progress:
        counts = scoring.write_findings(
            options.images, options.model, options.out, progress,
            point=options.point, batch_size=options.batch_size, strict=options.strict,
        )  # fmt: skip
    print(f"{counts.images} images, {counts.unreadable} of them unreadable -> {options.out}   {NOT_A_DEVICE}")
    return 0


def _submit(options: argparse.Namespace) -> int:
    from zoo import scoring
    from zoo.terminal import TerminalProgress

    with TerminalProgress() as progress:
        counts = scoring.write_submission(
            options.images, options.model, options.out, progress,
            sample=options.sample, batch_size=options.batch_size, strict=options.strict,
        )  # fmt: skip
    print(f"{counts.images} images, {counts.unreadable} of them unreadable (scored 0.5) -> {options.out}")
    return 0
