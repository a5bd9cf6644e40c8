"""Several data sets in one table: names, patients, sources, findings and copies; and one read for other findings."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from zoo.core.errors import UsageError
from zoo.data import contents
from zoo.data.splits import SplitSpec, make_split
from zoo.data.tables.crossing import read_for
from zoo.data.tables.several import DataSet, copies, pair_up, read_several, root_of
from zoo.labels.findings import FINDINGS


def picture(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8), value, np.uint8)).save(path)


@pytest.fixture
def folders(tmp_path):
    """Both divisions of the competition (patient 7 in both), a part of NIH, and two plain CSVs, each with a 7."""
    for division, names in (("train1", ["7_1_1.png", "8_1_1.png"]), ("train2", ["7_1_1.png", "7_2_1.png"])):
        folder = tmp_path / division[-1:].replace("1", "A").replace("2", "B")
        rows = []
        for i, name in enumerate(names):
            picture(folder / division / name, len(division) + i + 10 * (division == "train2"))
            rows.append({"Image_name": name, "Patient_ID": name[0], "Study": name[2], **dict.fromkeys(FINDINGS, i)})
        pd.DataFrame(rows).assign(Edema=-1).to_csv(folder / f"{division}.csv", index=False)
    picture(tmp_path / "nih" / "images" / "00000007_000.png", 3)
    row = "00000007_000.png,Effusion|Mass,0,7,30,M,PA"
    head = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
    (tmp_path / "nih" / "Data_Entry_2017.csv").write_text(f"{head}\n{row}\n")
    for name in ("own", "more"):
        picture(tmp_path / name / "a.png", 3 if name == "own" else 99)
        (tmp_path / name / "labels.csv").write_text("file,patient,Edema,Pneumonia\na.png,7,1,0\n")
    return tmp_path


def joined(folders, said=None):
    data = [folders / name for name in ("A", "B", "nih", "own", "more")]
    sets = pair_up(data, ["competition", "competition", "nih", "csv", "csv"])
    return read_several(sets, FINDINGS, say=(said if said is not None else []).append), sets


@pytest.mark.filterwarnings("ignore")
def test_patients_are_shared_within_a_format_and_never_between_formats(folders):
    said: list[str] = []
    table, _ = joined(folders, said)
    whose = dict(zip(table["Image_name"], table["Patient_ID"], strict=True))
    assert whose == {
        "A/7_1_1.png": "competition: 7",
        "A/8_1_1.png": "competition: 8",
        "B/7_1_1.png": "competition: 7",
        "B/7_2_1.png": "competition: 7",
        "nih/00000007_000.png": "nih: 7",
        "own/a.png": "own: 7",
        "more/a.png": "more: 7",
    }
    assert table["Source"].tolist() == ["competition"] * 4 + ["nih", "own", "more"]
    assert "5 data sets: 7 rows, 5 patients, 1 of them in several" in said
    split = make_split(table, ["Pneumonia"], SplitSpec(fractions=(0.4, 0.3, 0.3)))
    part = {name: part for part, names in split.names.items() for name in names}
    assert part["A/7_1_1.png"] == part["B/7_1_1.png"] == part["B/7_2_1.png"]


@pytest.mark.filterwarnings("ignore")
def test_findings_that_a_set_does_not_label_are_unknown_in_its_rows_alone(folders):
    table, _ = joined(folders)
    by_name = table.set_index("Image_name")
    np.testing.assert_array_equal(by_name.loc["A/8_1_1.png", ["Edema", "Fracture"]].to_numpy(float), [-1, 1])
    np.testing.assert_array_equal(
        by_name.loc["nih/00000007_000.png", ["Pleural Effusion", "Edema", "Lung Lesion"]].to_numpy(float),
        [1, 0, np.nan],
    )
    np.testing.assert_array_equal(
        by_name.loc["own/a.png", ["Edema", "Pneumonia", "Fracture"]].to_numpy(float), [1, 0, np.nan]
    )
    assert list(table.columns[-14:]) == list(FINDINGS)


@pytest.mark.filterwarnings("ignore")
def test_copies_between_sets_are_counted_by_content(folders):
    table, sets = joined(folders)
    digests = {path: contents.of(path).digest for path in table["Image_path"]}
    count, first = copies(table, digests)
    assert (count, first) == (1, "nih/00000007_000.png = own/a.png")
    assert root_of(sets) == folders


def test_formats_are_given_once_or_once_for_each(folders):
    data = [folders / "nih", folders / "own"]
    assert [one.dataset for one in pair_up(data, [])] == [None, None]
    assert [one.dataset for one in pair_up(data, ["csv"])] == ["csv", "csv"]
    with pytest.raises(UsageError, match="once for each --data, got 3 for 2"):
        pair_up(data, ["csv"] * 3)
    with pytest.raises(UsageError, match="is given twice"):
        read_several([DataSet(data[0], "nih"), DataSet(data[0], "nih")], FINDINGS)


@pytest.mark.filterwarnings("ignore")
def test_a_model_of_other_findings_gets_those_that_the_set_has(folders):
    wanted = ("Effusion", "Mass", "Emphysema", "Nodule/Mass", "Lung Lesion", "Fracture")
    table, notes = read_for(wanted, "nih", folders / "nih")
    np.testing.assert_array_equal(table[list(wanted)].to_numpy(float), [[1, 1, 0, 1, np.nan, np.nan]])
    assert "findings that the labels say nothing of, left out: Lung Lesion, Fracture" in notes
    wide, notes = read_for(wanted, "nih-debatable", folders / "nih")
    assert wide["Lung Lesion"].tolist() == [1]
    assert any(note.startswith("Lung Lesion from Nodule or Mass is debatable") for note in notes)
    table, notes = read_for(FINDINGS, "nih", folders / "nih")
    assert table["Pleural Effusion"].tolist() == [1]
    assert notes[0].endswith("Lung Lesion, Lung Opacity, Pleural Other, Support Devices")
