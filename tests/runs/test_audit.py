"""The audit of a table: planted faults are listed with their reasons, in the tables, on the page and in the text."""

import csv
import shutil

import numpy as np
import pytest
from PIL import Image
from told import Told

from zoo.cli import main
from zoo.core.errors import TableError
from zoo.data.phantoms.drawing import draw_phantom
from zoo.evaluation.report import RESEARCH_ONLY
from zoo.runs.audit import as_text, audit

N = 40
FLIPPED = {4, 17}


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """40 phantoms of 20 patients: Edema's labels 4 and 17 (5 %) are flipped, 8 is unknown; Never has one class.

    Image 39 is image 0 again under another patient, smaller; 31 is image 30 of the same patient; 38 is no image; 37 is
    not predicted.
    """
    folder = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)
    table, predicted = ["image,patient,Edema,Never"], ["Image_name,Patient_ID,fold,Edema,Never"]
    for i in range(N):
        image = Image.fromarray(draw_phantom(rng, {"Edema"} if i % 2 else (), size=96)[0])
        image.save(folder / f"{i:02d}.png")
        label = 1 - i % 2 if i in FLIPPED else i % 2
        table.append(f"{i:02d}.png,p{i // 2},{'' if i == 8 else label},0")
        if i != 37:
            predicted.append(f"{i:02d}.png,p{i // 2},{i % 3},{0.8 + i / 1000 if i % 2 else 0.1 + i / 1000},0.1")
    with Image.open(folder / "00.png") as first:
        first.resize((first.width * 2 // 3, first.height * 2 // 3)).save(folder / "39.png")
    shutil.copy(folder / "30.png", folder / "31.png")
    (folder / "38.png").write_text("no image")
    (folder / "labels.csv").write_text("\n".join(table) + "\n")
    run = folder / "run"
    run.mkdir()
    (run / "out_of_fold.csv").write_text("\n".join(predicted) + "\n")
    return folder


def test_planted_faults_are_listed(data, tmp_path):
    """5 % of 40 labels flipped: both are found (recall 100 %), and nothing else (precision 100 %)."""
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    told = Told()
    found = audit(data / "labels.csv", tmp_path / "out", told, predictions=data / "run", dataset="csv")
    assert before == {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    errors = rows_of(tmp_path / "out" / "label_errors.csv")
    assert [(e["image"], e["patient"], e["finding"], e["label"], e["rank"]) for e in errors] == [
        ("04.png", "p2", "Edema", "1", "1"),
        ("17.png", "p8", "Edema", "0", "2"),
    ]
    assert [float(e["probability"]) for e in errors] == pytest.approx([0.104, 0.817])
    assert errors[0]["reason"].startswith("predicted 0.104; images labelled negative have 0.1")
    copies = rows_of(tmp_path / "out" / "near_duplicates.csv")
    assert [(c["image"], c["other_image"], c["kind"]) for c in copies] == [
        ("00.png", "39.png", "leak"),
        ("30.png", "31.png", "same patient"),
    ]
    assert (copies[1]["distance"], copies[0]["other_patient"]) == ("0", "p19")
    assert copies[0]["reason"].endswith("bits differ; patients p0 and p19; labels contradict: Edema")
    assert (found.images, found.leaks) == (39, 1)
    assert as_text(found).splitlines() == [
        "39 images: 2 nearly equal pairs, 1 of two patients (leaks)",
        "2 of 75 known labels look wrong; an upper estimate, for a reader to decide",
        "  Edema: 2 of 37",
        "  Never: no positive label among 38 known labels",
    ]
    assert not any("too weak" in note for note in found.notes)
    assert any(note.startswith("left out: 38.png: ") for note in found.notes)
    assert any("rows that are not in out_of_fold.csv, left out: 1 of 39" in text for text in told.messages)


def test_the_page_is_whole_and_names_every_reason(data, tmp_path):
    found = audit(data / "labels.csv", tmp_path, Told(), predictions=data / "run" / "out_of_fold.csv", dataset="csv")
    page = (tmp_path / "audit.html").read_text("utf-8")
    assert RESEARCH_ONLY in page
    assert page.count("<img ") == page.count('<img src="data:image/jpeg;base64,') == 2 + 4
    assert "http://" not in page
    assert "https://" not in page
    assert "img-src data:" in page
    assert "Never was not judged: no positive label among 38 known labels" in page
    for image, reason in ((listed.image, listed.reason) for listed in found.suspects):
        assert f"{image}: {reason}" in page
    for copy in found.copies:
        assert f"{copy.image}, {copy.other_image}: {copy.reason}" in page


def test_without_predictions_only_copies_are_looked_for(data, tmp_path, capsys):
    assert main(["audit", "--data", str(data / "labels.csv"), "--dataset", "csv", "--out", str(tmp_path)]) == 0
    assert "no predictions were given, so no label was judged" in capsys.readouterr().out
    assert rows_of(tmp_path / "label_errors.csv") == []
    assert len(rows_of(tmp_path / "near_duplicates.csv")) == 2
    assert "No predictions were given, so no label was judged." in (tmp_path / "audit.html").read_text("utf-8")


def test_predictions_that_may_not_be_out_of_fold_are_told_and_scores_are_refused(data, tmp_path):
    rows = ["image,Edema", *(f"{i:02d}.png,{0.9 if i % 2 else 0.1}" for i in range(N))]
    (tmp_path / "plain.csv").write_text("\n".join(rows))
    told = Told()
    audit(data / "labels.csv", tmp_path / "out", told, predictions=tmp_path / "plain.csv", dataset="csv")
    assert any("has no column 'fold'" in text for text in told.messages)
    assert "plain.csv does not predict Never: their labels were not judged" in told.messages
    (tmp_path / "scores.csv").write_text("image,Edema\n00.png,3\n01.png,-2\n")
    with pytest.raises(TableError, match=r"probabilities .* are needed, got scores"):
        audit(data / "labels.csv", tmp_path / "out", told, predictions=tmp_path / "scores.csv", dataset="csv")


def test_a_model_too_weak_to_judge_is_told(data, tmp_path):
    rng, told = np.random.default_rng(0), Told()
    rows = ["image,fold,Edema,Never", *(f"{i:02d}.png,0,{rng.random():.3f},0.1" for i in range(N))]
    (tmp_path / "chance.csv").write_text("\n".join(rows))
    found = audit(data / "labels.csv", tmp_path / "out", told, predictions=tmp_path / "chance.csv", dataset="csv")
    assert found.findings[0].listed > 0.3 * found.findings[0].known
    assert any(text.startswith("more than 10% of the labels of Edema look wrong: the model") for text in told.messages)
