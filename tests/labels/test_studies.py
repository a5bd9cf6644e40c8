"""The study of an image, from its name, its folder or a table."""

import pytest

from zoo.labels.studies import studies_of_columns, study_of_folder, study_of_name


@pytest.mark.parametrize(
    ("name", "study"),
    [
        ("00043046_001_001.jpg", "00043046_001"),
        ("test2/00043046_001_002", "00043046_001"),
        (r"C:\films\7_12_3.dcm.png", ""),
        (r"C:\films\7_12_3.dcm", "7_12"),
        ("00000042_001.png", ""),
        ("chest_left_1.png", ""),
        ("1_2_3_4.png", ""),
    ],
)
def test_the_competitions_names(name, study):
    assert study_of_name(name) == study


def test_a_folder_is_a_study_with_the_folders_above_it():
    assert study_of_folder("/data/p1/s1/a.png") == "data/p1/s1"
    assert study_of_folder("/data/p2/s1/a.png") != study_of_folder("/data/p1/s1/a.png")


def test_studies_of_two_patients_with_one_number_are_two():
    assert studies_of_columns(["1", "2", "1", float("nan"), "3"], ["1", "1", "1", "1", ""]).tolist() == [
        "1_1",
        "2_1",
        "1_1",
        "",
        "",
    ]
    assert studies_of_columns([float("nan")] * 2, ["s50", "s51"]).tolist() == ["s50", "s51"]
