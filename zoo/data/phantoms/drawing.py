"""Phantoms: synthetic chest X-rays with the 14 findings, to try every step without patient data.

A phantom is a drawing of a chest X-ray, not a physical simulation. Lungs, ribs, heart, vessels and findings have the
shapes that textbooks describe, with random positions and densities. A model trained on phantoms knows nothing about
patients: its scores show that training works, not how good the model is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from zoo.core.errors import UsageError
from zoo.core.files import write_text
from zoo.core.seeds import check_seed
from zoo.data.phantoms.chest import Chest, Habitus
from zoo.data.phantoms.findings import draw_finding
from zoo.data.phantoms.patients import OPACITIES, Exam, draw_exams
from zoo.labels.findings import FINDINGS, check_findings

if TYPE_CHECKING:
    import pandas as pd

# Drawn in this order: findings that fill the lung, then those that remove its vessels, then those that lie over it.
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
    """Draws one image.

    Args:
        rng: Source of all random numbers; the same state gives the same image.
        findings: The findings to draw, names of `FINDINGS`.
        size: Height in pixels; the width is 13/16 of it.
        view: "PA", "AP" (a larger heart) or "Lateral".
        sex: "F", "M" or NaN.
        age: Age in years, or NaN.
        habitus: The patient's anatomy, to draw another image of one patient; drawn from sex and age by default.
        contrast: Factor on the findings' densities.

    Returns:
        The image, uint8 (height, width), and a mask of each finding, bool (height, width). "No Finding" has no mask.
        The mask of "Lung Opacity" is the union of the other opacities' masks, or that of a haze if there are none.

    Raises:
        UnknownNameError: A finding that is not one of `FINDINGS`.

    Example:
        >>> image, masks = draw_phantom(np.random.default_rng(0), ["Lung Lesion"], size=64)
        >>> image.shape, list(masks)
        ((64, 52), ['Lung Lesion'])
    """
    wanted = set(check_findings(findings))
    chest = Chest(
        rng,
        habitus or Habitus.draw(rng, sex, age),
        size,
        view,
        heart_scale=rng.uniform(1.3, 1.6) if "Cardiomegaly" in wanted else 1.0,
        mediastinum_scale=rng.uniform(1.6, 2.0) if "Enlarged Cardiomediastinum" in wanted else 1.0,
    )
    named = [f for f in OPACITIES if f in wanted]
    drawn = wanted - {"No Finding"} - ({"Lung Opacity"} if named else set())
    masks = {f: draw_finding(chest, f, contrast) for f in _ORDER if f in drawn}
    if named and "Lung Opacity" in wanted:
        masks["Lung Opacity"] = np.logical_or.reduce([masks[f] for f in named])
    return chest.develop(), masks


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

    Each image depends only on the seed and its position, not on `n_images`.

    Args:
        folder: Folder to write; created if missing.
        n_images: Number of images in `train2/`, including the broken ones.
        size: Height of the images in pixels.
        seed: The same seed gives the same data set.
        n_test: Number of unlabelled images of other patients in `test2/`.
        broken: Number of files in `train2/` that cannot be read: truncated, empty, and text, in turn. The table still
            lists them.
        contrast: Factor on the findings' densities.
        masks: Whether to write `masks/NAME.npz` as well: finding -> bool (height, width).
        workers: Number of threads.
        on_image: Called after each image.

    Raises:
        ValueError: More broken files than images.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> make_phantoms(folder, n_images=2, size=32, n_test=1, broken=0)
        >>> sorted(path.name for path in folder.iterdir())
        ['sample_submission_2.csv', 'test2', 'train2', 'train2.csv']
    """
    import pandas as pd

    check_seed(seed)
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
    # The table is written last: a folder that has one is complete.
    write_text(folder / "train2.csv", table.to_csv(index=False))


def _label_table(rng: np.random.Generator, exams: list[Exam]) -> pd.DataFrame:
    """The table in the competition's format, with some labels left blank and a few marked uncertain (-1)."""
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
    """Makes a file unreadable; kind 0 truncates it, 1 empties it, and 2 replaces it by text."""
    content = path.read_bytes()
    path.write_bytes((content[: len(content) // 2], b"", b"This is text, not an image.\n" * 20)[kind])
