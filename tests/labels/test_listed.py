"""Lists of labels in one field: split, never searched, and read by one reader for training and evaluation."""

import numpy as np
import pytest

from zoo.core.csv import read_columns
from zoo.core.errors import TableError
from zoo.labels.listed import read_listed, split_names


@pytest.fixture
def table(tmp_path):
    def make(*fields):
        path = tmp_path / "t.csv"
        path.write_text(
            "Image Index,Finding Labels\n" + "".join(f"{i}.png,{field}\n" for i, field in enumerate(fields))
        )
        return read_columns(path)

    return make


def test_a_label_is_one_where_it_is_listed_zero_elsewhere_and_unknown_in_a_blank_field(table):
    listed = read_listed(table("Effusion|Mass", "No Finding", "", "nan", "Pleural_Thickening"))
    np.testing.assert_array_equal(listed.labels(["Effusion"]), [1, 0, np.nan, np.nan, 0])
    np.testing.assert_array_equal(listed.labels(["Mass", "Nodule"]), [1, 0, np.nan, np.nan, 0])
    np.testing.assert_array_equal(listed.labels(["Hernia"]), [0, 0, np.nan, np.nan, 0])
    assert listed.labels(["Fracture"]) is None


def test_own_names_label_only_what_is_there(table):
    listed = read_listed(table("Silicosis|Asbestosis", "Asbestosis"))
    np.testing.assert_array_equal(listed.labels(["silicosis"]), [1, 0])
    assert listed.labels(["Edema"]) is None


@pytest.mark.parametrize(
    ("field", "how", "words"),
    [
        ("Edemma|Mass", {}, r"line 3, column 'Finding Labels': unknown NIH label 'Edemma'; did you mean 'Edema'\?"),
        ("effusion", {"vocabulary": "nih", "exact": True}, "unknown NIH label 'effusion'; did you mean 'Effusion'"),
        ("Edema|", {}, "unknown NIH label ''"),
        ("Mass|No Finding|Edema", {}, "'No Finding' beside Edema, Mass"),
        ("Asbestosis|No Finding", {"vocabulary": "any"}, "'No Finding' beside Asbestosis"),
    ],
)
def test_a_wrong_field_names_its_line(table, field, how, words):
    with pytest.raises(TableError, match=words):
        read_listed(table("Edema", field), **how)


def test_spelling_does_not_count_unless_it_is_asked_for(table):
    listed = read_listed(table("pleural thickening", "EFFUSION | Mass"))
    np.testing.assert_array_equal(listed.labels(["Pleural_Thickening"]), [1, 0])
    np.testing.assert_array_equal(listed.labels(["Effusion"]), [0, 1])


def test_a_field_is_split_at_its_bars():
    assert split_names("Edema| Mass ") == ("Edema", "Mass")
    assert split_names("NaN") == split_names("") == ()
