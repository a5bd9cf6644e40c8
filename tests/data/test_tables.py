"""Tables found in folders, rows left out with a reason, gaps filled only where a recipe asks for it."""

import numpy as np
import pandas as pd
import pytest

from zoo.core.errors import TableError, UnknownNameError
from zoo.data.tables import reading
from zoo.labels.findings import FINDINGS


def write_division(folder, division="train2", names=("a.jpg", "b.jpg"), on_disk=None):
    facts = {"Patient_ID": "1", "Study": "1", "Sex": "F", "Age": 50, "ViewCategory": "Frontal", "ViewPosition": "PA"}
    rows = [{"Image_name": name, **facts, **dict.fromkeys(FINDINGS, 0)} for name in names]
    pd.DataFrame(rows).to_csv(folder / f"{division}.csv", index=False)
    (folder / division).mkdir()
    for name in names if on_disk is None else on_disk:
        (folder / division / name).touch()


def test_either_division_is_found_b_first(tmp_path):
    write_division(tmp_path, "train1", ["one.jpg"])
    assert reading.read_table("competition", tmp_path)["Image_name"].tolist() == ["one.jpg"]
    write_division(tmp_path, "train2", ["two.jpg"])
    assert reading.read_table("competition", str(tmp_path))["Image_name"].tolist() == ["two.jpg"]


def test_a_relative_folder_gives_absolute_paths(tmp_path, monkeypatch):
    write_division(tmp_path)
    monkeypatch.chdir(tmp_path.parent)
    table = reading.read_table("competition", tmp_path.name)
    assert table["Image_path"].tolist() == [str(tmp_path / "train2" / n) for n in ("a.jpg", "b.jpg")]


def test_labels_and_images_can_be_named(tmp_path):
    write_division(tmp_path)
    (tmp_path / "train2.csv").rename(tmp_path / "mine.csv")
    (tmp_path / "train2").rename(tmp_path / "films")
    table = reading.read_table("competition", tmp_path, labels="mine.csv", images=tmp_path / "films")
    assert len(reading.drop_missing(table)[0]) == 2


@pytest.mark.parametrize(
    ("dataset", "wanted"),
    [("competition", r"train2\.csv with train2/ or train1\.csv with train1/"), ("nih", r"Data_Entry\*\.csv")],
)
def test_an_empty_folder_says_what_was_looked_for(tmp_path, dataset, wanted):
    with pytest.raises(TableError, match=wanted) as caught:
        reading.read_table(dataset, tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_nih_without_images_or_with_two_tables(tmp_path):
    (tmp_path / "Data_Entry_2017.csv").touch()
    with pytest.raises(TableError, match="expected a folder images/"):
        reading.read_table("nih", tmp_path)
    (tmp_path / "Data_Entry_2017_v2020.csv").touch()
    with pytest.raises(TableError, match=r"found Data_Entry_2017.csv, Data_Entry_2017_v2020.csv; leave one there"):
        reading.read_table("nih", tmp_path)


def test_a_folder_that_is_not_there_and_an_unknown_dataset(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        reading.read_table("competition", tmp_path / "nowhere")
    with pytest.raises(UnknownNameError, match="did you mean 'competition'"):
        reading.read_table("competion", tmp_path)


def test_labels_of_gives_the_asked_order_and_refuses_an_unknown_finding(tmp_path):
    write_division(tmp_path)
    table = reading.read_table("competition", tmp_path)
    table.loc[1, "Edema"] = 1
    labels = reading.labels_of(table, ["Edema", "Atelectasis"])
    assert labels.dtype == np.float32
    assert labels.tolist() == [[0, 0], [1, 0]]
    for wrong in ("Edemma", "Age"):
        with pytest.raises(UnknownNameError, match=f"unknown finding '{wrong}'"):
            reading.labels_of(table, [wrong])


def test_broken_and_missing_files_are_dropped_by_name_with_the_reason(tmp_path):
    known = reading.KNOWN_BROKEN[0]
    write_division(tmp_path, names=("a.jpg", known, "gone.jpg", "b.jpg"), on_disk=("a.jpg", known, "b.jpg"))
    kept, skipped = reading.drop_missing(reading.read_table("competition", tmp_path))
    assert kept["Image_name"].tolist() == ["a.jpg", "b.jpg"]
    assert kept.index.tolist() == [0, 1]
    assert skipped["Image_name"].tolist() == [known, "gone.jpg"]
    assert skipped["Reason"].tolist() == ["known to be broken in Division B", "no such file"]


def test_the_three_known_broken_films_are_those_of_the_original():
    assert set(reading.KNOWN_BROKEN) == {f"{n}_001_001.jpg" for n in ("00043046", "00052495", "00056890")}


def test_when_every_file_is_missing_the_folder_is_named(tmp_path):
    write_division(tmp_path, on_disk=())
    with pytest.raises(TableError, match=r"train2: none of 2 images can be used \(a\.jpg: no such file\)"):
        reading.drop_missing(reading.read_table("competition", tmp_path))


def test_unreadable_files_are_dropped_by_path(tmp_path):
    write_division(tmp_path)
    table = reading.read_table("competition", tmp_path)
    kept, skipped = reading.drop_unreadable(table, {table["Image_path"][1]: "cut off"})
    assert kept["Image_name"].tolist() == ["a.jpg"]
    assert skipped.to_dict("records") == [{"Image_name": "b.jpg", "Reason": "cut off"}]
    nothing = reading.drop_unreadable(table, {})[1]
    assert nothing.columns.tolist() == ["Image_name", "Reason"]
    assert nothing.empty


def test_the_originals_filling_is_over_the_whole_table_and_leaves_the_table_alone():
    table = pd.DataFrame(
        {"Image_name": list("abcd"), "Age": [40.0, 60.0, np.nan, 98.0], "Sex": ["F", "F", np.nan, "M"]}
    )
    before = table.copy()
    filled = reading.fill_original(table)
    assert filled.columns.tolist() == ["Image_name", "Age_filled", "Sex_filled"]
    assert filled["Age_filled"].tolist() == [40, 60, 66, 98]
    assert filled["Sex_filled"].tolist() == ["F", "F", "F", "M"]
    pd.testing.assert_frame_equal(table, before)


def test_what_no_row_knows_cannot_be_filled():
    table = pd.DataFrame({"Image_name": ["a"], "Age": [np.nan], "Sex": pd.Series([np.nan], dtype=object)})
    assert reading.fill_original(table)[["Age_filled", "Sex_filled"]].isna().all(axis=None)


def test_findings_without_both_classes_are_listed_and_none_learnable_is_an_error():
    unknown = np.nan
    labels = np.array([[1, 0, 1, unknown], [0, 0, 1, unknown], [unknown, 0, unknown, 1]], np.float32)
    assert reading.check_learnable(labels, ["a", "b", "c", "d"]) == ["b", "c", "d"]
    with pytest.raises(TableError, match="none of 3 findings has both a positive and a negative in 3 rows"):
        reading.check_learnable(labels[:, 1:], ["b", "c", "d"])
