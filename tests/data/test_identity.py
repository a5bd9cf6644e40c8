"""What a run was trained on: every change is named."""

import json

import numpy as np
import pandas as pd
import pytest

from zoo.core.errors import CheckpointError
from zoo.data.identity import DataIdentity, refuse_other_data

FINDINGS = ("Edema", "Fracture")


def table(names="abcde", **changes):
    rows = {name: [1, 0] for name in names} | {"b": [np.nan, 1]}
    rows = {name: changes.get(name, values) for name, values in rows.items() if name in names}
    frame = pd.DataFrame(np.array(list(rows.values()), np.float32), columns=list(FINDINGS))
    return frame.assign(Image_name=list(rows), Image_path=[f"/d/{name}" for name in rows])


def identity(names="abcde", digests=None, **changes):
    return DataIdentity.of(
        table(names, **changes), FINDINGS, {f"/d/{n}": f"hash of {n}" for n in names} | (digests or {})
    )


def test_labels_of_every_kind_are_told_apart():
    assert identity(b=[-1, 1]).labels["b"] == "u1"
    assert identity().labels["b"] == "-1"
    for value in ([0, 0], [1, 1], [np.nan, 0]):
        assert identity().changes(identity(c=value)) == ["labels of 1 image changed: c"]
    assert identity().changes(identity()) == []


def test_every_change_is_named_with_its_count():
    now = identity("abcdfg", {"/d/d": "other"}, a=[0, 0], b=[0, 0], c=[0, 0])
    assert identity().changes(now) == [
        "labels of 3 images changed: a, b, c",
        "contents of 1 image changed: d",
        "2 images were added: f, g",
        "1 image was removed: e",
    ]
    many = identity(**{name: [0, 1] for name in "acde"})
    assert identity().changes(many) == ["labels of 4 images changed: a, c, d, ..."]


def test_the_order_of_rows_does_not_count_and_unknown_contents_are_no_change():
    backwards = DataIdentity.of(table().iloc[::-1], FINDINGS, {f"/d/{n}": f"hash of {n}" for n in "abcde"})
    assert identity().changes(backwards) == []
    assert identity().key == backwards.key
    alone = DataIdentity.of(table(), FINDINGS)
    assert identity().changes(alone) == alone.changes(identity()) == []
    assert alone.key["images"] == ""
    assert alone.key["labels"] == identity().key["labels"]


def test_other_findings_are_the_recipes_change_and_no_labels():
    fewer = DataIdentity.of(table(), FINDINGS[:1], {})
    assert identity().changes(fewer) == []
    assert identity().key["labels"] != fewer.key["labels"]


def with_facts(**columns):
    return DataIdentity.of(table().assign(Sex=["F", "M", None, "F", "F"], Age=58.0, **columns), FINDINGS)


def test_facts_that_reports_group_by_are_compared_and_stored(tmp_path):
    before, views = with_facts(), {"ViewPosition": ["PA", "AP", "PA", "PA", "PA"]}
    before.save(tmp_path / "data.json")
    again = DataIdentity.load(tmp_path / "data.json")
    assert again.facts == before.facts
    assert again.facts["a"] == ("F", "58", "", "")
    assert again.facts["c"] == ("", "58", "", "")
    assert again.changes(with_facts()) == []
    frame = table().assign(Sex=["M", "M", "F", "F", "F"], Age=[58, 58, 58, 58, np.nan], **views)
    now = DataIdentity.of(frame, FINDINGS)
    assert again.changes(now) == [
        "sex of 2 images changed: a, c",
        "age of 1 image changed: e",
        "view of 5 images changed: a, b, c, ...",
    ]
    with pytest.raises(CheckpointError, match=r"sex of 2 images changed: a, c.*start this one anew \(--replace\)"):
        refuse_other_data(again, now, tmp_path)


def test_a_record_without_facts_is_of_an_earlier_version(tmp_path):
    before = with_facts()
    images = {name: [labels, ""] for name, labels in before.labels.items()}
    (tmp_path / "data.json").write_text(json.dumps({"format": 1, "findings": FINDINGS, "images": images}))
    again = DataIdentity.load(tmp_path / "data.json")
    assert again.facts == {}
    assert again.changes(before) == []


def test_it_is_saved_and_read(tmp_path):
    identity().save(tmp_path / "data.json")
    again = DataIdentity.load(tmp_path / "data.json")
    assert (again.findings, again.labels, again.digests) == (FINDINGS, identity().labels, identity().digests)
    refuse_other_data(again, identity(), tmp_path)
    with pytest.raises(CheckpointError, match=r"labels of 1 image changed: a\).*another run folder \(--run\)"):
        refuse_other_data(again, identity(a=[0, 0]), tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        json.dumps({"findings": [], "images": {"a": 1}}),
        '{"findings": [], "images": {"a": ["1", "", ["F"]]}}',
        "[" * 100_000,
        '{"images": {"a": [1]}}',
    ],
)
def test_what_is_no_such_file_is_one_error(tmp_path, text):
    (tmp_path / "data.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"data\.json: not a record"):
        DataIdentity.load(tmp_path / "data.json")
