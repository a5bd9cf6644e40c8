import json

import numpy as np
import pytest

from zoo.evaluation.leakage import duplicate_images, shared_names, shared_patients
from zoo.evaluation.result import to_json


def test_shared_patients_are_counted_named_and_can_be_left_out(make_scores):
    scores = make_scores(6)
    found = shared_patients(["a", "b", "b", "c"], ["b", "x", "c", "b", "", np.nan])
    assert found.rows.tolist() == [True, False, True, True, False, False]
    assert (found.names, found.of, found.unknown) == (("b", "c"), 3, 2)
    assert len(scores.subset(~found.rows).labels) == 3
    data = to_json(found.result())
    assert data["shared"] == {"value": pytest.approx(2 / 3), "low": None, "high": None, "n": 3, "positives": 2}
    assert data["rows"]["value"] == 0.5
    json.dumps(data, allow_nan=False)


@pytest.mark.parametrize("other", ["17", 17, 17.0, np.int64(17), np.float32(17), "00017", " 17 ", "17.0"])
def test_a_number_is_the_same_patient_however_a_table_reads_it(other):
    found = shared_patients(["0017"], np.array([other, "patient17"], object))
    assert found.rows.tolist() == [True, False]
    assert found.names == (str(other).strip(),)


def test_unknown_patients_are_never_shared():
    assert not shared_patients(["", None, np.nan], ["", None, np.nan]).rows.any()


def test_no_patient_shared_and_none_known():
    assert shared_patients(["a"], ["b"]).result().shared.value == 0
    assert shared_patients([], []).result().shared.value is None


def test_file_names_are_compared_without_their_folders():
    found = shared_names(["train2/a.png", "train2/0017.png"], ["C:\\films\\a.png", "b.png", "17.png"])
    assert found.rows.tolist() == [True, False, False]
    assert found.names == ("C:\\films\\a.png",)


def test_many_names_are_counted_and_some_listed():
    data = shared_patients(range(100), range(100)).result()
    assert (data.shared.positives, len(data.names)) == (100, 20)


def test_duplicates_by_either_hash_with_training_and_within():
    train = {"t1": {"bytes": "1", "pixels": "p1"}, "t2": {"bytes": "2", "pixels": "p2"}, "broken": {}}
    evaluated = {
        "same file": {"bytes": "1", "pixels": "p1"},
        "saved again": {"bytes": "9", "pixels": "p2"},
        "own": {"bytes": "3", "pixels": "p3"},
        "own copy": {"bytes": "3"},
        "own saved again": {"bytes": "4", "pixels": "p3"},
        "unreadable": {},
    }
    found = duplicate_images(train, evaluated)
    assert found.with_train == {"same file": ("t1", "bytes"), "saved again": ("t2", "pixels")}
    assert found.within == (("own", "own copy", "own saved again"),)
    assert (found.images, found.not_compared) == (5, ("unreadable",))
    data = to_json(found.result())
    assert (data["with_train"]["positives"], data["with_train"]["n"]) == (2, 5)
    assert (data["within"]["positives"], data["not_compared"]) == (2, 1)
    assert data["pairs"][1] == {"evaluated": "saved again", "train": "t2", "by": "pixels"}
    json.dumps(data, allow_nan=False)


def test_a_set_looked_through_for_itself_has_no_training():
    images = {"a": {"bytes": "1"}, "b": {"bytes": "1"}}
    found = duplicate_images(images, images)
    assert (found.with_train, found.within) == ({}, (("a", "b"),))


def test_hashes_of_two_kinds_are_never_taken_for_each_other():
    found = duplicate_images({"a": {"bytes": "1"}}, {"b": {"pixels": "1"}})
    assert found.with_train == {}
