"""`zoo demo`: all steps from training to prediction in some minutes, on synthetic images or on your own."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core import home
from zoo.core.counting import counted
from zoo.core.csv import read_columns
from zoo.core.progress import Progress
from zoo.data.images.listing import list_images
from zoo.data.images.locating import locate_images
from zoo.data.phantoms.drawing import make_phantoms
from zoo.data.tables import reading
from zoo.data.tables.spec import TableSpec
from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.members import UNIFORM
from zoo.evaluation.result.numbers import Estimate
from zoo.inference import load
from zoo.release import install
from zoo.runs import train
from zoo.training import interruption
from zoo.training.recipe import apply_overrides, load_recipe, with_table

#: Number of images that the demo draws for training and evaluation, and of unseen images that it predicts at the end.
PHANTOMS, UNSEEN = 2400, 4

#: The model that comes with the package, and the map that the demo makes with it before it trains its own.
INCLUDED, HEATMAP = "nih-lite", "example-heatmap.png"


@dataclass(frozen=True)
class Demo:
    """The result of the demo.

    Attributes:
        name: Name under which the trained model is installed.
        screen: The results as text of at most 80 columns and 24 lines with what the command line adds.
        report: Path of the report.
    """

    name: str
    screen: str
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

    Before that, unless the data are your own, the model that comes with the package predicts and explains a real image:
    what a trained model gives.

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
        _show_included(folder, progress)
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
    return Demo(name, f"{results_table(outcome.result)}\n\n{sample}", outcome.report)


def results_table(result: Evaluation) -> str:
    """The macro AUC of the ensemble and of all that it is compared with, as aligned text.

    The last column holds the paired difference: the ensemble minus the other. The second row is the same ensemble with
    uniform weights, unless those are in use.
    """
    rows = [("mean over findings", "AUC", f"{result.model} minus this")]
    for name, numbers in {result.model: result.numbers, **result.models}.items():
        less = result.differences.get(name)
        rows.append((name, _cell(numbers.macro.auc), "" if less is None else _cell(less.macro.auc, "+.3f")))
    uniform = result.members.choices.get(UNIFORM) if result.members else None
    if uniform is not None and uniform.auc_difference is not None:
        rows.insert(2, ("the same, uniform weights", _cell(uniform.auc), _cell(uniform.auc_difference, "+.3f")))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    part = f"{counted(result.n, 'image')} of {counted(result.patients, 'patient')}, the {result.split} part"
    return "\n".join([f"{part}; {result.interval.level:.0%} intervals in brackets", *lines])


def _cell(number: Estimate, form: str = ".3f") -> str:
    if number.value is None:
        return "undefined"
    if number.low is None or number.high is None:
        return f"{number.value:{form}}"
    return f"{number.value:{form}} [{number.low:{form}}, {number.high:{form}}]"


def _show_included(folder: Path, progress: Progress) -> None:
    """Predicts and explains an example image with the model in the package, if there is one and it was not done yet."""
    if INCLUDED not in home.included() or (folder / HEATMAP).is_file():
        return
    image = home.example_images()[-1]  # by NIH's labels it shows several findings
    progress.message(f"{INCLUDED}, which comes with the package, on a real image ({image.name}):")
    predictor = load.load(INCLUDED, runtime="keras")
    table = predictor.findings([image])
    progress.message(f"  {_findings_of(table)}")
    finding = str(table["finding"].iloc[int(np.nanargmax(table["probability"]))])
    folder.mkdir(parents=True, exist_ok=True)
    path = predictor.explain(image, finding).save(folder / HEATMAP)
    progress.message(f"  heatmap of {finding}: {path}")


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
    lines = ["most likely findings (probability, * = at or above its threshold)"]
    width = max((len(Path(str(image)).name) for image in table["image"]), default=0)
    for image, rows in table[table["error"] == ""].groupby("image", sort=False):
        lines.append(f"{Path(str(image)).name:{width}}  {_findings_of(rows, 2)}")
    return "\n".join(lines)


def _findings_of(rows: pd.DataFrame, most: int = 3) -> str:
    """The most likely findings of one image, such as "Edema 0.81*, Fracture 0.20"."""
    top = rows[rows["error"] == ""].nlargest(most, "probability")
    stars = ["*" if s else "" for s in top["positive"].fillna(False)]
    return ", ".join(f"{f} {p:.2f}{s}" for f, p, s in zip(top["finding"], top["probability"], stars, strict=True))
