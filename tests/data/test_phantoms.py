"""Phantoms: what is drawn is what the labels say, and the folder reads as the competition's does."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, UnidentifiedImageError

from zoo.core.errors import UnknownNameError
from zoo.data.phantoms.drawing import draw_phantom, make_phantoms
from zoo.data.phantoms.patients import OPACITIES, PREVALENCE, draw_exams
from zoo.labels.findings import FINDINGS

DRAWN = [f for f in FINDINGS if f != "No Finding"]
COLUMNS = ["Image_name", "Patient_ID", "Study", "Sex", "Age", "ViewCategory", "ViewPosition", *FINDINGS]


def film(finding: str | None, seed: int = 3, **how: object) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    return draw_phantom(np.random.default_rng(seed), [finding] if finding else [], size=96, **how)  # type: ignore[arg-type]


@pytest.mark.parametrize("view", ["PA", "AP", "Lateral"])
@pytest.mark.parametrize("finding", DRAWN)
def test_each_finding_is_drawn_in_each_view_and_has_a_mask(finding: str, view: str) -> None:
    image, masks = film(finding, view=view, sex="F", age=70.0)
    assert image.dtype == np.uint8
    assert image.shape == (96, 78)
    assert list(masks) == [finding]
    mask = masks[finding]
    assert mask.dtype == bool
    assert mask.shape == image.shape
    assert 5 < mask.sum() < 0.7 * mask.size


def test_a_film_without_findings_has_no_masks_and_looks_like_a_chest() -> None:
    image, masks = film("No Finding")
    assert masks == {}
    assert image.std() > 25
    middle, lung = image[30:60, 36:42].mean(), image[30:60, 20:28].mean()
    assert middle > lung + 20  # spine and heart are white, air is black


def test_the_same_generator_draws_the_same_film() -> None:
    first, again, other = film("Edema")[0], film("Edema")[0], film("Edema", seed=4)[0]
    assert (first == again).all()
    assert (first != other).mean() > 0.5


def test_contrast_scales_what_is_seen() -> None:
    healthy = film(None)[0].astype(int)  # the same anatomy: findings draw their numbers after it
    change = []
    for contrast in (0.0, 0.5, 1.0):
        image, masks = draw_phantom(np.random.default_rng(3), ["Lung Lesion"], size=96, contrast=contrast)
        change.append(np.abs(image.astype(int) - healthy)[masks["Lung Lesion"]].mean())
    assert change[0] < change[1] < change[2]


def test_lung_opacity_names_the_shadows_of_the_others() -> None:
    _, masks = draw_phantom(np.random.default_rng(0), ["Lung Opacity", "Lung Lesion", "Atelectasis"], size=64)
    assert (masks["Lung Opacity"] == (masks["Lung Lesion"] | masks["Atelectasis"])).all()


def test_an_unknown_finding_is_named() -> None:
    with pytest.raises(UnknownNameError, match="'Oedema'; did you mean 'Edema'"):
        draw_phantom(np.random.default_rng(0), ["Oedema"])


def test_labels_follow_the_prevalences_and_each_other() -> None:
    exams = draw_exams(np.random.default_rng(5), 6000)
    has = {f: np.array([f in e.findings for e in exams]) for f in FINDINGS}
    for finding, prevalence in PREVALENCE.items():
        if finding != "Lung Opacity":
            assert has[finding].mean() == pytest.approx(prevalence, rel=0.2), finding
    others = np.logical_or.reduce([has[f] for f in FINDINGS if f not in ("No Finding", "Support Devices")])
    assert (has["No Finding"] == ~others).all()
    for finding in OPACITIES:
        assert has["Lung Opacity"][has[finding]].all()
    assert has["Edema"][has["Cardiomegaly"]].mean() > 1.5 * has["Edema"].mean()
    assert has["Pneumothorax"][has["Fracture"]].mean() > 1.5 * has["Pneumothorax"].mean()


def test_a_patients_films_agree_more_than_strangers_do() -> None:
    exams = draw_exams(np.random.default_rng(6), 3000)
    pairs = list(pairwise(exams))
    same = [("Cardiomegaly" in b.findings) for a, b in pairs if a.patient == b.patient and "Cardiomegaly" in a.findings]
    other = [
        ("Cardiomegaly" in b.findings) for a, b in pairs if a.patient != b.patient and "Cardiomegaly" in a.findings
    ]
    assert np.mean(same) > 2 * np.mean(other)
    assert len({e.habitus for e in exams}) == len({e.patient for e in exams})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("phantoms")
    make_phantoms(where, 120, size=64, seed=1, n_test=5, broken=3, masks=True)
    return where


def test_the_table_is_the_competitions(folder: Path) -> None:
    table = pd.read_csv(folder / "train2.csv")
    assert list(table.columns) == COLUMNS
    assert len(table) == 120
    assert table.Image_name.is_unique
    assert table.Image_name.str.fullmatch(r"\d{8}_\d{3}_\d{3}\.jpg").all()
    assert (table.Image_name.str[:8].astype(int) == table.Patient_ID).all()
    assert sorted(p.name for p in (folder / "train2").iterdir()) == sorted(table.Image_name)
    assert table.Patient_ID.value_counts().between(1, 5).all()
    labels = table[list(FINDINGS)].to_numpy()
    assert set(np.unique(labels[~np.isnan(labels)])) <= {-1.0, 0.0, 1.0}
    assert 0 < np.isnan(labels).mean() < 0.05
    assert set(table.ViewCategory) == {"Frontal", "Lateral"}


def test_gaps_in_sex_and_age_are_the_patients(folder: Path) -> None:
    exams = draw_exams(np.random.default_rng(7), 1500)
    gaps = {e.patient for e in exams if np.isnan(e.age)}
    assert 0 < len(gaps) < 0.12 * len({e.patient for e in exams})
    assert all(np.isnan(e.age) for e in exams if e.patient in gaps)
    assert {"F", "M"} < {e.sex for e in exams}


def test_three_files_are_broken_each_in_its_way(folder: Path) -> None:
    problems = []
    for path in sorted((folder / "train2").iterdir()):
        try:
            with Image.open(path) as image:
                image.load()
        except UnidentifiedImageError:
            problems.append("empty" if path.stat().st_size == 0 else "text")
        except OSError:
            problems.append("cut off")
    assert sorted(problems) == ["cut off", "empty", "text"]


def test_the_submission_lists_unseen_patients_and_alphabetical_findings(folder: Path) -> None:
    submission = pd.read_csv(folder / "sample_submission_2.csv")
    assert list(submission.columns) == ["Image_name", *sorted(FINDINGS)]
    assert sorted(p.name for p in (folder / "test2").iterdir()) == sorted(submission.Image_name)
    known = set(pd.read_csv(folder / "train2.csv").Patient_ID)
    assert known.isdisjoint(submission.Image_name.str[:8].astype(int))


def test_masks_are_kept_for_whoever_asks(folder: Path) -> None:
    table = pd.read_csv(folder / "train2.csv")
    row = table[table["Pleural Effusion"] == 1].iloc[0]
    with np.load(folder / "masks" / row.Image_name.replace(".jpg", ".npz")) as masks:
        assert masks["Pleural Effusion"].shape == (64, 52)
        assert masks["Pleural Effusion"].any()


def test_a_data_set_depends_on_its_seed_alone(folder: Path, tmp_path: Path) -> None:
    seen: list[None] = []
    make_phantoms(tmp_path, 120, size=64, seed=1, n_test=5, workers=1, on_image=lambda: seen.append(None))
    assert len(seen) == 125
    for path in [*(folder / "train2").iterdir(), *(folder / "test2").iterdir(), folder / "train2.csv"]:
        again = tmp_path / path.relative_to(folder)
        assert again.read_bytes() == path.read_bytes(), path.name


def test_more_broken_files_than_films_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken must be at most n_images"):
        make_phantoms(tmp_path, 2, broken=3)
