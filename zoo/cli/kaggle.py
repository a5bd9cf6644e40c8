"""What a Kaggle session needs: `zoo kaggle wheels`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zoo.cli.command import command, tell_replaced


def add(commands: Any) -> None:
    """Adds the subcommand."""
    from zoo.runs.wheels import PYTHON

    sub = command(commands, "kaggle", _wheels, "make what a Kaggle session without a network needs")
    actions = sub.add_subparsers(dest="action", required=True, metavar="ACTION")
    sub.actions = actions.choices
    text = "write a data set of wheels and starting weights, without what Kaggle already has"
    wheels = actions.add_parser("wheels", help=text, description=text)
    wheels.add_argument("out", type=Path, help="folder of the data set; an earlier one is replaced")
    text = "wheel of this package (default: its version in the package index)"
    wheels.add_argument("--wheel", type=Path, metavar="FILE", help=text)
    wheels.add_argument("--extra", action="append", default=[], help="an extra of this package, such as dicom")
    text = "also the weights that this recipe starts from, such as xrayslam or xrayslam_ported"
    wheels.add_argument("--recipe", action="append", default=[], metavar="NAME", help=text)
    wheels.add_argument("--owner", default="", metavar="NAME", help="your Kaggle name, for dataset-metadata.json")
    wheels.add_argument("--python", default=PYTHON, help=f"version of Python on Kaggle (default: {PYTHON})")
    text = "what is installed on Kaggle, as `pip freeze` prints it there (default: a list of August 2026)"
    wheels.add_argument("--installed", type=Path, metavar="FILE", help=text)


def _wheels(options: argparse.Namespace) -> None:
    from zoo.core.terminal import TerminalProgress
    from zoo.runs.wheels import write_wheels

    tell_replaced(options.out, "dataset-metadata.json")
    with TerminalProgress() as progress:
        done = write_wheels(
            options.out, progress,
            wheel=options.wheel, extras=options.extra, python=options.python, installed=options.installed,
            recipes=options.recipe, owner=options.owner,
        )  # fmt: skip
    for name, version in done.wheels.items():
        instead = f"   (there: {done.replaced[name]})" if name in done.replaced else ""
        print(f"{name} {version}{instead}")
    print(f"already on Kaggle, left out: {', '.join(f'{n} {v}' for n, v in done.left_out.items()) or 'nothing'}")
    if done.weights:
        print(f"weights: {', '.join(done.weights)}")
    print(f"{done.folder}: upload it with `kaggle datasets create -p {done.folder} --dir-mode tar`")
