"""NIH's table on our findings: fields split, never searched; what NIH does not label is NaN."""

import numpy as np
import pandas as pd
import pytest

from zoo.core.errors import TableError
from zoo.data.tables import reading
from zoo.data.tables.nih import read_nih
from zoo.data.tables.reading import labels_of
from zoo.labels.findings import FINDINGS, NIH_DEBATABLE

HEADER = "Image Index,Finding Labels,Patient ID,Patient Age,Patient Gender,View Position"
LABELLED = {
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "No Finding",
    "Pleural Effusion",
    "Pneumonia",
    "Pneumothorax",
}


@pytest.fixture
def read(tmp_path):
    def run(*fields, header=HEADER, end="1,58,F,PA", **options):
        rows = [f"0000000{i}_000.png,{field},{end}" for i, field in enumerate(fields)]
        (tmp_path / "Data_Entry.csv").write_text("\n".join([header, *rows]) + "\n")
        (tmp_path / "images").mkdir(exist_ok=True)
        return read_nih(tmp_path / "Data_Entry.csv", tmp_path / "images", **options)

    return run


def positives(table: pd.DataFrame, row: int = 0) -> set[str]:
    return {finding for finding in FINDINGS if table[finding][row] == 1}


def test_what_nih_does_not_label_is_unknown_never_negative(read):
    table = read("Effusion|Hernia")
    unknown = set(FINDINGS) - LABELLED
    assert positives(table) == {"Pleural Effusion"}
    assert all(np.isnan(table[finding][0]) for finding in unknown)
    assert all(table[finding][0] == 0 for finding in LABELLED - {"Pleural Effusion"})


def test_debatable_mappings_only_when_asked(read):
    field = "Mass|Pleural_Thickening|Infiltration"
    assert positives(read(field)) == set()
    table = read(field, "Nodule", "Edema", schema=NIH_DEBATABLE)
    assert positives(table, 0) == {"Lung Lesion", "Pleural Other", "Lung Opacity"}
    assert positives(table, 1) == {"Lung Lesion"}
    assert table["Lung Lesion"].tolist() == [1, 1, 0]
    assert table["Fracture"].isna().all()


def test_labels_are_split_not_searched(read):
    # "Pneumonia" in "Pneumonia-like", "Effusion" in "Pleural Effusion": a substring search would take each.
    assert positives(read("Pleural_Thickening")) == set()
    for text in ("Pneumonia-like", "Pleural Effusion", "effusion", "Edema,Mass", "|", "Edema|"):
        with pytest.raises(TableError, match=r"Data_Entry\.csv, line (2|3)"):
            read("Edema", text) if "," not in text else read(f'"{text}"')


def test_no_finding_only_as_the_whole_field(read):
    table = read("No Finding", "Emphysema")
    assert positives(table, 0) == {"No Finding"}
    # None of ours, but not an image without findings.
    assert table["No Finding"].tolist() == [1, 0]
    with pytest.raises(TableError, match="'No Finding' beside Edema"):
        read("No Finding|Edema")


def test_an_unknown_label_names_line_and_the_closest(read):
    with pytest.raises(TableError, match=r"line 3, column 'Finding Labels': unknown NIH label 'Edemma'; did.*'Edema'"):
        read("Edema", "Edema|Edemma")


def test_the_first_release_with_its_odd_columns_ages_and_end_commas(read):
    header = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    )
    table = read("Edema", header=header, end="7,13,058Y,M,AP,2682,2749,0.143,0.143,")
    row = table.iloc[0]
    assert (row.Patient_ID, row.Study, row.Sex, row.Age, row.ViewPosition) == ("13", "7", "M", 58.0, "AP")
    assert (row.ViewCategory, row.Source) == ("Frontal", "nih")


@pytest.mark.parametrize(("text", "age"), [("058Y", 58.0), ("006M", 0.5), ("414", np.nan), ("", np.nan), ("7", 7.0)])
@pytest.mark.filterwarnings("ignore:.*not understood")
def test_ages_of_either_release(read, text, age):
    np.testing.assert_equal(read("Edema", end=f"1,{text},F,PA")["Age"][0], age)


def test_a_field_without_labels_is_unknown_in_every_finding(read):
    for text in ("", "nan", "NaN"):
        table = read(text)
        assert table[["Edema", "No Finding", "Pneumonia"]].isna().all(axis=None), text


def test_images_lie_in_several_folders_under_their_name_or_their_stem(tmp_path):
    (tmp_path / "Data_Entry_2017.csv").write_text(
        "\n".join([HEADER, *(f"{n},Edema,{i},58,F,PA" for i, n in enumerate(["a.png", "b.png", "c.png"]))])
    )
    for name in ("images_001/images/a.png", "images_002/images/b.jpg", "images_002/c.txt", "elsewhere/c.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    table = reading.read_table("nih", tmp_path)
    found = [str(p.relative_to(tmp_path)) for p in map(type(tmp_path), table["Image_path"])]
    assert found == ["images_001/images/a.png", "images_002/images/b.jpg", "images_001/c.png"]
    kept, skipped = reading.drop_missing(table)
    assert (len(kept), skipped.to_dict("records")) == (2, [{"Image_name": "c.png", "Reason": "no such file"}])


def test_real_films(nih_dir):
    table = reading.read_table("nih", nih_dir)
    raw = pd.read_csv(nih_dir / "Data_Entry.csv")
    assert len(table) == len(raw) == table["Patient_ID"].nunique() == 421
    lists = raw["Finding Labels"].str.split("|")
    for ours in LABELLED:
        own = "Effusion" if ours == "Pleural Effusion" else ours
        assert table[ours].sum() == sum(own in labels for labels in lists)
    assert np.isnan(labels_of(table, sorted(set(FINDINGS) - LABELLED))).all()
    kept, skipped = reading.drop_missing(table)
    assert len(kept) == 421
    assert skipped.empty
    np.testing.assert_array_equal(table["Age"], raw["Patient Age"].astype(float))
