"""Making a model: `zoo demo`, `zoo phantoms`, `zoo train`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from zoo.cli.command import NOT_A_DEVICE, command

#: Exit status of a run that stopped cleanly before its end: the same command goes on (EX_TEMPFAIL of sysexits.h).
GOES_ON = 75


def add(commands: Any) -> None:
    """Adds the subcommands."""
    _add_demo(commands)
    _add_train(commands)


def _add_demo(commands: Any) -> None:
    sub = command(commands, "demo", _demo, "the whole road on synthetic films: train, evaluate, release, load, predict")
    sub.add_argument("--data", type=Path, help="films of your own instead of synthetic ones")
    sub.add_argument(
        "--dataset", default="competition", help="form of the table in --data: competition, nih, nih-debatable"
    )
    sub.add_argument("--run", type=Path, help="folder of the run (default: runs/<name>)")
    sub.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the recipe")
    sub = command(commands, "phantoms", _phantoms, "write a folder of synthetic films in the competition's layout")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--images", type=int, default=1500)
    sub.add_argument("--seed", type=int, default=0)


def _add_train(commands: Any) -> None:
    sub = command(commands, "train", _train, "train a recipe; the same command goes on with a stopped or killed run")
    sub.add_argument("recipe", help="name of a shipped recipe, or path of one")
    sub.add_argument("--data", type=Path, required=True, help="folder of the table and the images")
    sub.add_argument("--dataset", help="form of the table: competition, nih, nih-debatable (default: the recipe's)")
    sub.add_argument(
        "--data-name", default="", help="what the films are, for the card, such as grand-xray-slam-division-b"
    )
    sub.add_argument("--run", type=Path, help="folder of the run (default: runs/<recipe>)")
    sub.add_argument("--max-hours", type=float, help=f"stop cleanly after so many hours, with status {GOES_ON}")
    sub.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the recipe")


def _demo(options: argparse.Namespace) -> int:
    from zoo import demo
    from zoo.terminal import TerminalProgress

    with TerminalProgress() as progress:
        result = demo.run(options.data, options.dataset, options.run, options.set, progress)
    print(result.table)
    print(f"\nReport: {result.report}\nLoad it: zoo.load({result.name!r})   {NOT_A_DEVICE}")
    return 0


def _phantoms(options: argparse.Namespace) -> None:
    from zoo.data.phantoms import make_phantoms
    from zoo.terminal import TerminalProgress

    with TerminalProgress() as progress, progress.task("drawing films", options.images) as advance:
        make_phantoms(options.folder, options.images, seed=options.seed, on_image=advance)
    print(options.folder)


def _train(options: argparse.Namespace) -> int:
    from zoo import workflow
    from zoo.evaluation import report
    from zoo.terminal import TerminalProgress
    from zoo.training.recipe import apply_overrides, load_recipe

    recipe = apply_overrides(load_recipe(options.recipe), options.set)
    run = options.run or Path("runs") / recipe.name
    with TerminalProgress() as progress:
        outcome = workflow.train(
            recipe, options.data, run, progress,
            dataset=options.dataset, data_name=options.data_name, max_hours=options.max_hours,
        )  # fmt: skip
    if outcome.stopped:
        print(f"stopped: {outcome.stopped}. The same command goes on.")
        return GOES_ON
    assert outcome.metrics is not None
    print(report.markdown(outcome.metrics))
    print(f"Report: {outcome.report}\nRelease: {outcome.release}\nInstall it: zoo install {run} --as NAME")
    return 0
