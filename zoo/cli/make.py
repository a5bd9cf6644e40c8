"""Training a model: `zoo demo`, `zoo phantoms`, `zoo cache`, `zoo train`, `zoo ablate`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.command import NOT_A_DEVICE, add_replace, add_set, command, number, refuse_unused, tell_replaced
from zoo.cli.tables import add_table, named_columns, table_spec
from zoo.core.counting import counted

if TYPE_CHECKING:
    from zoo.runs.train import Outcome

#: Exit status of a run that stopped cleanly before its end; the same command resumes it (EX_TEMPFAIL of sysexits.h).
GOES_ON = 75

#: What `--replace` does to a run that has begun.
ANEW = "start anew instead of resuming; an earlier run is moved beside the folder, and not deleted"


def add(commands: Any) -> None:
    """Adds the subcommands."""
    _add_demo(commands)
    _add_cache(commands)
    _add_train(commands)
    _add_ablate(commands)


def _add_demo(commands: Any) -> None:
    sub = command(commands, "demo", _demo, "all steps on synthetic images: train, evaluate, release, load, predict")
    sub.add_argument("--data", type=Path, help="images of your own instead of synthetic ones")
    add_table(sub)
    sub.add_argument("--run", type=Path, help="folder of the run (default: runs/<name>)")
    add_set(sub, "recipe")
    sub = command(commands, "phantoms", _phantoms, "write a folder of synthetic images in the competition's layout")
    sub.add_argument("folder", type=Path, help="folder to write")
    sub.add_argument("--images", type=int, default=1500, help="number of training images (default: 1500)")
    sub.add_argument("--seed", type=number(int, 0), default=0, help="the same seed gives the same images (default: 0)")


def _add_cache(commands: Any) -> None:
    sub = command(
        commands, "cache", _cache, "decode the images of a data set once, for faster training; can be resumed"
    )
    sub.add_argument("data", type=Path, help="the table, or the folder of the table and the images")
    add_table(sub)
    sub.add_argument(
        "--size", type=int, default=224, help="height and width in pixels, as in the recipe (default: 224)"
    )
    sub.add_argument("--out", type=Path, help="folder of the cache (default: runs/cache-<data>-<size>)")
    sub.add_argument("--workers", type=int, help="number of decoding threads (default: all cores)")


def _add_train(commands: Any) -> None:
    sub = command(commands, "train", _train, "train a recipe; run the same command to resume a stopped or killed run")
    sub.add_argument("recipe", help="name of a shipped recipe, or path of a recipe file")
    text = "the table, or the folder of the table and the images; give it again to join several data sets"
    sub.add_argument("--data", type=Path, required=True, action="append", help=text)
    add_table(sub, "by the file's name, or the recipe's; once for all data or once for each", several=True)
    sub.add_argument(
        "--data-name", default="", help="name of the data set, for the model card, such as grand-xray-slam-division-b"
    )
    sub.add_argument("--run", type=Path, help="folder of the run (default: runs/<recipe>)")
    add_training(sub)
    add_replace(sub, ANEW, "--restart")


def _add_ablate(commands: Any) -> None:
    text = "train a recipe without each of its ingredients, over several seeds; can be resumed"
    sub = command(commands, "ablate", _ablate, text)
    sub.add_argument("ablation", help="name of a shipped ablation, or path of a file that defines one")
    sub.add_argument("--data", type=Path, required=True, help="the table, or the folder of the table and the images")
    add_table(sub, "by the file's name, or the recipe's")
    sub.add_argument("--out", type=Path, help="folder of the table and its cells (default: runs/<ablation>)")
    add_training(sub)


def _demo(options: argparse.Namespace) -> int:
    from zoo.core.terminal import TerminalProgress
    from zoo.runs import demo
    from zoo.training.interruption import Signalled, at_once

    if options.data is None:
        table = {"--dataset": options.dataset, **named_columns(options)}
        refuse_unused(table, "describes the table in --data, which is not given")
    try:
        with TerminalProgress() as progress, at_once():
            result = demo.run(
                options.data, options.dataset, options.run, options.set, progress, columns=table_spec(options)
            )
    except Signalled as stop:
        return goes_on(stop.name)
    print(f"\n{result.screen}\n\nReport: {result.report}\nUse it: zoo predict IMAGES --model {result.name}")
    print(f"Load it: zoo.load({result.name!r})\n{NOT_A_DEVICE}")
    return 0


def _phantoms(options: argparse.Namespace) -> None:
    from zoo.core.terminal import TerminalProgress
    from zoo.data.phantoms.drawing import make_phantoms

    tell_replaced(options.folder, "train2.csv")
    with TerminalProgress() as progress, progress.task("drawing images", options.images) as advance:
        make_phantoms(options.folder, options.images, seed=options.seed, on_image=advance)
    print(options.folder)


def _cache(options: argparse.Namespace) -> None:
    from zoo.core.terminal import TerminalProgress
    from zoo.runs import training_data

    out = options.out or Path("runs") / f"cache-{options.data.resolve().name}-{options.size}"
    with TerminalProgress() as progress:
        images = training_data.cache(
            options.data, options.dataset, options.size, out, progress, options.workers, table_spec(options)
        )
    share = f"{images.nbytes / 1e6:,.1f} MB, from {images.source_nbytes / 1e6:,.1f} MB of files"
    print(f"{counted(len(images), 'image')} of {images.size} px in {out}: {share}")
    form = f" --dataset {options.dataset}" if options.dataset else ""
    print(f"Use it: zoo train RECIPE --data {options.data}{form} --cache {out}")


def _train(options: argparse.Namespace) -> int:
    from zoo.training.recipe import apply_overrides, load_recipe, with_table

    # Before Keras is imported, which takes seconds: a slip of the pen is told at once.
    recipe = apply_overrides(with_table(load_recipe(options.recipe), table_spec(options)), options.set)
    from zoo.core.terminal import TerminalProgress
    from zoo.data.tables import several
    from zoo.runs import train

    run = options.run or Path("runs") / recipe.name
    sets = several.pair_up(options.data, options.dataset or [], recipe.table)
    alone = len(sets) == 1
    with TerminalProgress() as progress:
        outcome = train.train(
            recipe, sets[0].data if alone else sets, run, progress,
            dataset=sets[0].dataset if alone else None, data_name=options.data_name,
            max_hours=options.max_hours, cache=options.cache,
            restart=options.replace,
        )  # fmt: skip
    return ended(outcome)


def _ablate(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from zoo.training.ablation import load_ablation
    from zoo.training.recipe import apply_overrides, with_table

    ablation = load_ablation(options.ablation)
    recipe = apply_overrides(with_table(ablation.recipe, table_spec(options)), options.set)
    ablation = replace(ablation, recipe=recipe)
    from zoo.core.terminal import TerminalProgress
    from zoo.runs import ablate

    out = options.out or Path("runs") / ablation.name
    with TerminalProgress() as progress:
        outcome = ablate.ablate(
            ablation, options.data, out, progress,
            dataset=options.dataset, max_hours=options.max_hours, cache=options.cache,
        )  # fmt: skip
    if (out / ablate.PAGE).is_file():
        print((out / ablate.PAGE).read_text("utf-8"))
    return goes_on(outcome.stopped) if outcome.stopped else 0


def add_training(sub: Any) -> None:
    """Adds the options of a command that trains: `--cache`, `--max-hours` and `--set`."""
    sub.add_argument("--cache", type=Path, help="folder of decoded images, as from `zoo cache`; created if missing")
    sub.add_argument(
        "--max-hours",
        type=number(float, 0),
        help=f"stop cleanly after this many hours, with status {GOES_ON} (default: no limit)",
    )
    add_set(sub, "recipe")


def ended(outcome: Outcome) -> int:
    """Prints the results of a run and where they are, or why it stopped, and returns the exit status."""
    from zoo.evaluation import report

    if outcome.stopped:
        return goes_on(outcome.stopped)
    if outcome.result is None:  # the first of several processes evaluates, and writes
        return 0
    print(report.markdown(outcome.result))
    print(f"Report: {outcome.report}\nRelease: {outcome.release}\nInstall it: zoo install {outcome.run} --as NAME")
    return 0


def goes_on(reason: str) -> int:
    """Says why a run stopped, and returns the exit status."""
    print(f"stopped: {reason}. Run the same command to resume.")
    return GOES_ON
