"""The command line: each subcommand a thin call. The only file that prints."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zoo import __version__, backend

NOT_A_DEVICE = "Research software, not a medical device: a finding here is not a diagnosis."

#: Exit status of a run that stopped cleanly before its end: the same command goes on (EX_TEMPFAIL of sysexits.h).
GOES_ON = 75


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; an error that a person can mend is one line on standard error and status 1."""
    options = parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        backend.choose(options.backend)
        return int(options.run_command(options) or 0)
    except (ValueError, KeyError, TypeError, OSError, ImportError) as error:
        if options.debug:
            raise
        print(f"zoo {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"zoo {options.command}: stopped by you", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of every subcommand."""
    top = argparse.ArgumentParser(prog="zoo", description=f"Chest X-ray findings. {NOT_A_DEVICE}")
    top.add_argument("--version", action="version", version=f"xrayslam-zoo {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_demo(commands)
    _add_train(commands)
    _add_release(commands)
    _add_use(commands)
    _add_look(commands)
    return top


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], int | None], text: str) -> Any:
    sub = commands.add_parser(name, help=text, description=text)
    sub.add_argument(
        "--backend", choices=backend.BACKENDS, help="Keras backend (default: KERAS_BACKEND, or the first installed)"
    )
    sub.add_argument("--debug", action="store_true", help="show the whole traceback of an error")
    sub.set_defaults(run_command=run)
    return sub


def _add_demo(commands: Any) -> None:
    sub = _command(
        commands, "demo", _demo, "the whole road on synthetic films: train, evaluate, release, load, predict"
    )
    sub.add_argument("--data", type=Path, help="films of your own instead of synthetic ones")
    sub.add_argument(
        "--dataset", default="competition", help="form of the table in --data: competition, nih, nih-debatable"
    )
    sub.add_argument("--run", type=Path, help="folder of the run (default: runs/<name>)")
    sub.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the recipe")
    sub = _command(commands, "phantoms", _phantoms, "write a folder of synthetic films in the competition's layout")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--images", type=int, default=1500)
    sub.add_argument("--seed", type=int, default=0)


def _add_train(commands: Any) -> None:
    sub = _command(commands, "train", _train, "train a recipe; the same command goes on with a stopped or killed run")
    sub.add_argument("recipe", help="name of a shipped recipe, or path of one")
    sub.add_argument("--data", type=Path, required=True, help="folder of the table and the images")
    sub.add_argument("--dataset", help="form of the table: competition, nih, nih-debatable (default: the recipe's)")
    sub.add_argument("--run", type=Path, help="folder of the run (default: runs/<recipe>)")
    sub.add_argument("--max-hours", type=float, help=f"stop cleanly after so many hours, with status {GOES_ON}")
    sub.add_argument("--set", action="append", default=[], metavar="PATH=VALUE", help="change a field of the recipe")


def _add_release(commands: Any) -> None:
    sub = _command(commands, "release", _release, "copy a finished run's release to a folder of its own")
    sub.add_argument("run", type=Path)
    sub.add_argument("--out", type=Path, required=True)
    sub = _command(commands, "install", _install, "install a run or a release under a name that zoo.load takes")
    sub.add_argument("source", type=Path, help="folder of a finished run, or of a release")
    sub.add_argument("--as", dest="name", required=True)


def _add_use(commands: Any) -> None:
    for name, run, text in (
        ("predict", _predict, "findings of every image in a folder, as CSV"),
        ("submit", _submit, "the competition's submission file for a folder of images"),
    ):
        sub = _command(commands, name, run, text)
        sub.add_argument("images", type=Path, nargs="+", help="image files or folders")
        sub.add_argument("--model", default="xrayslam-ensemble", help="name of a model, or folder of a release")
        sub.add_argument("--out", type=Path, required=True)
        sub.add_argument("--batch-size", type=int, default=16)
        sub.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
        if name == "predict":
            sub.add_argument("--point", help="operating point (default: the release's)")
        else:
            sub.add_argument("--sample", type=Path, help="sample submission whose rows and order to take")


def _add_look(commands: Any) -> None:
    sub = _command(commands, "list", _list, "names of models")
    sub.add_argument("pattern", nargs="?", default="*")
    sub.add_argument("--kind", choices=("ensemble", "backbone"))
    sub = _command(commands, "info", _info, "what is known of a model")
    sub.add_argument("name")


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
    from zoo.terminal import TerminalProgress
    from zoo.training.recipe import apply_overrides, load_recipe

    recipe = apply_overrides(load_recipe(options.recipe), options.set)
    run = options.run or Path("runs") / recipe.name
    with TerminalProgress() as progress:
        outcome = workflow.train(
            recipe, options.data, run, progress, dataset=options.dataset, max_hours=options.max_hours
        )
    if outcome.stopped:
        print(f"stopped: {outcome.stopped}. The same command goes on.")
        return GOES_ON
    assert outcome.report is not None
    print(outcome.report.read_text("utf-8"))
    print(f"Report: {outcome.report}\nRelease: {outcome.release}\nInstall it: zoo install {run} --as NAME")
    return 0


def _release(options: argparse.Namespace) -> None:
    from zoo.hub import release

    print(release.copy(options.run, options.out))


def _install(options: argparse.Namespace) -> None:
    from zoo.hub import release

    folder = release.install(options.source, options.name)
    print(f"installed at {folder}; load it: zoo.load({options.name!r})")


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


def _list(options: argparse.Namespace) -> None:
    from zoo import registry

    for name in registry.list_models(options.pattern, options.kind):
        print(name)


def _info(options: argparse.Namespace) -> None:
    import dataclasses

    from zoo import registry

    for key, value in dataclasses.asdict(registry.info(options.name)).items():
        if value not in ("", (), None, 0):
            print(f"{key:>14}  {', '.join(value) if isinstance(value, tuple) else value}")


if __name__ == "__main__":
    sys.exit(main())
