"""Phantoms: drawn chest films with the 14 findings, for trying the whole chain where no data is at hand.

A phantom is a line drawing of a chest film, not a simulation of one: its lungs, ribs, heart and vessels, and the
findings on them, have the shapes that textbooks describe, in places and strengths drawn at random. A model trained on
phantoms knows nothing about patients, and a score on them says that the chain learns, not how good a model is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zoo.core.errors import UsageError
from zoo.data.phantoms.film import Film, Habitus
from zoo.data.phantoms.findings import draw_finding
from zoo.data.phantoms.patients import OPACITIES, Exam, draw_exams
from zoo.labels.findings import FINDINGS, check_findings

if TYPE_CHECKING:
    import pandas as pd

# Drawn in this order: what fills the lung, what takes its texture away, what lies over it.
_ORDER = (
    "Edema",
    "Lung Opacity",
    "Pneumonia",
    "Consolidation",
    "Atelectasis",
    "Pleural Effusion",
    "Pneumothorax",
    "Lung Lesion",
    "Pleural Other",
    "Fracture",
    "Cardiomegaly",
    "Enlarged Cardiomediastinum",
    "Support Devices",
)


def draw_phantom(
    rng: np.random.Generator,
    findings: Collection[str] = (),
    *,
    size: int = 256,
    view: str = "PA",
    sex: str | float = np.nan,
    age: float = np.nan,
    habitus: Habitus | None = None,
    contrast: float = 1.0,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Draws one film.

    Args:
        rng: Source of all that varies; the same state draws the same film.
        findings: What to draw, names of `FINDINGS`.
        size: Height in pixels; the width is 13/16 of it.
        view: "PA", "AP" (a larger heart) or "Lateral".
        sex: "F", "M" or NaN.
        age: Years, or NaN.
        habitus: The patient, for a second film of the same; drawn from sex and age by default.
        contrast: Scale of the findings' densities.

    Returns:
        The film, uint8 (height, width), and for each finding the pixels that show it, bool (height, width). "No
        Finding" has no mask. "Lung Opacity" has the pixels of the opacities it names, or of a haze of its own when it
        stands alone.

    Raises:
        UnknownNameError: A finding that is not one of `FINDINGS`.
    """
    wanted = set(check_findings(findings))
    film = Film(
        rng,
        habitus or Habitus.draw(rng, sex, age),
        size,
        view,
        heart_scale=rng.uniform(1.3, 1.6) if "Cardiomegaly" in wanted else 1.0,
        mediastinum_scale=rng.uniform(1.6, 2.0) if "Enlarged Cardiomediastinum" in wanted else 1.0,
    )
    named = [f for f in OPACITIES if f in wanted]
    drawn = wanted - {"No Finding"} - ({"Lung Opacity"} if named else set())
    masks = {f: draw_finding(film, f, contrast) for f in _ORDER if f in drawn}
    if named and "Lung Opacity" in wanted:
        masks["Lung Opacity"] = np.logical_or.reduce([masks[f] for f in named])
    return film.develop(), masks


def make_phantoms(
    folder: str | Path,
    n_images: int = 1500,
    *,
    size: int = 256,
    seed: int = 0,
    n_test: int = 24,
    broken: int = 3,
    contrast: float = 1.0,
    masks: bool = False,
    workers: int = 2,
    on_image: Callable[[], None] | None = None,
) -> None:
    """Writes a data set in the competition's layout: `train2.csv`, `train2/`, `test2/`, `sample_submission_2.csv`.

    Every film depends on (seed, its place) alone, whatever `n_images` is around it.

    Args:
        folder: Where to; made if missing.
        n_images: Films in `train2/`, the broken ones among them.
        size: Height of the films in pixels.
        seed: Same seed, same data set.
        n_test: Films of other patients in `test2/`, without labels.
        broken: Files of `train2/` that cannot be read: cut off, empty, and text, in turn. They stay in the table.
        contrast: Scale of the findings' densities.
        masks: Also write `masks/NAME.npz`: finding -> bool (height, width).
        workers: Threads that draw.
        on_image: Called after each film.

    Raises:
        ValueError: More broken files than films.
    """
    import pandas as pd

    if broken > n_images:
        raise UsageError(f"broken must be at most n_images ({n_images}), got {broken}")
    folder = Path(folder)
    exams = draw_exams(np.random.default_rng([seed, 0]), n_images)
    unseen = draw_exams(np.random.default_rng([seed, 1]), n_test, first_patient=exams[-1].patient + 1)
    for part in ("train2", "test2") + (("masks",) if masks else ()):
        (folder / part).mkdir(parents=True, exist_ok=True)

    def draw(job: tuple[str, int, Exam]) -> None:
        part, place, exam = job
        rng = np.random.default_rng([seed, 2, part == "test2", place])
        image, shown = draw_phantom(
            rng, exam.findings, size=size, view=exam.view, habitus=exam.habitus, contrast=contrast
        )
        Image.fromarray(image).save(folder / part / exam.name, quality=90)
        if masks:
            np.savez_compressed(folder / "masks" / f"{Path(exam.name).stem}.npz", allow_pickle=False, **shown)

    jobs = [("train2", i, e) for i, e in enumerate(exams)] + [("test2", i, e) for i, e in enumerate(unseen)]
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(draw, jobs):
            if on_image:
                on_image()
    rng = np.random.default_rng([seed, 3])
    table = _label_table(rng, exams)
    submission = pd.DataFrame({"Image_name": [e.name for e in unseen]} | dict.fromkeys(sorted(FINDINGS), 0.5))
    submission.to_csv(folder / "sample_submission_2.csv", index=False)
    for kind, place in enumerate(rng.choice(n_images, size=broken, replace=False)):
        _break(folder / "train2" / exams[place].name, kind % 3)
    # Last, so that a folder with a table is a folder that is done.
    table.to_csv(folder / "train2.csv", index=False)


def _label_table(rng: np.random.Generator, exams: list[Exam]) -> pd.DataFrame:
    """The table as the competition has it, with some labels left blank and a few marked uncertain (-1)."""
    import pandas as pd

    labels = np.array([[f in e.findings for f in FINDINGS] for e in exams], float)
    chance = rng.random(labels.shape)
    labels[chance < 0.02] = np.nan
    labels[chance > 0.995] = -1
    table = pd.DataFrame(
        {
            "Image_name": [e.name for e in exams],
            "Patient_ID": [e.patient for e in exams],
            "Study": [e.study for e in exams],
            "Sex": [e.sex for e in exams],
            "Age": [e.age for e in exams],
            "ViewCategory": ["Lateral" if e.view == "Lateral" else "Frontal" for e in exams],
            "ViewPosition": ["LL" if e.view == "Lateral" else e.view for e in exams],
        }
    )
    return table.join(pd.DataFrame(labels, columns=list(FINDINGS)))


def _break(path: Path, kind: int) -> None:
    """Makes a file unreadable: 0 cut off in the middle, 1 empty, 2 text."""
    content = path.read_bytes()
    path.write_bytes((content[: len(content) // 2], b"", b"This is a note, not a film.\n" * 20)[kind])
