"""The look before training: everything that is counted is right, and on the page, in the text and in the JSON."""

import json
import re

import numpy as np
import pytest
from told import Told

pytest.importorskip("sklearn", reason="a split by image is scikit-learn's")

from PIL import Image

from zoo.cli import main
from zoo.data.splits import SplitSpec
from zoo.data.summary import warnings_of
from zoo.runs.describe import as_text, describe


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """20 rows of 10 patients; image 3 is a copy of 8, 5 is cut off, 6 is not there, 7 has no patient."""
    folder = tmp_path_factory.mktemp("data")
    draw = np.random.default_rng(0)
    lines = ["file,patient,sex,age,Edema,Notch,Never,Note"]
    for i in range(20):
        Image.fromarray(draw.integers(0, 255, (16, 16), np.uint8)).save(folder / f"{i}.png")
        edema = "-1" if i == 0 else "" if i == 1 else str(i % 2)
        patient = "" if i == 7 else f"p{i // 2}"
        lines.append(f"{i}.png,{patient},{'F' if i % 4 else ''},{30 + i},{edema},{int(i < 10)},0,word{i}")
    (folder / "3.png").write_bytes((folder / "8.png").read_bytes())
    (folder / "5.png").write_bytes((folder / "4.png").read_bytes()[:60])
    (folder / "6.png").unlink()
    (folder / "mine.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def found(data):
    return describe(data, Told())


def test_images_patients_and_what_cannot_be_used(found):
    assert (found.rows, found.usable, found.dataset) == (20, 18, "csv")
    assert (found.patients, found.without_patient) == (
        9,
        1,
    )  # p3 has an image that is missing, and one that does not name it
    assert [left.image for left in found.left_out] == ["6.png", "5.png"]
    assert found.left_out[0].reason == "no such file"


def test_findings_are_counted_over_the_images_that_can_be_used(found):
    edema, notch, never = found.findings
    # Odd images are positive: 3, 7, 9, ..., 19 (1 is unknown, 5 cannot be read); even ones negative but 0 and 6.
    assert (edema.positive, edema.negative, edema.uncertain, edema.unknown) == (8, 8, 1, 1)
    assert edema.positive_patients == 8
    assert (notch.positive, notch.negative) == (8, 10)
    assert (never.positive, never.negative) == (0, 18)


def test_copies_are_found_with_their_patients_and_labels(found):
    (copies,) = found.copies
    assert set(copies.images) == {"3.png", "8.png"}
    assert (copies.patients, copies.labels_differ) == (2, True)


def test_facts_have_their_gaps_values_and_range(found):
    facts = {fact.fact: fact for fact in found.facts}
    assert (facts["Sex"].known, facts["Sex"].missing, facts["Sex"].values) == (13, 5, (("F", 13),))
    assert facts["Age"].range == "30 to 49, median 40"
    assert facts["Study"].missing == 18


def test_the_split_is_that_of_training(found):
    assert [part.part for part in found.split] == ["train", "validation", "test"]
    assert sum(part.images for part in found.split) == 18
    assert tuple(map(sum, zip(*(part.positives for part in found.split), strict=True))) == (8, 8, 0)
    assert found.leaked_patients == 0
    assert any("1 of 18 rows do not name their patient" in note for note in found.split_notes)


def test_what_stands_in_the_way_is_said_first(found):
    told = warnings_of(found)
    assert told[0].startswith("1 group of equal images has several patients, first ")
    assert told[1] == "1 group of equal images has labels that contradict each other"
    assert told[2] == "cannot be learned, without positives or negatives: Never"


def test_without_patients_the_reason_takes_the_place_of_the_split(data, tmp_path):
    text = (data / "mine.csv").read_text().replace("patient", "number")
    (tmp_path / "own.csv").write_text(re.sub(r"p(\d)", r"\1", text))
    found = describe(tmp_path / "own.csv", Told(), read_images=False, columns=columns(images=str(data)))
    assert found.split == ()
    assert "--set split.by=image" in found.split_notes[0]
    assert "--set split.by=image" in as_text(found)
    assert (found.usable, found.images_read, found.copies) == (19, False, ())
    assert {finding.positive_patients for finding in found.findings} == {None}
    assert "positive patients" not in as_text(found)
    by_image = SplitSpec(by="image")
    found = describe(tmp_path / "own.csv", Told(), read_images=False, columns=columns(images=str(data)), split=by_image)
    assert {part.patients for part in found.split} == {None}
    assert "train 15 images of unknown patients" in as_text(found)


def columns(**named):
    from zoo.data.tables.spec import TableSpec

    return TableSpec(**named)


def test_the_command_writes_text_page_and_json(data, tmp_path, capsys):
    page, file = tmp_path / "page.html", tmp_path / "found.json"
    assert main(["data", str(data), "--html", str(page), "--json", str(file)]) == 0
    said = capsys.readouterr().out
    assert f"{data} (csv): 18 of 20 images can be read; 9 patients (1 image names none)" in said
    assert re.search(r"\| Edema +\| +8 \| +8 \| +1 \| +1 \| +8 \|", said)
    assert "  6.png: no such file" in said
    saved = json.loads(file.read_text())
    assert saved["findings"][0] | {"finding": "Edema", "positive": 8} == saved["findings"][0]
    assert any("'Note' (text)" in line for line in saved["understood"])
    html = page.read_text()
    for part in ("Edema", "6.png", "no such file", "contradict", "30 to 49, median 40", "&#39;Note&#39; (text)"):
        assert part in html
    assert "http" not in html.replace("http-equiv", "")


def test_a_page_escapes_what_a_table_says(tmp_path):
    from zoo.report.data_page import write_data_page

    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "a.png")
    (tmp_path / "t.csv").write_text("image,patient,<script>x</script>\na.png,1,1\n")
    page = write_data_page(describe(tmp_path / "t.csv", Told()), tmp_path / "p.html")
    assert "<script>x" not in page.read_text()
    assert "&lt;script&gt;x" in page.read_text()


def test_the_formats_are_described(capsys):
    assert main(["data", "--formats"]) == 0
    assert "csv: any table with a column of images and labels" in capsys.readouterr().out
    assert main(["data"]) == 1
    assert "give the table or its folder" in capsys.readouterr().err
