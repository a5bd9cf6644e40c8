"""A CSV of anybody's: what each column is, what each text means, which file is meant, and what is said of it."""

import itertools
import random

import numpy as np
import pytest

from zoo.core.errors import SplitError, TableError, UsageError
from zoo.data.splits import SplitSpec, check_patients, make_split
from zoo.data.tables.plain import read_csv_table
from zoo.data.tables.reading import dataset_of, drop_missing, findings_of, labels_of, read_table
from zoo.data.tables.spec import TableSpec
from zoo.labels.findings import FINDINGS

pytestmark = pytest.mark.filterwarnings("ignore:.*left out:UserWarning")


@pytest.fixture
def read(tmp_path):
    """Writes a table, and files for those of its images that are named; reads it and what was said."""

    def reading(text, files=(), encoding="utf-8", **options):
        for name in files:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(b"")
        (tmp_path / "labels.csv").write_text(text, encoding=encoding)
        said = []
        table = read_csv_table(tmp_path / "labels.csv", say=said.append, **options)
        return table, said

    return reading


def labels(table):
    return {finding: table[finding].tolist() for finding in findings_of(table)}


def test_a_title_above_the_header_and_a_column_twice_are_told_with_what_to_do(read):
    with pytest.raises(TableError, match=r"line 3: 3 fields, but the header has 2 .*titles and merged lines above"):
        read("Chest study, March\n\nimage,patient,Edema\na.png,7,1\n")
    with pytest.raises(TableError, match=r"'Edema', 'edema' have one name .*: rename or delete one"):
        read("image,Edema,edema\na.png,1,1\n")


@pytest.mark.parametrize(
    ("header", "row", "facts"),
    [
        ("Bild;Patienten-ID;Geschlecht;Alter;Erguss", "a.png;P7;weiblich;40,5;ja", ("P7", "F", 40.5)),
        ("Nom du fichier;N° patient;Sexe;Âge;Épanchement", "a.png;P7;Homme;41;oui", ("P7", "M", 41)),
        ("imagen;paciente;sexo;edad;derrame", "a.png;P7;M;42;sí", ("P7", "", 42)),  # "M" may be "mujer"
    ],
)
def test_columns_of_other_languages_are_known(read, header, row, facts):
    table, _ = read(f"{header}\n{row}\n", ["a.png"])
    assert table[["Patient_ID", "Sex", "Age"]].fillna("").iloc[0].tolist() == list(facts)
    assert list(labels(table).values()) == [[1]]


def test_everything_that_was_understood_is_said(read):
    table, said = read(
        "sep=;\nfile;pid;Gender;Edema;Rib notching;Report;Height;Empty;Split\n"
        "a.png;7.0;f;1,0;no;fine text;2500;;train\nb.png;;M;-1;yes;other text;3000;;test\n;;;;;;;;\n",
        ["a.png"],
    )
    assert said == [
        "labels.csv: 2 rows, 9 columns, separated by semicolons, UTF-8",
        "labels.csv: 1 empty row was left out",
        "labels.csv: columns: image is 'file', patient is 'pid', sex is 'Gender'; none for study, age, view",
        "labels.csv: 1 patient; 1 row names none",
        "labels.csv: 2 findings: Edema (1 positive, 1 uncertain), Rib notching (1 positive, 1 negative)",
        "labels.csv: not used: 'Report' (text), 'Height' (describes the image), 'Empty' (no label in any row), "
        "'Split' (describes the image)",
        "labels.csv: labels: positive is '1,0' (1), 'yes' (1); negative is 'no' (1); uncertain is '-1' (1)",
        "labels.csv: column 'pid': 1 numbers without their '.0'",
        "labels.csv: 1 of 2 images found",
    ]
    assert table["Patient_ID"].tolist()[0] == "7"
    assert table["Sex"].tolist() == ["F", "M"]
    assert labels(table) == {"Edema": [1, -1], "Rib notching": [0, 1]}


WORDS = {
    1: ["1", "1.0", "1,0", "True", "TRUE", "yes", "Y", "positive", "present", "wahr"],
    0: ["0", "0.0", "0,0", "false", "No", "n", "negative", "absent", "FAUX", "-0"],
    -1: ["-1", "-1.0", "-1,0", "uncertain"],
    None: ["", "nan", "NaN", "N/A", "?", "unknown", "-", "None"],
}


@pytest.mark.parametrize("seed", range(30))
def test_labels_of_any_spelling_separator_and_encoding_mean_the_same(read, seed):
    draw = random.Random(seed)
    names = draw.sample(
        ["Edema", "Rib notching", "Tube misplaced", "Effusion", "Pneumothorax", "X1"], draw.randint(1, 5)
    )
    values = [[draw.choice([1, 0, -1, None]) for _ in names] for _ in range(draw.randint(2, 12))]
    values += [[1] * len(names)]  # a column without any label is no finding
    separator = draw.choice(";\t|,")
    quoted = lambda text: f'"{text}"' if separator == "," else text  # noqa: E731
    order = draw.sample(range(len(names) + 2), len(names) + 2)
    head = ["filename", "patient id", *names]
    rows = [[f"{i}.png", f"p{i // 2}", *(draw.choice(WORDS[v]) for v in row)] for i, row in enumerate(values)]
    lines = [separator.join(quoted(row[i]) for i in order) for row in (head, *rows)]
    table, _ = read("\n".join(lines) + "\n", encoding=draw.choice(["utf-8", "utf-8-sig", "utf-16"]))
    assert set(findings_of(table)) == set(names)
    wanted = np.array([[np.nan if v is None else v for v in row] for row in values], np.float32)
    np.testing.assert_array_equal(table[names].to_numpy(np.float32), wanted)
    assert table["Patient_ID"].tolist() == [row[1] for row in rows]


@pytest.mark.parametrize(("separator", "field"), [("|", ","), (";", ","), (",", ";"), (",", "\t"), ("|", ";")])
def test_one_column_that_lists_findings(read, separator, field):
    rows = [("a.png", ["Edema", "Rib notching"]), ("b.png", ["No Finding"]), ("c.png", []), ("d.png", ["edema"])]
    text = f"image{field}labels\n" + "".join(f"{name}{field}{separator.join(own)}\n" for name, own in rows)
    table, said = read(text)
    none = pytest.approx(float("nan"), nan_ok=True)
    assert labels(table) == {
        "Edema": [1, 0, none, 1],
        "Rib notching": [1, 0, none, 0],
        "No Finding": [0, 1, none, 0],
    }
    assert any("1 row lists nothing and is unknown" in line for line in said)
    assert "labels.csv: read as one name: 'Edema', 'edema'" in said


def test_a_list_in_brackets_and_chosen_findings_of_it(read):
    text = "image,labels\na.png,\"['Edema', 'Mass']\"\nb.png,\"['Mass']\"\nc.png,['normal']\n"
    table, said = read(text, columns=TableSpec(labels="labels", findings=("mass",)))
    assert labels(table) == {"mass": [1, 1, 0]}
    assert "labels.csv: names that are listed and not used: Edema, normal" in said
    with pytest.raises(TableError, match="no row lists 'Mss' in column 'labels'; the closest is 'Mass'"):
        read(text, columns=TableSpec(labels="labels", findings=("Mss",)))


def test_no_finding_beside_a_finding_names_the_line(read):
    with pytest.raises(TableError, match="line 3, column 'Finding Labels': 'No Finding' beside other findings"):
        read("image,Finding Labels\na.png,Edema\nb.png,No Finding|Edema\n")


def test_columns_are_given_by_name(read):
    text = "nr,x,who,E1,Other\n1,a.png,7,1,0\n2,b.png,8,0,1\n"
    spec = TableSpec(image="x", patient="WHO", findings=("e1",))
    table, said = read(text, columns=spec)
    assert table["Image_name"].tolist() == ["a.png", "b.png"]
    assert table["Patient_ID"].tolist() == ["7", "8"]
    assert labels(table) == {"e1": [1, 0]}
    assert "labels.csv: not used: 'nr' (not named), 'Other' (not named)" in said


def test_an_image_column_is_found_by_its_file_names(read):
    table, _ = read("radiograph,case,Edema\nx/a.dcm,1,1\nx/b.dcm,2,0\n", columns=TableSpec(patient="case"))
    assert table["Image_name"].tolist() == ["x/a.dcm", "x/b.dcm"]
    with pytest.raises(TableError, match="no column is named like one of images; columns 'front', 'side' all hold"):
        read("front,side,Edema\na.png,b.png,1\n")
    with pytest.raises(TableError, match=r"it has 'Edema', 'Mass', and none holds file names: .*--image-column"):
        read("Edema,Mass\n1,0\n")


def test_the_fourteen_come_in_their_order_and_spelling(read):
    head = [name.lower().replace(" ", "_") for name in reversed(FINDINGS)]
    table, said = read(f"image,{','.join(head)}\na.png{',1' * 14}\n")
    assert findings_of(table) == FINDINGS
    assert any("'Lung Opacity' is 'lung_opacity'" in line for line in said)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "image,Edema\na.png,mild\nb.png,1\nc.png,severe\nd.png,mild\n",
            r"column 'Edema': 3 of 4 labels are not understood: 'mild' \(2\), 'severe' \(1\), first on line 2; a label",
        ),
        ("image,Notch\na.png,0\nb.png,perhaps\nc.png,1\n", r"'Notch': 1 of 3 .* 'perhaps' \(1\), first on line 3"),
        ("image,Edema\na.png,0.7\nb.png,0.2\n", r"column 'Edema': 2 of 2 labels are not .*: '0.2' \(1\), '0.7'"),
        ("image,Report\na.png,none\nb.png,it is fine\n", r"no finding was .* 'image', 'Report' \('Report': text\)"),
        ("image,Age\na.png,5\n", r"no finding was found; it has columns 'image', 'Age'"),
        ("image,Edema\n,1\n", "line 2, column 'image': blank"),
        ("image,Edema\na.png,1\na.png,1\n", "line 3, column 'image': 'a.png' is on line 2 already, with the same"),
        ("image,Edema,label_Edema\na.png,1,0\n", "columns 'Edema' and 'label_Edema' both mean 'Edema'"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_an_error_that_shows_it(read, text, message):
    with pytest.raises(TableError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)


def test_a_named_column_that_is_not_there_shows_the_closest(read):
    text = "image,patient,Edema\na.png,1,1\n"
    with pytest.raises(TableError, match="column 'pateint' is missing; the closest is 'patient'; name the column with"):
        read(text, columns=TableSpec(patient="pateint"))
    with pytest.raises(
        TableError, match="column 'Oedema' is missing; the closest is 'Edema'; it was named as a finding"
    ):
        read(text, columns=TableSpec(findings=("Oedema",)))
    with pytest.raises(TableError, match="column 'patient' was named as a finding and holds another fact"):
        read(text, columns=TableSpec(findings=("patient",)))


def test_identifiers_that_a_spreadsheet_destroyed_are_told(read):
    _, said = read('image,patient,Edema\na.png,1.23457E+14,1\nb.png,"1,3E+14",0\n')
    assert any("column 'patient': 2 identifiers such as '1.23457E+14' lost their digits" in line for line in said)


def test_views_and_sources_are_facts(read):
    text = (
        "image,View Position,Frontal/Lateral,Source,Edema\na.png,pa,Frontal,A,1\nb.png,LL,Lateral,B,0\nc.png,odd,,,0\n"
    )
    table, said = read(text)
    assert table["ViewPosition"].tolist() == ["PA", "LL", "ODD"]
    assert table["ViewCategory"].tolist()[:2] == ["Frontal", "Lateral"]
    assert table["ViewCategory"].isna().tolist() == [False, False, True]
    assert table["Source"].tolist() == ["A", "B", "csv"]
    assert any("views that are not known, category from them unknown: 'odd' (1)" in line for line in said)


def test_a_models_findings_are_found_under_other_names_and_the_rest_is_unknown(read):
    text = "image,Effusion,Hernia\na.png,1,0\nb.png,0,1\n"
    table, said = read(text, findings=("Edema", "Pleural Effusion"))
    assert findings_of(table) == ("Edema", "Pleural Effusion")
    assert np.isnan(table["Edema"]).all()
    assert table["Pleural Effusion"].tolist() == [1, 0]
    assert any("no labels of Edema: unknown in every row" in line for line in said)
    assert any("'Hernia' (not a finding of the model)" in line for line in said)
    with pytest.raises(TableError, match=r"none of the model's findings .*Nodule.* was found; it has columns 'image'"):
        read(text, findings=("Nodule",))


# Files.


def paths(table, folder):
    return [path.removeprefix(f"{folder}/") for path in table["Image_path"]]


def test_paths_absolute_relative_to_the_table_and_to_a_folder(read, tmp_path):
    text = "image,Edema\n{}\nsub/b.png,0\n..\\{}\\c.png,1\n"
    table, said = read(text.format(f"{tmp_path}/a.png,1", tmp_path.name), ["a.png", "sub/b.png", "c.png"])
    assert paths(table, tmp_path) == ["a.png", "sub/b.png", "c.png"]
    assert said[-1] == "labels.csv: 3 of 3 images found"
    table, _ = read("image,Edema\nx/a.png,1\nb,0\n", ["all/x/a.png", "all/y/b.png"], images=tmp_path / "all")
    assert paths(table, tmp_path) == ["all/x/a.png", "all/y/b.png"]


@pytest.mark.filterwarnings("ignore:.*outside")
def test_an_absolute_path_outside_the_folder_is_that_file(read, tmp_path, tmp_path_factory):
    other = tmp_path_factory.mktemp("elsewhere") / "z.png"
    other.write_bytes(b"")
    table, _ = read(f"image,Edema\n{other},1\na.png,0\n", ["a.png"])
    assert table["Image_path"].tolist() == [str(other), str(tmp_path / "a.png")]


def test_a_path_that_matches_two_files_is_an_error(read, tmp_path):
    with pytest.raises(TableError, match=r"labels.csv: 'a.png' may mean '.*LAT/a.png' or '.*PA/a.png'"):
        read("image,Edema\na.png,1\n", ["PA/a.png", "LAT/a.png"])
    (tmp_path / "LAT" / "a.png").unlink()
    with pytest.raises(TableError, match=r"'x/b.png' may mean '.*more/x/b.png' or '.*x/b.png': write the whole path"):
        read("image,Edema\nx/b.png,1\n", ["x/b.png", "more/x/b.png"], images=tmp_path / "more")
    with pytest.raises(TableError, match=r"'PA/a.png' and './PA/a.png' both mean"):
        read("image,Edema\nPA/a.png,1\n./PA/a.png,0\n")


@pytest.mark.filterwarnings("ignore:.*regardless of")
def test_a_prefix_of_another_machine_is_disregarded(read, tmp_path):
    table, _ = read(
        "image,Edema\n/home/her/data/p1/s1/v.png,1\n/home/her/data/p1/s2/v.png,0\n", ["p1/s1/v.png", "p1/s2/v.png"]
    )
    assert paths(table, tmp_path) == ["p1/s1/v.png", "p1/s2/v.png"]


def test_an_unused_image_is_told_and_the_table_is_not(read):
    with pytest.warns(UserWarning, match="left out 1 image without a row in labels.csv") as caught:
        read("image,Edema\na.png,1\n", ["a.png", "more.png"])
    assert not any("text file" in str(warning.message) for warning in caught)


# In `read_table`.


def write(folder, name="labels.csv", rows=20, head="image,patient,Edema"):
    lines = [f"{i}.png,{i // 2},{i % 2}" for i in range(rows)]
    (folder / name).write_text("\n".join([head, *lines]) + "\n")
    return folder / name


def test_the_data_are_a_csv_or_its_folder(tmp_path):
    file = write(tmp_path)
    assert read_table("csv", file).equals(read_table("csv", tmp_path))
    write(tmp_path, "more.tsv")
    with pytest.raises(TableError, match=r"2 tables \('labels.csv', 'more.tsv'\): give the one .* --data .*labels.csv"):
        read_table("csv", tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(TableError, match=r"none: no table \(\*\.csv"):
        read_table("csv", tmp_path / "none")


def test_the_format_follows_from_what_is_given(tmp_path):
    file = write(tmp_path)
    assert dataset_of(file, None) == "csv"
    assert dataset_of(tmp_path, None) == "csv"
    assert dataset_of(tmp_path, None, "competition") == "competition"
    assert dataset_of(tmp_path, None, columns=TableSpec(patient="p")) == "csv"
    assert dataset_of(tmp_path, None, columns=TableSpec(images="x")) == "csv"
    for name, dataset in {"train2.csv": "competition", "Data_Entry_2017.csv": "nih"}.items():
        assert dataset_of(write(tmp_path, name), None) == dataset
    assert dataset_of(file, None, "nih") == "nih"


def test_columns_of_another_format_are_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(UsageError, match="columns are named for --dataset csv; 'nih' has its own"):
        read_table("nih", tmp_path, columns=TableSpec(patient="x"))


@pytest.mark.parametrize(("rule", "value"), [("zero", 0), ("one", 1), ("keep", -1)])
def test_an_uncertain_label_becomes_what_is_asked(tmp_path, rule, value):
    (tmp_path / "t.csv").write_text("image,Edema\na.png,-1\nb.png,1\n")
    table = read_table("csv", tmp_path, uncertain=rule)
    assert table["Edema"].tolist() == [value, 1]
    assert table["Edema"].dtype == np.float32
    assert np.isnan(labels_of(read_table("csv", tmp_path), ["Edema"])[0])


def test_without_patients_a_split_by_patient_stops_and_says_both_ways(tmp_path):
    table = read_table("csv", write(tmp_path, head="image,number,Edema"), columns=TableSpec(findings=("Edema",)))
    with pytest.raises(SplitError, match=r"--patient-column NAME\), or split by image, .*--set split.by=image"):
        check_patients(table, SplitSpec())
    check_patients(table, SplitSpec(by="image"))


def test_a_split_keeps_the_patients_of_a_csv_together(tmp_path):
    table = read_table("csv", write(tmp_path))
    split = make_split(table, findings_of(table), SplitSpec(fractions=(0.6, 0.2, 0.2)))
    of = [{table["Patient_ID"][row] for row in rows} for rows in split.parts.values()]
    assert all(not one & other for one, other in itertools.combinations(of, 2))
    with pytest.raises(TableError, match=r"none of 20 images can be used"):
        drop_missing(table)


def test_two_rows_that_mean_one_file_by_their_folders_are_both_shown(read):
    with pytest.raises(TableError, match=r"b\.png' and '\.\./b\.png' both mean"):
        read("image,Edema\na.png,1\n./b.png,0\n../b.png,1\n", ["a.png", "b.png"])


def test_a_name_that_no_file_can_have_is_no_such_file(read):
    table, said = read(f"image,Edema\na.png,1\n{'c' * 5000},0\n", ["a.png"])
    assert any("1 of 2 images found" in text for text in said)
    kept, dropped = drop_missing(table)
    assert kept.Image_name.tolist() == ["a.png"]
    assert dropped.Reason.tolist() == ["no such file"]


def test_a_row_with_and_one_without_the_extension_are_both_shown(read):
    with pytest.raises(TableError, match=r"a\.jpg' and 'a' both mean '.*a\.jpg': keep one of the two rows"):
        read("image,Edema\na.jpg,1\na,0\nb.jpg,1\n", ["a.jpg", "b.jpg"])


def test_an_address_without_a_local_image_says_that_it_is_not_read(read):
    table, _ = read("image,Edema\na.png,1\nhttps://example.org/b.png,0\n", ["a.png"])
    assert drop_missing(table)[1].Reason.tolist() == ["an address: only local paths are read"]
