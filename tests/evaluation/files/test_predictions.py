import gzip
from pathlib import Path

import numpy as np
import pytest

from zoo.core.errors import TableError, UnknownNameError
from zoo.evaluation.files.alignment import align, to_scores
from zoo.evaluation.files.labels import read_labels
from zoo.evaluation.files.predictions import read_predictions
from zoo.evaluation.metrics import roc_auc
from zoo.labels.findings import LabelSchema

PREDICTIONS = "Image Index,Edema,Pleural Effusion\na.png,.9,.1\nb.png,.2,.8\nc.png,.7,.3\n"
LABELS = "Image Index,Pleural Effusion,Edema\nc.png,0,1\na.png,,1\nb.png,1,0\n"


@pytest.fixture
def write(tmp_path):
    def write(text: str, name: str = "model.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


def said(part: str, notes) -> bool:
    return any(part in note for note in notes)


def test_rows_and_columns_are_joined_by_name(write):
    labels = read_labels(write(LABELS, "labels.csv"), ("Edema", "Pleural Effusion"))
    scores = to_scores(read_predictions(write(PREDICTIONS)), labels)
    assert scores.findings == ("Edema", "Pleural Effusion")
    np.testing.assert_allclose(scores.probabilities, [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    np.testing.assert_array_equal(scores.labels, [[1, np.nan], [0, 1], [1, 0]])
    assert scores.split == "test"


@pytest.mark.parametrize("header", ["image_index,EDEMA,pleural_effusion", "Image_name,p_edema,p_PleuralEffusion"])
@pytest.mark.parametrize("name", ["model.csv", "model_predictions.csv.gz"])
def test_spelling_prefix_and_packing_do_not_count(write, header, name):
    found = read_predictions(write(PREDICTIONS.replace("Image Index,Edema,Pleural Effusion", header), name))
    assert (found.name, found.findings, found.kind) == ("model", ("Edema", "Pleural Effusion"), "probabilities")
    assert said("without their prefix 'p_'", found.notes) == ("p_" in header)


def test_a_logit_prefix_says_what_the_numbers_are(write):
    text = "split,Image_name,Patient_ID,logit_Edema,logit_Mass\ntune,a,1,-3,2\ntest,b,1,0,1\ntest,c,2,4,-1\n"
    found = read_predictions(write(text))
    assert (found.kind, found.findings) == ("logits", ("Edema", "Mass"))
    labels = read_labels(write("Image_name,Edema,Mass\na,1,0\nb,0,1\nc,1,1\n", "l.csv"), found.findings)
    study = align([found], labels)
    scores = study.scores["model"]
    np.testing.assert_array_equal(scores.logits, [[0, 1], [4, -1]])
    assert scores.patients.tolist() == ["1", "2"]
    assert said("rows of other parts than 'test', left out: 1", study.notes)
    np.testing.assert_array_equal(align([found], labels, split="validation").scores["model"].logits, [[-3, 2]])
    with pytest.raises(TableError, match="no row is of the 'train' part; there are rows of test, validation"):
        align([found], labels, split="train")


def test_numbers_outside_0_to_1_rank_and_are_refused_for_calibration(write):
    path = write(PREDICTIONS.replace(".9", "2.81"))
    found = read_predictions(path)
    assert found.kind == "scores"
    assert said("line 2: 2.81 is outside 0..1", found.notes)
    assert said("are these logits? pass --kind logits", found.notes)
    scores = to_scores(found, read_labels(write(LABELS, "labels.csv"), found.findings))
    assert roc_auc(scores.labels, scores.logits)[0] == 1
    with pytest.raises(ValueError, match="unknown scale"):
        scores.calibrated(None)
    assert read_predictions(path, kind="logits").kind == "logits"
    with pytest.raises(
        TableError, match=r"line 2, column 'Edema': 2.81 is outside 0..1: are these logits\? pass --kind"
    ):
        read_predictions(path, kind="probabilities")
    with pytest.raises(UnknownNameError, match="did you mean 'logits'"):
        read_predictions(path, kind="logit")


def test_logits_that_look_like_probabilities_and_decisions_are_remarked_on(write):
    assert said("are these probabilities?", read_predictions(write(PREDICTIONS), kind="logits").notes)
    decisions = read_predictions(write("id,Edema,Mass\na,1,.2\nb,0,.3\n"))
    assert said("nothing but 0 and 1, as of decisions or labels and not of probabilities: Edema", decisions.notes)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (".2,", "nan,", "line 3, column 'Edema': the prediction is missing .as in 1 of 3 rows.*--drop-missing"),
        (".2,", "inf,", "line 3, column 'Edema': the prediction inf is not finite"),
        (".2,", "high,", "line 3, column 'Edema': a number is needed, got 'high'"),
        (
            "b.png",
            "a.png",
            "line 3, column 'Image Index': 'a.png' is on line 2 already, with another 'Edema'; keep one",
        ),
        ("b.png", "", "line 3, column 'Image Index': the identifier is blank"),
        ("b.png,.2,.8", "b.png,.2", "line 3: 2 fields, but the header has 3"),
        ("Image Index,Edema,Pleural Effusion", "Image Index,A,edema ,Edema", "have one name"),
        (",", ";", "must be separated by commas"),
        (PREDICTIONS, "a,b\n", "has no rows"),
        (
            PREDICTIONS,
            "Image Index,Comment\na,fine\n",
            "no column is named like a finding.*it has 'Image Index', 'Comm",
        ),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(write, old, new, message):
    with pytest.raises(TableError, match=message) as caught:
        read_predictions(write(PREDICTIONS.replace(old, new)))
    assert "\n" not in str(caught.value)


def test_damaged_files_are_named(write, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such table"):
        read_predictions(tmp_path / "none.csv")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(PREDICTIONS.encode())[:30])
    with pytest.raises(TableError, match="not a readable CSV file"):
        read_predictions(cut)
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\r\n\xff\xfe")
    with pytest.raises(TableError, match="not UTF-8 text"):
        read_predictions(tmp_path / "image.csv")


def test_missing_predictions_can_be_dropped_and_are_counted(write):
    found = read_predictions(write(PREDICTIONS.replace(".2,", ",")), drop_missing=True)
    assert found.ids.tolist() == ["a.png", "c.png"]
    assert said("rows with a missing prediction, left out: 1 of 3", found.notes)
    with pytest.raises(TableError, match="each of 3 rows has a missing prediction"):
        read_predictions(write("id,Edema,Mass\na,,1\nb,1,\nc,,1\n"), drop_missing=True)


def test_equal_rows_of_one_image_are_kept_once(write):
    found = read_predictions(write(PREDICTIONS + "b.png,.2,.8\n"))
    assert found.ids.tolist() == ["a.png", "b.png", "c.png"]
    assert said("repeated rows, all the same, left out: 1, first 'b.png'", found.notes)


def test_the_schema_is_a_parameter(write):
    path = write("Image Index,Effusion,Edema,Lung Opacity\na,.1,.2,.3\n")
    nih = read_predictions(path, schema="nih")
    assert nih.findings == ("Edema", "Effusion")
    assert said("no column for Atelectasis", nih.notes)
    assert read_predictions(path, schema="chexpert").findings == ("Edema", "Lung Opacity", "Pleural Effusion")
    assert read_predictions(path).findings == ("Effusion", "Edema", "Lung Opacity")
    assert read_predictions(path, schema=["Lung Opacity"]).findings == ("Lung Opacity",)
    own = LabelSchema("ours", ("Fluid",), {"Effusion": "Fluid"})
    assert read_predictions(path, schema=own).findings == ("Fluid",)
    with pytest.raises(TableError, match="column 'Lung Opacities' is missing; the closest is 'Lung Opacity'"):
        read_predictions(path, schema=["Edema", "Lung Opacities"])
    with pytest.raises(UnknownNameError, match="did you mean 'chexpert'"):
        read_predictions(path, schema="chexprt")
    with pytest.raises(ValueError, match="different findings"):
        read_predictions(path, schema=["Edema", "edema"])


def test_findings_of_ones_own_are_taken_where_labels_name_them(write):
    predictions = "id,Edema,Silicosis,bmi\na,.1,.9,20\nb,.8,.2,31\n"
    assert read_predictions(write(predictions)).findings == ("Edema",)
    with_labels = (
        predictions.replace("bmi\n", "bmi,label_Silicosis\n").replace("20\n", "20,1\n").replace("31\n", "31,0\n")
    )
    found = read_predictions(write(with_labels))
    assert (found.findings, found.kind) == (("Edema", "Silicosis"), "probabilities")
    assert found.labels.findings == ("Silicosis",)
    assert read_predictions(write("id,prob_Silicosis,prob_Asthma\na,.1,.9\n")).findings == ("Silicosis", "Asthma")


def test_predictions_of_two_models_in_one_file_need_a_prefix(write):
    path = write("id,prob_Edema,prob_Mass,logit_Edema,logit_Mass\na,.5,.5,0,0\nb,.5,.9,0,2\n")
    with pytest.raises(TableError, match="columns begin with 'prob_' and 'logit_': choose one with --prefix"):
        read_predictions(path)
    assert read_predictions(path, prefix="logit_").values.tolist() == [[0, 0], [0, 2]]
    with pytest.raises(TableError, match="no column begins with 'p_'"):
        read_predictions(path, prefix="p_")


def test_the_first_word_of_one_name_is_no_prefix(write):
    assert read_predictions(write("id,Pleural_Effusion,Effusion\na,.1,.2\n")).findings == (
        "Pleural Effusion",
        "Effusion",
    )
    with pytest.raises(TableError, match="column 'Effusion' is missing"):
        read_predictions(write("id,Left Effusion\na,.1\n"), schema=["Effusion"])


def test_a_column_without_a_single_prediction_is_left_out(write):
    found = read_predictions(write("id,Edema,Mass\na,.1,\nb,.2,NaN\n"))
    assert found.findings == ("Edema",)
    assert said("without a single prediction, left out: Mass", found.notes)
    with pytest.raises(TableError, match="no row has a prediction in 'Edema', 'Mass'"):
        read_predictions(write("id,Edema,Mass\na,,\nb,,NaN\n"))


def test_what_zoo_predict_writes_is_read(write):
    rows = [("x/a.png", "Edema", 0.4, ""), ("x/a.png", "Mass", 0.1, ""), ("x/a.png", "Hernia", 0.5, "not trained")]
    rows += [("x/b.png", "Mass", 0.3, ""), ("x/b.png", "Edema", 0.2, ""), ("x/b.png", "Hernia", 0.5, "not trained")]
    text = "image,finding,probability,threshold,positive,error\n"
    found = read_predictions(write(text + "".join(f"{i},{f},{p},.5,False,{e}\n" for i, f, p, e in rows)))
    assert found.findings == ("Edema", "Mass")
    assert found.values.tolist() == [[0.4, 0.1], [0.2, 0.3]]
    study = align([found], read_labels(write("Image_name,Edema,Mass\nb,0,1\na,1,0\n", "l.csv"), found.findings))
    assert study.scores["model"].labels.tolist() == [[1, 0], [0, 1]]
    assert said("joined regardless of folder and extension: 'x/a.png' is 'a'", study.notes)
    with pytest.raises(TableError, match=r"'x/a\.png' has 'Edema' twice"):
        read_predictions(write(text + "x/a.png,Edema,.1,.5,,\nx/a.png,Edema,.1,.5,,\n"))


def test_auc_of_real_predictions_is_that_of_scikit_learn(nih_dir):
    path = nih_dir / "chexnet_predictions.csv.gz"
    if not path.is_file():
        pytest.skip("ZOO_NIH_DIR has no chexnet_predictions.csv.gz")
    import pandas as pd
    from sklearn.metrics import roc_auc_score

    scores = to_scores(read_predictions(path, schema="nih"))
    rows = pd.read_csv(path)
    listed = rows["Finding Labels"].str.split("|")
    aucs = roc_auc(scores.labels, scores.logits)
    for finding, auc in zip(scores.findings, aucs, strict=True):
        expected = roc_auc_score([finding in labels for labels in listed], rows[f"prob_{finding}"])
        assert auc == pytest.approx(expected, abs=1e-9), finding
    assert (len(scores.labels), len(scores.findings), len(set(scores.patients))) == (11175, 14, 3093)


def test_the_competitions_archives_are_a_grouping(tmp_path):
    names = ["train2/20000314_001_000.jpg", "train2/00000017_001_001.jpg"]
    (tmp_path / "p.csv").write_text("Image_name,Edema\n" + "".join(f"{name},0.5\n" for name in names))
    found = read_predictions(tmp_path / "p.csv")
    assert found.groups["source"].tolist() == ["competition-nih", "competition-chexpert"]
