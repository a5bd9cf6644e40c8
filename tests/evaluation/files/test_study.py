import json
from pathlib import Path

import numpy as np
import pytest
from as_json import as_json

from zoo.core.errors import EvaluationError, TableError
from zoo.evaluation.decision import Decision
from zoo.evaluation.files.study import evaluate_study, read_files
from zoo.evaluation.metrics import roc_auc

evaluate_study = as_json(evaluate_study)

FINDINGS = ("Cardiomegaly", "Edema", "Consolidation", "Atelectasis", "Pleural Effusion")


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> Path:
    """A leaderboard's files: columns and rows in two orders, one model's scores above 1, three readers."""
    folder, rng = tmp_path_factory.mktemp("studies"), np.random.default_rng(0)
    labels = (rng.random((80, 5)) < 0.4).astype(int)
    ids = [f"CheXpert-v1.0/test/patient{64741 + i // 2}/study{i % 2 + 1}" for i in range(80)]
    evidence = labels * 2 - 1 + rng.normal(size=(80, 5))
    chances = 1 / (1 + np.exp(-evidence))
    write(folder / "truth.csv", ids, FINDINGS, labels)
    write(folder / "first_predictions.csv", ids, FINDINGS, chances)
    other = rng.permutation(80), [3, 0, 2, 1, 4]
    write(
        folder / "second_predictions.csv",
        [ids[i] for i in other[0]],
        [FINDINGS[j] for j in other[1]],
        (chances + 0.1 * rng.random((80, 5)))[other[0]][:, other[1]],
    )
    write(folder / "raw.csv", ids[:70], FINDINGS, (chances * 2.81)[:70])
    for name in ("bc4", "bc6", "bc8"):
        write(folder / f"{name}.csv", ids, FINDINGS, (labels + rng.normal(size=(80, 5)) > 0.5).astype(int))
    return folder


def evaluate_files(predictions, labels=None, *, ensemble=None, decision=None, **reading):
    study = read_files(predictions, labels, **reading)
    return evaluate_study(study, how=ensemble, decision=decision)


def write(path: Path, ids, findings, values) -> None:
    rows = [",".join([name, *map(str, row)]) for name, row in zip(ids, values.tolist(), strict=True)]
    path.write_text("\n".join([",".join(["Study", *findings]), *rows]) + "\n")


@pytest.fixture(scope="module")
def result(studies):
    files = [studies / f"{name}.csv" for name in ("first_predictions", "second_predictions", "raw")]
    readers = [studies / f"{name}.csv" for name in ("bc4", "bc6", "bc8")]
    return evaluate_files(files, studies / "truth.csv", ensemble="ranks", readers=readers)


def test_the_result_is_a_report_with_what_the_files_add(result):
    json.dumps(result, allow_nan=False)
    assert result["model"] == "mean of ranks"
    assert list(result["models"]) == ["first", "second", "raw"]
    assert result["ensemble"] == {"how": "ranks", "members": ["first", "second", "raw"]}
    assert result["kinds"] == {"first": "probabilities", "second": "scores", "raw": "scores"}
    assert (result["n"], result["patients"], result["patients_known"]) == (70, 35, True)
    assert len(result["comparison"]["pairs"]) == 6
    assert set(result["findings"]) == set(FINDINGS)
    assert {"auc", "average_precision"} == set(result["findings"]["Edema"])
    assert "brier" not in result["findings"]["Edema"]


def test_what_was_dropped_and_taken_for_granted_is_said(result):
    notes = " | ".join(result["notes"])
    assert (
        "first: rows that are not in raw, left out: 10 of 80, first 'CheXpert-v1.0/test/patient64776/study1'" in notes
    )
    assert "raw.csv, line" in notes
    assert "are these logits? pass --kind logits" in notes


def test_readers_are_counted_under_each_curve(result):
    for finding in FINDINGS:
        row = result["readers"]["models"]["mean of ranks"][finding]
        assert row["of"] == row["under"] + row["on"] + row["over"] == 3
    assert result["readers"]["readers"]["bc4"]["Edema"]["sensitivity"]["n"] == 70


def test_models_keep_their_own_rows_and_columns(studies):
    study = read_files([studies / "first_predictions.csv", studies / "second_predictions.csv"], studies / "truth.csv")
    first, second = study.scores.values()
    assert np.abs(second.logits - first.probabilities).max() < 0.1 + 1e-9
    assert roc_auc(first.labels, first.logits).min() > 0.8


def test_one_file_with_labels_of_its_own(tmp_path):
    rows = [
        f"0000{1000 + i}_000.png,{'Mass|Edema' if i % 3 else 'No Finding'},.{i % 7 + 1},.{i % 5 + 2}\n"
        for i in range(40)
    ]
    path = tmp_path / "nih.csv"
    path.write_text("Image Index,Finding Labels,prob_Mass,prob_Edema\n" + "".join(rows))
    result = evaluate_files([path])
    assert (result["model"], result["n"], result["findings"]["Mass"]["auc"]["positives"]) == ("nih", 40, 26)
    assert (result["comparison"], result["readers"], result["ensemble"]) == (None, None, None)
    assert "f1@half" in result["findings"]["Mass"]


def test_labels_join_on_the_column_all_files_share(tmp_path):
    predictions, labels = tmp_path / "p.csv", tmp_path / "l.csv"
    predictions.write_text("Image_name,Study,Edema\na,s,.1\nb,s,.9\n")
    labels.write_text("Study,Image_name,Edema\ns,b,1\ns,a,0\n")
    assert read_files([predictions], labels).scores["p"].labels.tolist() == [[0], [1]]
    labels.write_text("Image Index,Edema\nb,1\na,0\n")
    assert read_files([predictions], labels).scores["p"].labels.tolist() == [[0], [1]]
    labels.write_text("uid,Edema\nb,1\na,0\n")
    with pytest.raises(
        TableError, match=r"no column identifies the rows of all files.*l\.csv has 'uid', 'Edema'.*--id"
    ):
        read_files([predictions], labels)
    predictions.write_text("UID,Edema\na,.1\nb,.9\n")
    assert read_files([predictions], labels, id_column="uid").scores["p"].labels.tolist() == [[0], [1]]
    with pytest.raises(TableError, match="column 'key' is missing"):
        read_files([predictions], labels, id_column="key")


def test_numbers_that_only_the_predictions_have_do_no_harm(tmp_path):
    predictions, labels = tmp_path / "p.csv", tmp_path / "l.csv"
    predictions.write_text("id,bmi,Silicosis,Edema\na,20,.1,.4\nb,31,.9,.2\n")
    labels.write_text("id,Edema,bmi,Silicosis\nb,1,31,1\na,0,20,0\n")
    study = read_files([predictions], labels)
    assert study.scores["p"].findings == ("Silicosis", "Edema")
    assert study.kinds == {"p": "probabilities"}


def test_a_file_of_labels_goes_before_what_the_predictions_hold(tmp_path):
    predictions, labels = tmp_path / "p.csv", tmp_path / "l.csv"
    predictions.write_text("id,Edema,prob_Edema\na,severe,.4\nb,none,.3\n")
    labels.write_text("id,Edema\na,1\nb,0\n")
    scores = read_files([predictions], labels).scores["p"]
    assert scores.labels.tolist() == [[1], [0]]
    np.testing.assert_allclose(scores.probabilities, [[0.4], [0.3]])


def test_scores_are_refused_where_probabilities_are_needed(studies):
    both = [studies / "first_predictions.csv", studies / "raw.csv"]
    with pytest.raises(ValueError, match=r"raw: scores of unknown scale have no mean of logits: average ranks.*--kind"):
        evaluate_files(both, studies / "truth.csv", ensemble="logits")
    with pytest.raises(ValueError, match=r"raw: .* refused for calibration and thresholds; are these logits"):
        evaluate_files([both[1]], studies / "truth.csv", decision=Decision(FINDINGS))
    assert evaluate_files([both[1]], studies / "truth.csv", kind="logits")["kinds"] == {"raw": "logits"}


def test_files_of_one_name_are_told_apart_by_their_folders(studies, tmp_path):
    text = (studies / "first_predictions.csv").read_text()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.csv").write_text(text)
    paths = [tmp_path / "a" / "model.csv", tmp_path / "b" / "model.csv"]
    assert list(read_files(paths, studies / "truth.csv").scores) == ["a/model", "b/model"]
    with pytest.raises(ValueError, match="a/model\\.csv: given twice"):
        read_files([paths[0], paths[0]], studies / "truth.csv")
    with pytest.raises(ValueError, match="two files of predictions or more, got 1"):
        evaluate_files(paths[:1], studies / "truth.csv", ensemble="ranks")
    with pytest.raises(ValueError, match="at least one file"):
        evaluate_files([])


def test_saturated_probabilities_are_remarked_on_in_a_mean_of_logits(tmp_path):
    paths = [tmp_path / "sure.csv", tmp_path / "unsure.csv"]
    paths[0].write_text("id,Edema,label_Edema\na,0,0\nb,1,1\nc,.5,1\n")
    paths[1].write_text("id,Edema\na,.2,\nb,.4,\nc,.5,\n".replace(",\n", "\n"))
    notes = evaluate_files(paths, ensemble="logits")["notes"]
    assert any(note.startswith("sure: 2 probabilities are 0 or 1") for note in notes)
    assert not any("are 0 or 1, whose" in n for n in evaluate_files(paths, ensemble="ranks")["notes"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("Study,reader\na,1\n", "no labels of"),
        ("Study,Edema\nCheXpert-v1.0/test/patient64741/study1,0.83\n", "got '0.83'"),
        ("Study,Edema\nanother,1\n", "have no row in common"),
    ],
)
def test_an_error_of_a_readers_file_says_what_it_must_hold(studies, tmp_path, content, says):
    (tmp_path / "reader.csv").write_text(content)
    with pytest.raises(TableError) as error:
        read_files([studies / "first_predictions.csv"], studies / "truth.csv", readers=[tmp_path / "reader.csv"])
    assert says in str(error.value)
    assert "1 where the reader called it, 0 where not, blank where the image was not read" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_reader_who_did_not_read_all_is_counted(studies, tmp_path):
    reader = tmp_path / "reader.csv"
    reader.write_text("".join((studies / "bc4.csv").read_text().splitlines(True)[:61]))
    study = read_files([studies / "first_predictions.csv"], studies / "truth.csv", readers=[reader])
    assert int(np.isnan(study.readers["reader"]).any(axis=1).sum()) == 20
    assert "reader: rows that were not read: 20 of 80" in study.notes


def test_one_file_given_twice_and_labels_without_a_known_one_end_in_one_line(studies, tmp_path, monkeypatch):
    monkeypatch.chdir(studies)
    with pytest.raises(EvaluationError, match=r"^first_predictions\.csv: given twice$"):
        read_files(["first_predictions.csv", studies / "first_predictions.csv"], "truth.csv")
    (tmp_path / "blank.csv").write_text("Study,Edema\na,\nb,\n")
    (tmp_path / "model.csv").write_text("Study,Edema\na,0.2\nb,0.7\n")
    with pytest.raises(TableError, match="no label of Edema is known in any row"):
        read_files([tmp_path / "model.csv"], tmp_path / "blank.csv")
