"""Splits: by patient without a leak, by image exactly as scikit-learn does it, saved with a hash."""

import dataclasses
import hashlib
import json
import warnings

import numpy as np
import pandas as pd
import pytest

from zoo.config.specs import from_dict, to_dict
from zoo.core.errors import SplitError, UnknownNameError
from zoo.data.duplicates import split_images
from zoo.data.splits import PARTS, Split, SplitSpec, leaked_patients, make_split, patients_of
from zoo.labels.findings import FINDINGS

RARE, COMMON = FINDINGS[6], FINDINGS[7]


def make_table(n_patients=600, seed=0, unknown=0.0) -> pd.DataFrame:
    """Patients with 1 to 12 images, findings that keep to a patient, prevalences of 0.5 % to 40 %."""
    rng = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), np.minimum(rng.geometric(0.4, n_patients), 12))
    rates = np.geomspace(0.005, 0.4, len(FINDINGS))
    prone = rng.random((n_patients, len(FINDINGS))) < rates * 1.5
    labels = (prone[patient] & (rng.random((len(patient), len(FINDINGS))) < 0.7)).astype(np.float32)
    labels[rng.random(labels.shape) < unknown] = np.nan
    table = pd.DataFrame(labels, columns=list(FINDINGS))
    table.insert(0, "Patient_ID", [f"{p:05d}" for p in patient])
    table.insert(0, "Image_name", [f"{p:05d}_{i:04d}.jpg" for i, p in enumerate(patient)])
    return table


def prevalence(table: pd.DataFrame, rows: np.ndarray | slice) -> np.ndarray:
    labels = table[list(FINDINGS)].to_numpy()[rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return np.nanmean(labels, axis=0)


@pytest.mark.parametrize("unknown", [0.0, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_by_patient_nobody_is_in_two_parts_and_prevalence_holds(seed, unknown):
    table = make_table(2500, seed, unknown)
    split = make_split(table, FINDINGS, SplitSpec(seed=seed))
    assert np.array_equal(np.sort(np.concatenate(list(split.parts.values()))), np.arange(len(table)))
    assert leaked_patients(table, split) == 0
    positives = (table[list(FINDINGS)] == 1).to_numpy().sum(0)
    for part, fraction in zip(PARTS, split.fractions, strict=True):
        rows = split.rows(part)
        assert len(rows) == pytest.approx(fraction * len(table), rel=0.03)
        assert (np.diff(rows) > 0).all()
        enough = positives * fraction >= 20
        assert enough.sum() >= 5
        np.testing.assert_allclose(prevalence(table, rows)[enough], prevalence(table, slice(None))[enough], rtol=0.2)


def test_a_finding_of_three_patients_reaches_every_part():
    table = make_table(300)
    table[RARE] = np.float32(0)
    chosen = table["Patient_ID"].unique()[[5, 50, 250]]
    table.loc[table["Patient_ID"].isin(chosen), RARE] = 1
    for seed in range(5):
        split = make_split(table, FINDINGS, SplitSpec(seed=seed))
        assert all(split.positives[part][RARE] >= 1 for part in PARTS)


def test_the_order_of_the_rows_and_of_the_parts_does_not_change_the_split():
    table = make_table(200)
    shuffled = table.sample(frac=1, random_state=3).reset_index(drop=True)
    one, other = (make_split(t, FINDINGS, SplitSpec()) for t in (table, shuffled))
    assert one.hash == other.hash
    assert all(set(one.names[part]) == set(other.names[part]) for part in PARTS)
    assert make_split(table, FINDINGS, SplitSpec(seed=7)).hash != one.hash


def test_by_image_train_is_scikit_learns_eighty_per_cent():
    model_selection = pytest.importorskip("sklearn.model_selection", reason="needs scikit-learn")
    for n_patients in (40, 41, 333):
        table = make_table(n_patients)
        with pytest.warns(UserWarning, match="patients have images in more than one part"):
            split = make_split(table, FINDINGS, SplitSpec(by="image"))
        train, rest = model_selection.train_test_split(table, test_size=0.2, random_state=42)
        assert set(split.rows("train")) == set(train.index)
        assert set(split.rows("validation")) | set(split.rows("test")) == set(rest.index)
        assert abs(len(split.rows("validation")) - len(split.rows("test"))) <= 1


def test_by_image_other_fractions_are_not_one_image_off():
    model_selection = pytest.importorskip("sklearn.model_selection", reason="needs scikit-learn")
    # 0.1 + 0.2 is 0.30000000000000004, of which scikit-learn would make 4 images of 10.
    table = make_table(400).drop_duplicates("Patient_ID").head(10).reset_index(drop=True)
    split = make_split(table, FINDINGS, SplitSpec(by="image", fractions=(0.7, 0.1, 0.2)))
    assert [len(split.rows(part)) for part in PARTS] == [7, 1, 2]
    assert set(split.rows("train")) == set(
        model_selection.train_test_split(range(10), test_size=0.3, random_state=42)[0]
    )


def test_leaked_patients_are_counted_and_told():
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    table = make_table(100)
    with pytest.warns(UserWarning, match="split by image") as caught:
        split = make_split(table, FINDINGS, SplitSpec(by="image"))
    homes = {p: set() for p in table["Patient_ID"]}
    for part, rows in split.parts.items():
        for patient in table["Patient_ID"].iloc[rows]:
            homes[patient].add(part)
    leaked = sum(len(parts) > 1 for parts in homes.values())
    assert leaked > 10
    assert leaked_patients(table, split) == leaked
    assert [str(w.message).startswith(f"split by image: {leaked} patients") for w in caught] == [True]


def test_each_row_without_a_patient_is_a_patient_of_its_own(tmp_path):
    table = make_table(300)
    unknown = table.index % 2 == 1
    table.loc[unknown, "Patient_ID"] = np.nan
    with pytest.warns(
        UserWarning, match=rf"{unknown.sum()} of {len(table)} rows do not name their patient .*_0001\.jpg"
    ):
        split = make_split(table, FINDINGS, SplitSpec())
    for part, fraction in zip(PARTS, split.fractions, strict=True):
        # As one patient they would all be in one part.
        assert unknown[split.rows(part)].sum() == pytest.approx(fraction * unknown.sum(), rel=0.15)
    assert leaked_patients(table, split) == 0
    patients = patients_of(table)
    assert len({*patients}) == table["Patient_ID"].nunique() + unknown.sum()
    assert patients[1] == f"unknown: {table['Image_name'][1]}"
    split.save(tmp_path / "split.json")
    parts = json.loads((tmp_path / "split.json").read_text())["parts"]
    assert {part: facts["unknown_patients"] for part, facts in parts.items()} == {
        part: unknown[split.rows(part)].sum() for part in PARTS
    }
    assert Split.load(tmp_path / "split.json", table).hash == split.hash


def test_without_any_patient_only_an_image_split_is_possible():
    table = make_table(50)
    with pytest.raises(SplitError, match=r"none of \d+ rows has one; .*by='image'"):
        make_split(table.assign(Patient_ID=np.nan), FINDINGS, SplitSpec())
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    with pytest.warns(UserWarning, match="without being counted"):
        make_split(table.assign(Patient_ID=np.nan), FINDINGS, SplitSpec(by="image"))


def test_too_few_patients_or_images():
    table = make_table(2)
    with pytest.raises(SplitError, match="at least 3 patients, got 2"):
        make_split(table, FINDINGS, SplitSpec())
    pytest.importorskip("sklearn", reason="needs scikit-learn")
    with pytest.raises(SplitError, match="at least 6 images, got 2"):
        make_split(table.head(2), FINDINGS, SplitSpec(by="image"))


def test_an_unknown_finding_is_named():
    with pytest.raises(UnknownNameError, match="did you mean 'Edema'"):
        make_split(make_table(20), ["Edemma"], SplitSpec())


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.0, 0.0, 0.0), (0.5, -0.1, 0.6)])
def test_fractions_are_three_shares_above_zero(fractions):
    with pytest.raises(SplitError, match="with sum 1"):
        SplitSpec(fractions=fractions)


def test_a_spec_survives_its_saved_form_and_names_its_usual_shares():
    for spec in (SplitSpec(), SplitSpec(by="image"), SplitSpec(fractions=(0.5, 0.25, 0.25), seed=3)):
        assert from_dict(SplitSpec, to_dict(spec)) == spec
    assert SplitSpec().shares == (0.7, 0.1, 0.2)
    assert dataclasses.replace(SplitSpec(), by="image").shares == (0.8, 0.1, 0.1)
    with pytest.raises(SplitError, match="'patient' or 'image', got 'study'"):
        SplitSpec(by="study")


def test_an_unknown_part_is_refused():
    split = make_split(make_table(20), FINDINGS, SplitSpec())
    with pytest.raises(SplitError, match="no part 'holdout' in this split; there are train, validation, test"):
        split.rows("holdout")


# Saved and read again


@pytest.fixture
def saved(tmp_path):
    table = make_table(60)
    split = make_split(table, FINDINGS, SplitSpec())
    split.save(tmp_path / "split.json")
    return table, split, tmp_path / "split.json"


def test_a_saved_split_is_read_back_whole(saved):
    table, split, path = saved
    again = Split.load(path, table)
    for name in ("by", "seed", "hash", "fractions", "names", "positives"):
        assert getattr(again, name) == getattr(split, name)
    for part in PARTS:
        np.testing.assert_array_equal(again.rows(part), split.rows(part))
    assert [p.name for p in path.parent.glob("split.json*")] == ["split.json"]


def test_the_manifest_counts_images_and_positives(saved):
    table, split, path = saved
    manifest = json.loads(path.read_text())
    assert (manifest["format"], manifest["by"], manifest["seed"]) == (1, "patient", 42)
    for part, facts in manifest["parts"].items():
        rows = table.iloc[split.rows(part)]
        assert facts["n"] == len(facts["images"]) == len(rows)
        assert facts["positives"][COMMON] == (rows[COMMON] == 1).sum()


def test_rows_of_another_order_get_their_own_positions(saved):
    table, split, path = saved
    backwards = table.iloc[::-1].reset_index(drop=True)
    again = Split.load(path, backwards)
    assert set(backwards["Image_name"].iloc[again.rows("test")]) == set(split.names["test"])
    assert again.names["test"] == tuple(backwards["Image_name"].iloc[again.rows("test")])


def test_another_table_is_refused(saved):
    table, _, path = saved
    with pytest.raises(SplitError, match=r"split\.json: 1 of its images are not in the table \(first: '"):
        Split.load(path, table.iloc[1:])
    with pytest.raises(SplitError, match=r"1 image of the table is not in it \(first: 'new\.jpg'\)"):
        Split.load(path, pd.concat([table, table.head(1).assign(Image_name="new.jpg")], ignore_index=True))
    with pytest.raises(SplitError, match=r"split\.json: made with other patients .* 1 of"):
        Split.load(path, table.assign(Patient_ID=table["Patient_ID"].where(table.index > 0, "somebody else")))


def test_an_altered_manifest_is_refused(saved):
    table, _, path = saved
    original = json.loads(path.read_text())

    def altered(change) -> None:
        manifest = json.loads(json.dumps(original))
        change(manifest)
        path.write_text(json.dumps(manifest))
        Split.load(path, table)

    def swap(m):
        m["parts"]["train"]["images"].append(m["parts"]["test"]["images"].pop())

    with pytest.raises(SplitError, match="its hash is not that of"):
        altered(swap)
    with pytest.raises(SplitError, match="an image is in it twice"):
        altered(lambda m: m["parts"]["validation"]["images"].append(m["parts"]["test"]["images"][0]))
    with pytest.raises(SplitError, match="format 2 is newer"):
        altered(lambda m: m.update(format=2))
    for field in ("format", "hash", "parts", "seed"):
        with pytest.raises(SplitError, match="not a split manifest"):
            altered(lambda m, field=field: m.pop(field))


def test_a_table_with_other_patients_is_refused_with_the_first_of_them(saved):
    table, _, path = saved
    other = table.copy()
    other.loc[[3, 4], "Patient_ID"] = "elsewhere"
    with pytest.raises(SplitError, match=rf"made with other patients.* 2 of {len(table)}.* is of 'elsewhere'.*--run"):
        Split.load(path, other)


def test_an_older_manifest_that_says_tune_is_read(saved):
    table, split, path = saved
    manifest = json.loads(path.read_text())
    manifest["parts"] = {"tune" if p == "validation" else p: facts for p, facts in manifest["parts"].items()}
    rows = [
        ["tune" if part == "validation" else part, name, patient]
        for part in PARTS
        for name, patient in zip(split.names[part], split.patients[part], strict=True)
    ]
    manifest["hash"] = hashlib.sha256(json.dumps(sorted(rows)).encode()).hexdigest()
    path.write_text(json.dumps(manifest))
    again = Split.load(path, table)
    assert again.hash == manifest["hash"]
    for part in PARTS:
        np.testing.assert_array_equal(again.rows(part), split.rows(part))
    assert again.positives == split.positives
    assert split_images(path)["validation"].names == split.names["validation"]
    manifest["parts"]["holdout"] = manifest["parts"].pop("tune")
    path.write_text(json.dumps(manifest))
    with pytest.raises(SplitError, match="parts must be train, validation, test, got train, test, holdout"):
        Split.load(path, table)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"format": 1, "parts": []}', '{"format": 1, "parts": {"a": 1}}']
)
def test_what_is_no_manifest_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "split.json"
    path.write_text(text)
    with pytest.raises(SplitError, match=r"split\.json: not a split manifest") as caught:
        Split.load(path, make_table(20))
    assert "\n" not in str(caught.value)


def test_a_manifest_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such split manifest"):
        Split.load(tmp_path / "split.json", make_table(20))
