"""`zoo predict --by study`: joined logits, unreadable images, unknown studies, and a kill at every mark."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import standin
from builders import FINDINGS3
from PIL import Image

from zoo.cli import main
from zoo.core.errors import CheckpointError, ImageError, TableError, UsageError
from zoo.core.progress import Silent
from zoo.evaluation.decision import probabilities
from zoo.evaluation.studies.rule import StudyRule
from zoo.inference import resume
from zoo.inference.studies import described, studies_of
from zoo.runs.predict_studies import StudyCounts, write_study_findings

#: Studies of 1, 3, 2, 6 and 1 images, out of order by name; batches of 4 cut two of them.
SIZES = {"00000001_001": 1, "00000001_002": 3, "00000002_001": 2, "00000003_001": 6, "00000009_004": 1}


def make_images(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for study, count in SIZES.items():
        for i in range(count):
            path = folder / f"view{i % 2}" / f"{study}_{i:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8)).save(path)
    (folder / "view1" / "00000003_001_001.png").write_bytes(b"")
    (folder / "view0" / "00000009_004_000.png").write_bytes(b"")
    return folder


@pytest.fixture
def images(tmp_path):
    return make_images(tmp_path / "films")


def predictor():
    model = standin.predictor()
    rule = StudyRule(("mean", "max", "mean"), "validation", studies=5)
    return model.with_decision(replace(model.decision, studies=rule))


def write(images, out, **options):
    return write_study_findings(predictor(), [images], out, Silent(), **options)


def expected(images):
    """Study -> calibrated probabilities, by hand."""
    paths = sorted(str(path) for path in images.rglob("*.png"))
    model, logits = predictor(), {}
    for batch in model.stream(paths):
        logits |= dict(zip(batch.names, batch.logits, strict=True))
    found = {}
    for study in SIZES:
        own = np.stack([row for path, row in logits.items() if study in path])
        if np.isnan(own).all():
            found[study] = np.full(3, np.nan)
        else:
            joined = np.array([np.nanmean(own[:, 0]), np.nanmax(own[:, 1]), np.nanmean(own[:, 2])])
            found[study] = probabilities(joined.astype(np.float32)[None], model.decision)[0]
    return found


def test_each_study_is_one_row_with_mean_or_maximum_by_finding(images, tmp_path):
    out = tmp_path / "wide.csv"
    assert write(images, out, wide=True) == StudyCounts(studies=5, images=13, unreadable=2)
    table = pd.read_csv(out).set_index("study")
    assert list(table.columns) == ["images", *FINDINGS3, "error", "quality", "reason"]
    assert table["images"].to_dict() == SIZES
    for study, chances in expected(images).items():
        np.testing.assert_allclose(table.loc[study, list(FINDINGS3)].astype(float), chances, rtol=1e-5)


def test_an_unreadable_image_leaves_the_others_speaking_and_is_told(images, tmp_path):
    out = tmp_path / "long.csv"
    write(images, out)
    table = pd.read_csv(out)
    assert list(table.columns) == [
        "study",
        "images",
        "finding",
        "probability",
        "threshold",
        "positive",
        "error",
        "quality",
        "reason",
    ]
    assert len(table) == 5 * 3
    some = table[table["study"] == "00000003_001"]
    assert some["probability"].notna().all()
    assert some["error"].str.startswith("1 of 6 images has no prediction: ").all()
    assert some["error"].str.contains("00000003_001_001.png", regex=False).all()
    none = table[table["study"] == "00000009_004"]
    assert none["probability"].isna().all()
    assert none["positive"].isna().all()
    assert none["error"].str.startswith("1 of 1 image has no prediction").all()
    assert table[table["study"] == "00000001_002"]["error"].isna().all()
    with pytest.raises(ImageError, match=r"empty|zero"):
        write(images, tmp_path / "strict.csv", strict=True)


def test_findings_by_study_are_those_of_the_file(images, tmp_path):
    write(images, tmp_path / "long.csv", batch_size=3)
    table = predictor().findings(sorted(images.rglob("*.png")), studies="name")
    told = pd.read_csv(tmp_path / "long.csv")
    pd.testing.assert_series_equal(
        table.set_index(["study", "finding"])["probability"].sort_index(),
        told.set_index(["study", "finding"])["probability"].sort_index(),
        check_dtype=False,
        rtol=1e-5,
    )
    arrays = [np.asarray(Image.open(images / "view0" / f"00000001_002_00{i}.png")) for i in (0, 2)]
    assert predictor().findings(arrays, studies=["a", "a"])["images"].tolist() == [2, 2, 2]
    assert list(predictor().findings([], studies=[]).columns) == list(told.columns)
    with pytest.raises(UsageError, match="the study of each of 2 images, got 1"):
        predictor().findings(arrays, studies=["a"])


def test_studies_come_from_a_table_or_from_folders(images, tmp_path):
    paths = sorted(str(path) for path in images.rglob("*.png"))
    rows = [f"{Path(path).name},{'ab'[i % 2]},{i // 4}" for i, path in enumerate(paths)]
    table = tmp_path / "studies.csv"
    table.write_text("\n".join(["Image_name,Patient_ID,Study", *rows]))
    wanted = [f"{'ab'[i % 2]}_{i // 4}" for i in range(len(paths))]
    assert studies_of(paths, table, [str(images)]).tolist() == wanted
    assert {Path(study).name for study in studies_of(paths, "folder")} == {"view0", "view1"}
    counts = write(images, tmp_path / "t.csv", source=table, wide=True)
    assert (counts.studies, pd.read_csv(tmp_path / "t.csv")["images"].sum()) == (len(set(wanted)), 13)


def test_an_unknown_study_says_how_to_give_it(images, tmp_path):
    (images / "chest_left_1.png").write_bytes((images / "view0" / "00000001_001_000.png").read_bytes())
    with pytest.raises(
        UsageError, match=r"study of 1 of 14 images is unknown from the file names .*--studies TABLE\.csv"
    ):
        write(images, tmp_path / "o.csv")
    table = tmp_path / "studies.csv"
    table.write_text("Image_name,Study\nchest_left_1.png,7\n")
    with pytest.raises(UsageError, match=r"study of 13 of 14 images is unknown from the table .*studies\.csv"):
        write(images, tmp_path / "o.csv", source=table)
    table.write_text("Image_name,Examination\nchest_left_1.png,7\n")
    with pytest.raises(TableError, match=r"no column of studies .*'Examination'"):
        write(images, tmp_path / "o.csv", source=table)
    with pytest.raises(FileNotFoundError, match="no such table of studies"):
        write(images, tmp_path / "o.csv", source=tmp_path / "none.csv")
    assert not (tmp_path / "o.csv").exists()


@pytest.fixture
def stop_after(monkeypatch):
    """Lets the run end after a number of marks; what `resume` leaves behind then is that of a kill (test_resume)."""

    def stop(marks):
        append, count = resume.Journal.append, 0

        def appending(self, *piece):
            nonlocal count
            append(self, *piece)
            count += 1
            if count == marks:
                raise KeyboardInterrupt

        monkeypatch.setattr(resume.Journal, "append", appending)

    return stop


@pytest.mark.parametrize("marks", [1, 2, 3])
def test_a_run_that_was_ended_goes_on_to_the_bytes_of_an_uninterrupted_one(images, tmp_path, stop_after, marks):
    whole, out = tmp_path / "whole.csv", tmp_path / "ended.csv"
    write(images, whole)
    stop_after(marks)
    with pytest.raises(KeyboardInterrupt):
        write(images, out)
    assert not out.exists()
    assert write(images, out) == StudyCounts(5, 13, 2)
    assert out.read_bytes() == whole.read_bytes()


def test_an_image_added_to_a_study_that_was_written_is_refused(images, tmp_path, stop_after):
    out = tmp_path / "ended.csv"
    stop_after(2)
    with pytest.raises(KeyboardInterrupt):
        write(images, out)
    source = images / "view0" / "00000001_002_000.png"
    (images / "view0" / "00000001_002_009.png").write_bytes(source.read_bytes())
    with pytest.raises(CheckpointError, match=r"00000001_002. was written by an earlier run and has another"):
        write(images, out)
    assert write(images, out, restart=True).images == 14


def test_the_command(images, tmp_path, capsys):
    from builders import tiny_release

    release = tiny_release(tmp_path / "tiny", members=1)
    command = ["predict", str(images), "--model", str(release), "--out", str(tmp_path / "o.csv")]
    assert main([*command, "--by", "study", "--wide"]) == 0
    said = capsys.readouterr()
    assert f"Studies in {tmp_path / 'o.csv'}: 5, of 13 images; unreadable: 2" in said.out
    assert "5 studies by headers of DICOM files and file names, of 1 to " in " ".join(said.err.split())
    assert main([*command, "--studies", "name"]) == 1
    assert "give --by study as well" in capsys.readouterr().err


def test_what_was_taken_as_a_study_is_told():
    """A flat folder is one study by the rule of folders: nobody overlooks it."""
    flat = [f"flat/{i}.png" for i in range(12)]
    assert described(studies_of(flat, "folder"), "folder") == "1 study by folders, of 12 images (most: 12 in 'flat')"
    assert described(["a", "b"], Path("s.csv")) == "2 studies by table s.csv, of 1 image"


def test_a_submission_by_study_gives_each_image_the_probabilities_of_its_study(images, tmp_path):
    from zoo.runs.submit import write_submission

    out = tmp_path / "submission.csv"
    counts = write_submission(predictor(), [images], out, Silent(), studies="name")
    # Of the two unreadable images one has others of its study; the other one gets the mean over all.
    assert (counts.images, counts.unreadable) == (13, 1)
    table = pd.read_csv(out).set_index("Image_name")
    for study, chances in expected(images).items():
        rows = table[[name.startswith(study) for name in table.index]]
        if not np.isnan(chances).any():
            np.testing.assert_allclose(rows.to_numpy(), np.tile(chances, (SIZES[study], 1)), rtol=1e-6)
