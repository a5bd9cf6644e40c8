import numpy as np
import pytest

from zoo.core.errors import TableError
from zoo.evaluation.files.alignment import align, to_scores
from zoo.evaluation.files.labels import read_labels
from zoo.evaluation.files.predictions import read_predictions

PREDICTIONS = "Image Index,Edema,Pleural Effusion\na.png,.9,.1\nb.png,.2,.8\nc.png,.7,.3\n"
LABELS = "Image Index,Pleural Effusion,Edema\nc.png,0,1\na.png,,1\nb.png,1,0\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "model.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def said(part: str, notes) -> bool:
    return any(part in note for note in notes)


def test_finding_labels_are_split_and_never_searched(write):
    text = "Image Index,Finding Labels,Patient ID,prob_Mass,prob_Nodule,prob_Effusion\n"
    rows = "a.png,Mass|Effusion,7,.9,.1,.8\nb.png,No Finding,7,.1,.2,.3\nc.png,Nodule,8,.2,.9,.1\nd.png,,9,.2,.2,.2\n"
    found = read_predictions(write(text + rows))
    assert found.labels.values.tolist()[:3] == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    assert np.isnan(found.labels.values[3]).all()
    assert to_scores(found).patients.tolist() == ["7", "7", "8", "9"]
    ours = read_predictions(write(text.replace("prob_Effusion", "prob_Pleural Effusion") + rows))
    assert ours.labels.column("Pleural Effusion")[:3].tolist() == [1, 0, 0]
    assert said("'Pleural Effusion' is 'Effusion' there", ours.labels.notes)
    with pytest.raises(
        TableError, match="line 2, column 'Finding Labels': unknown NIH label 'Massive'; did you mean 'Mass'"
    ):
        read_predictions(write(text + rows.replace("Mass|", "Massive|")))
    with pytest.raises(TableError, match="'No Finding' beside Mass"):
        read_predictions(write(text + rows.replace("Mass|Effusion", "Mass|No Finding")))
    own = read_predictions(write("id,Finding Labels,prob_Silicosis\na,Silicosis|Asbestosis,.4\nb,Asbestosis,.2\n"))
    assert own.labels.values.tolist() == [[1], [0]]


def test_labels_beside_prefixed_predictions_and_behind_a_prefix(write):
    beside = read_predictions(write("id,Edema,Mass,prob_Edema,prob_Mass\na,1,0,.4,.5\nb,0,-1,.3,.1\n"))
    assert beside.values.tolist() == [[0.4, 0.5], [0.3, 0.1]]
    np.testing.assert_array_equal(beside.labels.values, [[1, 0], [0, np.nan]])
    assert said("labels that count as unknown: 0 blank, 1 uncertain (-1)", beside.labels.notes)
    prefixed = read_predictions(write("id,label_Edema,label_Mass,Edema,Mass\na,1,0,.4,.5\nb,0,1,.3,.1\n"))
    assert prefixed.values.tolist() == [[0.4, 0.5], [0.3, 0.1]]
    assert prefixed.labels.values.tolist() == [[1, 0], [0, 1]]


def test_labels_of_dropped_rows_are_dropped_in_silence(write):
    found = read_predictions(write("id,Edema,label_Edema\na,.1,0\nb,,1\nc,.3,1\n"), drop_missing=True)
    study = align([found])
    assert study.scores["model"].labels.tolist() == [[0], [1]]
    assert not said("not in", study.notes)


def test_columns_that_are_no_labels_do_not_matter_beside_a_file_of_labels(write):
    path = write("id,Edema,prob_Edema\na,severe,.4\nb,none,.3\n")
    with pytest.raises(TableError, match="line 2, column 'Edema': a label is 0, 1"):
        read_predictions(path)
    assert read_predictions(path, own_labels=False).values.tolist() == [[0.4], [0.3]]


def test_labels_that_are_not_there_or_no_labels_are_named(write):
    found = read_predictions(write(PREDICTIONS))
    assert found.labels is None
    with pytest.raises(TableError, match=r"no labels in the file: give a file of labels \(--labels\)"):
        to_scores(found)
    path = write(LABELS, "labels.csv")
    with pytest.raises(
        TableError, match="no labels of 'Hernia': neither a column 'Finding Labels' nor columns of these"
    ):
        read_labels(path, ["Hernia"])
    with pytest.raises(TableError, match="column 'Edemas' is missing; the closest is 'Edema'; its labels are needed"):
        read_labels(path, ["Edemas"], schema=["Edemas"])
    assert said("without labels, and left out: Hernia", read_labels(path, ["Hernia", "Edema"]).notes)
    with pytest.raises(TableError, match=r"line 3, column 'Edema': a label is 0, 1, -1 .* or blank, got '0.4'"):
        read_labels(write(LABELS.replace("a.png,,1", "a.png,,0.4"), "labels.csv"), ["Edema"])
    with pytest.raises(TableError, match=r"'b\.png' is on line 2 already, with another 'Edema'"):
        read_labels(write(LABELS.replace("c.png", "b.png"), "labels.csv"), ["Edema"])


@pytest.mark.parametrize(
    ("ids", "how"),
    [
        ("a b c", "regardless of extension: 'a' is 'a.png'"),
        ("a.jpg b.jpg c.jpg", "regardless of extension: 'a.jpg' is 'a.png'"),
        ("x/a.png x/b.png y/c.png", "regardless of folder: 'x/a.png' is 'a.png'"),
        ("x/a.dcm y\\b.dcm c", "regardless of folder and extension: 'x/a.dcm' is 'a.png'"),
    ],
)
def test_folders_and_extensions_may_be_in_one_file_only(write, ids, how):
    text = PREDICTIONS
    for own, other in zip(("a.png", "b.png", "c.png"), ids.split(), strict=True):
        text = text.replace(own, other)
    found = read_predictions(write(text))
    study = align([found], read_labels(write(LABELS, "labels.csv"), found.findings))
    assert study.scores["model"].labels[:, 0].tolist() == [1, 0, 1]
    assert said(how, study.notes)


def test_rows_without_a_partner_are_counted_both_ways(write):
    found = read_predictions(write(PREDICTIONS))
    study = align([found], read_labels(write(LABELS.replace("b.png", "z.png"), "labels.csv"), found.findings))
    assert study.ids.tolist() == ["a.png", "c.png"]
    assert said("model: rows that are not in labels.csv, left out: 1 of 3, first 'b.png'", study.notes)
    assert said("labels.csv: rows that are not in model, left out: 1 of 3, first 'z.png'", study.notes)
    with pytest.raises(TableError, match=r"no row in common: 'a\.png' against 'z\.png'.*--id"):
        align([found], read_labels(write("Image Index,Edema\nz.png,1\n", "l.csv"), ["Edema"]))


def test_ids_that_a_folder_tells_apart_are_not_shortened(write):
    found = read_predictions(write("Study,Edema\np/patient1/study1,.1\np/patient2/study1,.2\n"))
    with pytest.raises(TableError, match=r"'p/patient1/study1' and 'p/patient2/study1' both mean 'study1'"):
        align([found], read_labels(write("Study,Edema\nstudy1,1\n", "l.csv"), ["Edema"]))


@pytest.mark.parametrize(
    ("ids", "patients"),
    [
        (["00000013_005.png", "00000013_006", "x/00000022_000.jpg"], ["13", "13", "22"]),
        (["00043046_001_001.jpg", "00043047_001_001.jpg"], ["43046", "43047"]),
        (["CheXpert-v1.0/test/patient64741/study1", "CheXpert-v1.0/test/patient64742/study1"], ["64741", "64742"]),
    ],
)
def test_patients_are_read_off_names(write, ids, patients):
    text = "Image Index,Edema,label_Edema\n" + "".join(f"{name},.5,{i % 2}\n" for i, name in enumerate(ids))
    assert to_scores(read_predictions(write(text))).patients.tolist() == patients


def test_unknown_patients_are_said_and_a_blank_one_stands_alone(write):
    text = "Image Index,Patient ID,Edema,label_Edema\na,5,.1,0\nb,,.2,1\nc,5,.3,1\n"
    assert len(set(to_scores(read_predictions(write(text))).patients)) == 2
    study = align([read_predictions(write(text.replace("5,", ",")))])
    assert study.scores["model"].patients is None
    assert said("patients are not known", study.notes)


def test_groups_are_given_as_subgroups_take_them(write):
    text = "Image Index,Patient Gender,Patient Age,View Position,Source,Edema,label_Edema\n"
    study = align([read_predictions(write(text + "a,F,061Y,PA,nih,.1,0\nb,male,17,AP,NaN,.2,1\nc,,414,PA,nih,.3,1\n"))])
    assert {name: group.tolist() for name, group in study.groups.items()} == {
        "sex": ["F", "M", ""],
        "age": ["60-79", "0-17", ""],
        "position": ["PA", "AP", "PA"],
        "source": ["nih", "", "nih"],
    }
    assert said("Patient Age: not understood, counted as unknown: 1 row: '414' (1)", study.notes)


def test_labels_of_two_files_that_disagree_are_remarked_on(write):
    text = "id,Edema,label_Edema\na,.1,0\nb,.2,1\n"
    other = read_predictions(write(text.replace("a,.1,0", "a,.1,1"), "other.csv"))
    study = align([read_predictions(write(text)), other])
    assert study.scores["other"].labels.tolist() == [[0], [1]]
    assert said("other: own labels that differ from those of model.csv, which are used: 1", study.notes)
    written = read_predictions(write(text.replace("a,.1,0", "x/a.png,.1,1"), "other.csv"))
    study = align([read_predictions(write(text)), written])
    assert said("other: own labels that differ from those of model.csv, which are used: 1", study.notes)


def test_identifiers_that_became_decimal_numbers_are_recognised(write):
    found = read_predictions(write(PREDICTIONS.replace("a.png", "1.0").replace("b.png", "2.0").replace("c.png", "3.0")))
    labels = read_labels(
        write(LABELS.replace("a.png", "001").replace("b.png", "002").replace("c.png", "003"), "labels.csv"),
        found.findings,
    )
    with pytest.raises(TableError, match=r"'1\.0' was written as a decimal number; write identifiers as text"):
        align([found], labels)


def test_another_part_alone_is_refused_without_an_option_that_is_not_there(write):
    rows = "Image,Split,Edema\na,validation,1\nb,validation,0\n"
    found = read_predictions(write(rows.replace("1\n", "0.9\n").replace(",0\n", ",0.1\n")))
    with pytest.raises(TableError, match=r"no row is of the 'test' part; there are rows of validation: change or"):
        align([found], read_labels(write(rows, "labels.csv"), found.findings))
