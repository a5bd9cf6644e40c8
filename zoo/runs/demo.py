"""`zoo demo`: all steps from training to prediction in some minutes, on synthetic images or on your own."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import read_columns
from zoo.core.progress import Progress
from zoo.data.images.listing import list_images
from zoo.data.images.locating import locate_images
from zoo.data.phantoms.drawing import make_phantoms
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation import report
from zoo.inference import load
from zoo.release import install
from zoo.runs import train
from zoo.training import interruption
from zoo.training.recipe import apply_overrides, load_recipe, with_table

#: Number of images that the demo draws for training and evaluation, and of unseen images that it predicts at the end.
PHANTOMS, UNSEEN = 1500, 8


@dataclass(frozen=True)
class Demo:
    """The result of the demo.

    Attributes:
        name: Name under which the trained model is installed.
        table: The results as Markdown.
        report: Path of the report.
    """

    name: str
    table: str
    report: Path


def run(
    data: Path | None,
    dataset: str | None,
    folder: Path | None,
    overrides: Sequence[str],
    progress: Progress,
    *,
    columns: TableSpec | None = None,
) -> Demo:
    """Trains, evaluates, releases, installs and loads a small ensemble, then predicts with it.

    Args:
        data: Folder of images and table, or the table, or None to draw synthetic ones.
        dataset: Format of the table in `data`; None to find it out.
        folder: Folder of the run, or None for `runs/<name>`.
        overrides: Changes of the recipe in the form "path=value".
        progress: Receives the progress of every step.
        columns: Names of the columns, for a table of one's own.
    """
    recipe = load_recipe("xrayslam_demo")
    recipe = apply_overrides(with_table(recipe, columns) if columns is not None else recipe, overrides)
    dataset = "competition" if data is None else reading.dataset_of(data, dataset, columns=columns)
    name = "xrayslam-demo" if data is None else f"xrayslam-demo-{dataset}"
    folder = folder or Path("runs") / name
    data_name = "phantoms" if data is None else dataset
    if data is None:
        data = folder / "phantoms"
        _draw(data, recipe.seed, progress)
    outcome = train.train(recipe, data, folder, progress, dataset=dataset, data_name=data_name)
    if outcome.stopped:
        raise interruption.Signalled(signal.Signals[outcome.stopped])
    assert outcome.result is not None
    assert outcome.report is not None
    assert outcome.release is not None
    install.install(outcome.release, name)
    images = Path(columns.images) if columns is not None and columns.images else reading.home_of(data)
    sample = _predict_unseen(name, images, folder, progress)
    return Demo(name, f"{report.markdown(outcome.result)}\n{sample}", outcome.report)


def _draw(data: Path, seed: int, progress: Progress) -> None:
    if not (data / "train2.csv").is_file():
        with progress.task("drawing synthetic images", PHANTOMS + UNSEEN) as advance:
            make_phantoms(data, PHANTOMS, seed=seed, n_test=UNSEEN, on_image=advance)


def _predict_unseen(name: str, data: Path, run_folder: Path, progress: Progress) -> str:
    """Predicts some images that were not trained on: those of the competition's test folder, or of the test part."""
    if (data / "test2").is_dir():
        paths = list_images(data / "test2")
    else:
        rows = read_columns(run_folder / "predictions.csv")
        pairs = zip(rows.texts("Image_name"), rows.texts("split"), strict=True)
        names = [name for name, part in pairs if part == "test"]
        paths = [Path(path) for path in locate_images(names, [data], "predictions.csv").existing()]
    progress.message(f"loading {name!r} and predicting {counted(len(paths[:UNSEEN]), 'image')} that it has not seen")
    return _most_likely(load.load(name).findings(paths[:UNSEEN]))


def _most_likely(table: pd.DataFrame) -> str:
    lines = ["| image | most likely findings (probability, * = at or above its threshold) |", "| --- | --- |"]
    for image, rows in table[table["error"] == ""].groupby("image", sort=False):
        top = rows.nlargest(3, "probability")
        stars = ["*" if s else "" for s in top["positive"].fillna(False)]
        shown = (f"{f} {p:.2f}{s}" for f, p, s in zip(top["finding"], top["probability"], stars, strict=True))
        lines.append(f"| {Path(str(image)).name} | {', '.join(shown)} |")
    return "\n".join(lines)
