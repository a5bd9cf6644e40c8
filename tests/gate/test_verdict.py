"""The words of the quality checks on their way into tables, studies, warnings and errors."""

import pandas as pd
import pytest
from standin import make_films
from standin import predictor as stand_in

from zoo.core.errors import ImageError, RejectedError, UnknownNameError
from zoo.core.progress import Silent
from zoo.gate.verdict import NOT_READ, UNKNOWN, Tally, Verdict, of_study
from zoo.runs.predict import write_findings
from zoo.runs.predict_studies import write_study_findings

REJECTED = Verdict("rejected", "turned by 90 degrees")


class ByHeight:
    """The stand-in's images have 40 rows; those of another height are rejected or doubtful."""

    def judge(self, pixels, decoded):
        assert pixels.shape == (32, 32, 1)
        return {60: REJECTED, 50: Verdict("doubtful", "mirrored")}.get(decoded[0], Verdict())


@pytest.fixture
def films(tmp_path):
    from PIL import Image

    folder = make_films(tmp_path / "films", 6)
    for i, height in ((0, 60), (1, 50)):
        path = folder / f"patient{i}" / f"film00{i}.png"
        Image.open(path).resize((50, height)).save(path)
    return folder


def gated(on_reject="warn"):
    model = stand_in()
    model.gate, model.on_reject = ByHeight(), on_reject
    return model


class Told(Silent):
    def __init__(self):
        self.texts = []

    def message(self, text):
        self.texts.append(text)


def test_a_table_has_the_words_and_a_warning_counts_them(films):
    paths = sorted(films.rglob("*.png"))
    with pytest.warns(
        UserWarning, match=r"reject 1 of 6 images \(first: .*film000.png: turned by 90 degrees\); 1 of 6"
    ):
        table = gated().findings(paths)
    first = table.groupby("image").first()
    assert first["quality"].tolist() == ["ok", "rejected", "unknown", "doubtful", "ok", "ok"]
    assert first["reason"].tolist() == ["", REJECTED.reason, NOT_READ.reason, "mirrored", "", ""]
    assert table[table["quality"] == "rejected"]["probability"].notna().all()
    without = stand_in().findings(paths)
    assert set(without["quality"]) == {"unknown"}
    assert UNKNOWN.reason in set(without["reason"])
    pd.testing.assert_frame_equal(
        table.drop(columns=["quality", "reason"]), without.drop(columns=["quality", "reason"])
    )


def test_skip_keeps_the_row_without_probabilities(films):
    paths = sorted(films.rglob("*.png"))
    with pytest.warns(UserWarning, match="reject 1 of 6"):
        table = gated("skip").findings(paths)
    row = table[table["quality"] == "rejected"]
    assert len(row) == 3
    assert row["probability"].isna().all()
    assert row["positive"].isna().all()
    assert row["error"].str.endswith("film000.png: rejected: turned by 90 degrees").all()
    with pytest.warns(UserWarning, match="reject 1 of 6"):
        others = gated().findings(paths)
    kept = table["quality"] != "rejected"
    pd.testing.assert_frame_equal(table[kept], others[kept])


def test_raise_names_the_image(films):
    with pytest.raises(RejectedError, match=r"film000.png: rejected: turned by 90 degrees") as caught:
        gated("raise").predict(sorted(films.rglob("*.png")))
    assert isinstance(caught.value, ImageError)
    with pytest.raises(UnknownNameError, match="warn"):
        gated("wran").predict([])


def test_a_file_counts_them_across_a_restart(films, tmp_path):
    told = Told()
    counts = write_findings(gated("skip"), [films], tmp_path / "out.csv", told)
    assert (counts.images, counts.unreadable, counts.rejected, counts.doubtful) == (6, 1, 1, 1)
    assert [t for t in told.texts if "quality checks reject 1 of 6 images, whose rows are NaN, and 1 are" in t]
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["quality"].value_counts().to_dict() == {"ok": 9, "rejected": 3, "unknown": 3, "doubtful": 3}


def test_a_study_has_the_word_of_its_worst_image(films, tmp_path):
    done = write_study_findings(gated(), [films], tmp_path / "out.csv", Silent(), source="folder", wide=True)
    assert (done.rejected, done.doubtful, done.unreadable) == (1, 1, 1)
    table = pd.read_csv(tmp_path / "out.csv")
    assert table["quality"].tolist() == ["rejected", "doubtful"]
    assert table["reason"].tolist() == ["1 of 3 images: turned by 90 degrees", "1 of 3 images: mirrored"]
    assert of_study([UNKNOWN, UNKNOWN]) == UNKNOWN
    assert of_study([NOT_READ, Verdict()]) == Verdict()


def test_a_tally_says_nothing_of_good_images():
    tally = Tally()
    tally.add(["a"], [Verdict()])
    assert tally.sentence() == ""
