"""The competition's table: columns by name, labels 0, 1, -1 and blank, repeated images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoo.core.errors import TableError
from zoo.data.tables.competition import read_competition
from zoo.data.tables.reading import COLUMNS
from zoo.labels.findings import FINDINGS, LabelSchema

ROW = {
    "Image_name": "00000001_001_001.jpg",
    "Patient_ID": "00000001",
    "Study": "001",
    "Sex": "F",
    "Age": "61",
    "ViewCategory": "Frontal",
    "ViewPosition": "PA",
    **dict.fromkeys(FINDINGS, "0"),
}


@pytest.fixture
def read(tmp_path):
    """Writes rows (changes to ROW) as a table and reads it."""

    def run(*changes, columns=None, order=None, **options):
        rows = [ROW | {"Image_name": f"0000000{i}_001_001.jpg"} | change for i, change in enumerate(changes)]
        frame = pd.DataFrame(rows, columns=order).rename(columns=columns or {})
        frame.to_csv(tmp_path / "train2.csv", index=False)
        (tmp_path / "train2").mkdir(exist_ok=True)
        return read_competition(tmp_path / "train2.csv", tmp_path / "train2", **options)

    return run


def test_the_canonical_columns_in_order_with_float32_labels(read, tmp_path):
    table = read({"Edema": "1"}, {})
    assert tuple(table.columns) == (*COLUMNS, *FINDINGS)
    assert (table[list(FINDINGS)].dtypes == np.float32).all()
    assert table["Edema"].tolist() == [1.0, 0.0]
    assert table["Image_path"][0] == str(tmp_path / "train2" / "00000000_001_001.jpg")
    assert table["Source"].tolist() == ["competition"] * 2
    assert isinstance(table.index, pd.RangeIndex)


def test_identifiers_stay_text_so_leading_zeros_survive(read):
    table = read({"Patient_ID": "00043046", "Study": "001"})
    assert (table["Patient_ID"][0], table["Study"][0]) == ("00043046", "001")


def test_columns_are_read_by_name_not_by_place(read):
    # "Lung Lesion" and "Lung Opacity" are the pair that other files of CheXpert's order the other way round.
    marks = {"Lung Lesion": "1", "Lung Opacity": "0", "Age": "40"}
    table = read(marks)
    backwards = read(marks, order=list(reversed(ROW)))
    underscores = read(marks, columns={f: f.replace(" ", "_") for f in FINDINGS})
    assert (table["Lung Lesion"][0], table["Lung Opacity"][0]) == (1, 0)
    pd.testing.assert_frame_equal(table, backwards)
    pd.testing.assert_frame_equal(table, underscores)


def test_an_unknown_column_is_left_out_with_a_note(read):
    with pytest.warns(UserWarning, match=r"train2.csv: left out columns 'Remark'"):
        table = read({"Remark": "blurred"})
    assert "Remark" not in table


def test_a_missing_label_column_names_file_column_and_closest(read):
    with pytest.raises(TableError, match=r"train2\.csv: column 'Edema' is missing; the closest is 'Edma'"):
        read({}, columns={"Edema": "Edma"})


def test_a_missing_image_column(read):
    with pytest.raises(TableError, match="'Image_name' is missing"):
        read({}, columns={"Image_name": "File"})


def test_missing_facts_stay_empty_with_a_warning(read):
    with pytest.warns(UserWarning, match="no columns 'Patient_ID'; they stay empty"):
        table = read({}, order=[name for name in ROW if name != "Patient_ID"])
    assert table["Patient_ID"].isna().all()


def test_blank_and_uncertain_are_unknown_unless_asked_otherwise(read):
    changes = [{"Edema": text} for text in ("", "NaN", "-1", "-1.0", "1.0", "0.0", "1", "0")]
    unknown = np.nan
    np.testing.assert_array_equal(read(*changes)["Edema"], np.float32([unknown] * 4 + [1, 0, 1, 0]))
    for uncertain, value in (("zero", 0), ("one", 1), ("keep", -1)):
        expected = np.float32([unknown, unknown, value, value, 1, 0, 1, 0])
        np.testing.assert_array_equal(read(*changes, uncertain=uncertain)["Edema"], expected)
    with pytest.raises(ValueError, match="uncertain must be one of 'nan', 'zero', 'one', 'keep', got 'ones'"):
        read({}, uncertain="ones")


@pytest.mark.parametrize("text", ["2", "mild", "0.5", "inf", "-2"])
def test_another_label_names_file_line_and_column(read, text):
    with pytest.raises(TableError, match=r"train2\.csv, line 3, column 'Edema': .*0, 1, -1 or blank, got '" + text):
        read({}, {"Edema": text})


def test_a_repeated_image_names_both_lines(read):
    twice = {"Image_name": "x.jpg"}
    with pytest.raises(TableError, match=r"line 4, column 'Image_name': 'x\.jpg' is on line 2 already, with the same"):
        read(twice, {}, twice)
    with pytest.raises(TableError, match=r"line 3, .* is on line 2 already, with other values"):
        read(twice, twice | {"Edema": "1"})


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a\\b.jpg"])
def test_an_image_name_cannot_lead_out_of_the_folder(read, tmp_path, name):
    table = read({"Image_name": name})
    assert Path(table["Image_path"][0]).resolve().is_relative_to(tmp_path / "train2")
    assert not Path(table["Image_path"][0]).exists()
    assert table["Image_name"][0] == name


def test_a_blank_image_name(read):
    with pytest.raises(TableError, match="line 3, column 'Image_name': blank"):
        read({}, {"Image_name": ""})


def test_sex_and_age_are_normalised_and_gaps_are_nan(read):
    changes = [{"Sex": s, "Age": a} for s, a in [("Female", "61.0"), ("m", ""), ("", "0"), ("Unknown", "414")]]
    with pytest.warns(UserWarning, match=r"train2\.csv: Age: not understood, counted as unknown: 1 row: '414' \(1\)"):
        table = read(*changes)
    assert table["Sex"].tolist()[:2] == ["F", "M"]
    assert table["Sex"].isna().tolist() == [False, False, True, True]
    np.testing.assert_array_equal(table["Age"], [61, np.nan, 0, np.nan])


def test_what_is_not_understood_is_told_and_unknown(read):
    changes = [{"Sex": s, "Age": a} for s, a in [("1", "old"), ("2", "90+"), ("2", "nan"), ("NA", "058Y"), ("W", "")]]
    with pytest.warns(UserWarning, match="Sex|Age") as told:
        table = read(*changes)
    assert [str(warning.message).partition("train2.csv: ")[2] for warning in told] == [
        "Sex: not understood, counted as unknown: 3 rows: '2' (2), '1' (1); the numbers mean other things in other "
        "tables: write M and F",
        "Age: not understood, counted as unknown: 1 row: 'old' (1)",
        "Age: an open limit, read as the lowest age it allows: 1 row: '90+' (1)",
    ]
    np.testing.assert_array_equal(table["Age"], [np.nan, 90, np.nan, 58, np.nan])
    assert table["Sex"].fillna("?").tolist() == ["?", "?", "?", "?", "F"]


def test_what_stands_for_unknown_is_a_gap_in_every_column(read):
    names = ("Patient_ID", "Study", "ViewCategory", "ViewPosition")
    table = read(*(dict.fromkeys(names, text) for text in ("", "nan", "NA", "None", "unknown", "7")))
    for name in names:
        assert table[name].isna().tolist() == [True] * 5 + [False], name


def test_another_schema_reads_other_columns(read):
    schema = LabelSchema("two", findings=("Edema", "Wet Lung"), aliases={"Pleural Effusion": "Wet Lung"})
    with pytest.warns(UserWarning, match="left out"):
        table = read({"Pleural Effusion": "1"}, schema=schema)
    assert table.columns[len(COLUMNS) :].tolist() == ["Edema", "Wet Lung"]
    assert table["Wet Lung"].tolist() == [1.0]


def test_the_two_archives_are_told_apart_by_the_names_of_the_films(read):
    names = ["00000017_001_001.jpg", "20000314_001_000.jpg", "20000314_001_001.jpg", "12000314_001_000.jpg"]
    films = [{"Image_name": name} for name in names]
    told = [f"competition-{archive}" for archive in ("chexpert", "nih", "chexpert", "chexpert")]
    assert read(*films)["Source"].tolist() == told
    assert read(films[0])["Source"].tolist() == read(films[1])["Source"].tolist() == ["competition"]
