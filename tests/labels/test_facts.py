"""Facts of tables: what is unknown stays unknown, what is not understood is counted."""

import numpy as np
import pandas as pd
import pytest
from as_json import as_json

from zoo.data.splits import patients_of
from zoo.evaluation.scores import Scores
from zoo.evaluation.subgroups import AGE_BANDS, age_bands, subgroups
from zoo.labels import facts

subgroups = as_json(subgroups)


@pytest.mark.parametrize(
    ("texts", "sex"),
    [
        (("F", "f", "F.", "female", "FEMALE", "Female ", "W", "w.", "weiblich", "Frau", "Woman", "femme"), "F"),
        (("M", "m", "m.", "male", "MALE", "Mann", "M\u00e4nnlich", "Ma\u0308nnlich", "maennlich", "man", "homme"), "M"),
        (("O", "other", "Divers"), "O"),
        (("", "nan", "NaN", "NA", "N/A", "None", "unknown", "U", "-", "?", "<NA>", "  "), ""),
    ],
)
def test_sexes_that_are_understood(texts, sex):
    found = facts.sexes(texts)
    assert found.values.tolist() == [sex] * len(texts)
    assert found.notes("Sex") == []


def test_sexes_that_are_not_understood_are_counted():
    found = facts.sexes(["1", "2", "2", "F/M", "M", "0", "X"])
    assert found.values.tolist() == ["", "", "", "", "M", "", ""]
    assert found.not_understood == {"1": 1, "2": 2, "F/M": 1, "0": 1, "X": 1}
    (note,) = found.notes("Patient Gender")
    assert note.startswith("Patient Gender: not understood, counted as unknown: 6 rows: '2' (2), '1' (1), ")
    assert note.endswith("write M and F")


@pytest.mark.parametrize(
    ("text", "age"),
    [
        ("58", 58), ("58.0", 58), ("58,5", 58.5), ("058Y", 58), ("58 years", 58), ("58 yrs.", 58), ("58 J", 58),
        ("018M", 1.5), ("012D", 12 / 365.25), ("006W", 6 / 52.18), ("0", 0), ("120", 120),
        ("nan", np.nan), ("", np.nan), ("NA", np.nan), ("unknown", np.nan),
    ],
)  # fmt: skip
def test_ages_that_are_understood(text, age):
    found = facts.ages([text])
    np.testing.assert_allclose(found.values, [age])
    assert found.notes("Age") == []


@pytest.mark.parametrize("text", ["90+", ">89", ">=90", "\u2265 90", "over 89", "90 and over", "90Y+", "90 or older"])
def test_an_open_limit_is_read_and_told(text):
    found = facts.ages([text])
    assert found.values.tolist() == [90]
    assert age_bands(found.values).tolist() == ["80+"]
    assert found.notes("Age") == [f"Age: an open limit, read as the lowest age it allows: 1 row: {text!r} (1)"]


@pytest.mark.parametrize("text", ["65+", ">64", "<1", "60-69", "-1", "121", "414", "999", "old", "1e2", "inf", "58 59"])
def test_ages_that_are_not_understood_are_counted(text):
    found = facts.ages([text, "7"])
    np.testing.assert_array_equal(found.values, [np.nan, 7])
    assert found.not_understood == {text: 1}


def test_open_limits_are_read_where_all_greater_ages_are_in_one_band():
    assert max(AGE_BANDS) == facts.OPEN_FROM


def test_a_note_is_short_however_long_the_texts():
    (note,) = facts.ages(["x" * 10**6, *(f"text {i}" for i in range(50))]).notes("Age")
    assert len(note) < 300
    assert "51 rows" in note
    assert "and 46 with other texts" in note


def test_nobody_is_not_a_patient():
    for text in ("", "nan", "NA", "N/A", "null", "unknown", "Anonymous", "-", "unknown: a.png"):
        assert not facts.names_patient(text), text
    assert facts.names_patient("0")
    table = pd.DataFrame({"Image_name": list("abc"), "Patient_ID": ["7", np.nan, np.nan]})
    assert patients_of(table).tolist() == ["7", "unknown: b", "unknown: c"]


@pytest.mark.parametrize(
    "text",
    ["(null)", "\\N", "nil", "#REF!", "#VALUE!", "-nan", "1.#QNAN", "-1.#IND", "[]", "??", "___", "#N/A N/A"],
)
def test_what_databases_and_spreadsheets_write_for_nothing_is_unknown_in_every_fact(text):
    assert facts.patients([text, text, "7"], ["a", "b", "c"]).tolist() == ["unknown: a", "unknown: b", "7"]
    assert np.isnan(facts.label(text))
    assert facts.sexes([text]).values.tolist() == [""]
    assert np.isnan(facts.ages([text]).values).all()
    assert not facts.sexes([text]).not_understood
    assert not facts.ages([text]).not_understood


@pytest.mark.parametrize("text", ["XXXX", "***", "[redacted]", "[ANONYMIZED]", "###"])
def test_a_patient_that_was_struck_out_is_unknown_and_a_label_like_it_is_not_understood(text):
    assert facts.patients([text, text], ["a", "b"]).tolist() == ["unknown: a", "unknown: b"]
    assert facts.label(text) is None


@pytest.mark.parametrize("text", ["0", "000", "x", "xx", "-7", "a-b", "[7]", "n", "1.2.3", "*7"])
def test_short_and_odd_identifiers_name_a_patient(text):
    assert facts.patients([text, text], ["a", "b"]).tolist() == [text, text]


def test_every_number_of_a_group_is_right():
    """23 rows: M 8, F 8, unknown 7."""
    sexes = facts.sexes(
        ["M", "m.", "male", "Mann"] * 2 + ["F", "W", "Frau", "female"] * 2 + ["", "nan", "1", "2", "?"] + ["NA"] * 2
    )
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (23, 2)).astype(np.float32)
    scores = Scores(rng.normal(size=(23, 2)), labels, ("Edema", "Fracture"), "test")
    found = subgroups(scores, {"sex": sexes.values}, min_positives=1, min_negatives=1)["groupings"]["sex"]
    assert {name: group["n"] for name, group in found["groups"].items()} == {"F": 8, "M": 8}
    assert found["unknown"] == 7
    assert sum(group["n"] for group in found["groups"].values()) + found["unknown"] == 23
    given = np.array(["M", None, np.nan, "NA", "unknown", pd.NaT, pd.NA, "F"] + ["M"] * 15, object)
    assert subgroups(scores, {"sex": given})["groupings"]["sex"]["unknown"] == 6


@pytest.mark.parametrize("text", ["-1", "-999", "Removed", "de-identified", "Anonymous^Patient", "nan", "none given"])
def test_a_code_for_no_patient_makes_no_two_images_one_patient(text):
    assert len(set(facts.patients([text, text, "0", "0"], ["a", "b", "c", "d"]))) == 3


def test_sexes_written_as_decimal_numbers_get_the_advice_on_numbers():
    assert "write M and F" in facts.sexes(["1.0", "2.0"]).notes("Sex")[0]
    assert "write M and F" not in facts.sexes(["x"]).notes("Sex")[0]
