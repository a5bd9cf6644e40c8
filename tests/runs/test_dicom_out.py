"""`zoo predict --dicom-out`, `--ids` and studies by header; no identifier of a header leaves it unasked."""

import io
import logging
import warnings

import numpy as np
import pandas as pd
import pytest
import standin
from PIL import Image

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
pytest.importorskip("highdicom", reason="needs the extra dicom")

from dicoms import radiograph  # noqa: E402

from zoo.cli import main  # noqa: E402
from zoo.core.errors import UsageError  # noqa: E402
from zoo.core.progress import Silent  # noqa: E402
from zoo.data.images.dicom_header import hashed  # noqa: E402
from zoo.dicom import Wanted  # noqa: E402
from zoo.inference.studies import studies_of  # noqa: E402
from zoo.runs.dicom_out import DicomFolder, write_dicom  # noqa: E402
from zoo.runs.embed import write_features  # noqa: E402
from zoo.runs.predict import write_findings  # noqa: E402
from zoo.runs.predict_studies import write_study_findings  # noqa: E402

STUDIES = ("1.2.826.0.1.777001", "1.2.826.0.1.777002")
REPORT = Wanted(heatmaps="none")


def film(number):
    return np.random.default_rng(number).integers(0, 256, (40, 48))


@pytest.fixture
def folder(tmp_path):
    """Three DICOM images of two studies, one of which cannot be decoded, and a PNG."""
    place = tmp_path / "films"
    place.mkdir()
    for number, study in enumerate((STUDIES[0], STUDIES[1], STUDIES[0]), 1):
        (place / f"{number}.dcm").write_bytes(radiograph(film(number), study=study, number=number))
    (place / "4").write_bytes(radiograph(film(4), study=STUDIES[1], number=4, BitsAllocated=32))
    Image.fromarray(film(5).astype(np.uint8)).save(place / "5.png")
    return place


@pytest.fixture
def model():
    found = standin.predictor()
    found.manifest_sha256 = "ab" * 32
    return found


def read(folder):
    """The objects in a folder, by name."""
    return {path.name: pydicom.dcmread(path) for path in sorted(folder.iterdir())}


def referenced(report):
    """SOP Instance UIDs of the images that a report is about."""
    study = report.CurrentRequestedProcedureEvidenceSequence[0]
    return {image.ReferencedSOPInstanceUID for s in study.ReferencedSeriesSequence for image in s.ReferencedSOPSequence}


def numbers(report):
    """Tracking identifier -> probability."""
    found = {}
    container = next(i for i in report.ContentSequence if i.get("ContentSequence") and i.ValueType == "CONTAINER")
    for group in container.ContentSequence:
        name = next(i.TextValue for i in group.ContentSequence if i.ValueType == "TEXT")
        found[name] = next(
            float(i.MeasuredValueSequence[0].NumericValue) for i in group.ContentSequence if i.ValueType == "NUM"
        )
    return found


def test_each_dicom_image_has_a_report_and_the_rest_is_counted(model, folder, tmp_path):
    counts = write_dicom(model, [folder], tmp_path / "out", Silent(), wanted=REPORT)
    assert str(counts) == (
        "reports: 3; maps: 0; images that are no DICOM files, left out: 1; images without a prediction: 1"
    )
    made = read(tmp_path / "out")
    about = {next(iter(referenced(report))): report for report in made.values()}
    assert sorted(about) == sorted(f"{STUDIES[n % 2]}.2.{n + 1}" for n in range(3))
    chances = model.predict(str(folder / "2.dcm"))[0]
    assert list(numbers(about[f"{STUDIES[1]}.2.2"]).values()) == pytest.approx(chances.tolist(), abs=1e-6)


def test_an_identifier_that_two_different_files_have_and_a_header_that_cannot_be_copied_are_said(model, tmp_path):
    place = tmp_path / "films"
    place.mkdir()
    for name, number, tags in (("a", 1, {}), ("b", 2, {}), ("c", 1, {}), ("d", 3, {"SOPClassUID": "1.2.3"})):
        uid = {"SOPInstanceUID": f"1.2.9.{3 if name == 'd' else 1}"}
        (place / name).write_bytes(radiograph(film(number), **uid, **tags))
    counts = write_dicom(model, [place], tmp_path / "out", Silent(), wanted=REPORT)
    assert (counts.reports, counts.there) == (2, 1)  # "c" is a copy of "a"
    first, second = counts.not_referenced
    assert first == f"{place / 'b'}: it has the SOP Instance UID of {place / 'a'}, another file"
    assert "no result can copy (KeyError" in second


def test_a_study_is_one_report_by_the_header(model, folder, tmp_path):
    counts = write_dicom(model, [folder], tmp_path / "out", Silent(), wanted=REPORT, study_source="auto")
    assert (counts.reports, counts.without) == (2, 1)
    about = [referenced(report) for report in read(tmp_path / "out").values()]
    assert sorted(map(sorted, about)) == [[f"{STUDIES[0]}.2.1", f"{STUDIES[0]}.2.3"], [f"{STUDIES[1]}.2.2"]]


def test_a_second_run_writes_nothing_anew(model, folder, tmp_path):
    first = write_dicom(model, [folder], tmp_path / "out", Silent(), wanted=REPORT)
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    second = write_dicom(model, [folder], tmp_path / "out", Silent(), wanted=REPORT)
    assert (first.there, second.there) == (0, 3)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


@pytest.mark.parametrize("by_study", [False, True])
def test_the_objects_beside_a_table_are_those_without_one(model, folder, tmp_path, by_study):
    (folder / "5.png").unlink()
    source = "auto" if by_study else None
    write_dicom(model, [folder], tmp_path / "alone", Silent(), wanted=REPORT, study_source=source)
    beside = DicomFolder(model, tmp_path / "beside", REPORT)
    if by_study:
        write_study_findings(model, [folder], tmp_path / "a.csv", Silent(), source="auto", also=beside.add)
    else:
        write_findings(model, [folder], tmp_path / "a.csv", Silent(), also=beside.add_each)
    alone, others = read(tmp_path / "alone"), read(tmp_path / "beside")
    assert list(alone) == list(others)
    assert [numbers(one) for one in alone.values()] == [numbers(one) for one in others.values()]


def test_an_image_that_cannot_be_referenced_is_counted_with_the_reason(model, folder, tmp_path):
    (folder / "1.dcm").write_bytes(radiograph(film(1), number=1, SeriesInstanceUID=None))
    counts = write_dicom(model, [folder], tmp_path / "out", Silent(), wanted=REPORT)
    assert counts.reports == 2
    (reason,) = counts.not_referenced
    assert reason.endswith("1.dcm: a DICOM file without SeriesInstanceUID, which a result has to reference")
    assert "no report can reference: 1" in str(counts)


def test_heatmaps_of_a_model_without_keras_are_refused(model, tmp_path):
    if model.runtime.name != "keras":
        with pytest.raises(UsageError, match="--runtime keras"):
            DicomFolder(model, tmp_path / "out", Wanted())


@pytest.mark.parametrize("ids", ["file", "uid", "hash"])
def test_rows_are_named_as_asked(model, folder, tmp_path, ids):
    said = []

    class Told(Silent):
        def message(self, text):
            said.append(text)

    write_findings(model, [folder], tmp_path / "a.csv", Told(), wide=True, ids=ids)
    table = pd.read_csv(tmp_path / "a.csv")
    uids = [f"{STUDIES[n % 2]}.2.{n + 1}" for n in range(4)]
    places = {"file": [f"{folder}/{name}" for name in ("1.dcm", "2.dcm", "3.dcm", "4")], "uid": uids}
    places["hash"] = [hashed(uid) for uid in uids]
    assert sorted(table["image"]) == sorted([*places[ids], f"{folder}/5.png"])
    assert any("1 image has no identifier of a DICOM header" in text for text in said) == (ids != "file")
    error = table["error"].dropna()
    assert len(error) == 1
    assert error.iloc[0].startswith(places[ids][3])


def test_a_key_changes_the_hashes(monkeypatch):
    plain = hashed("1.2.3")
    monkeypatch.setenv("ZOO_IDS_KEY", "one")
    keyed = hashed("1.2.3")
    monkeypatch.setenv("ZOO_IDS_KEY", "two")
    assert len({plain, keyed, hashed("1.2.3")}) == 3


def test_studies_come_from_headers_hashed_or_as_they_are(folder):
    paths = [str(folder / name) for name in ("1.dcm", "2.dcm", "3.dcm")]
    expected = [STUDIES[0], STUDIES[1], STUDIES[0]]
    assert studies_of(paths, "header", ids="uid").tolist() == expected
    assert studies_of(paths, "header").tolist() == [hashed(study) for study in expected]
    with pytest.raises(UsageError, match="unknown from the headers of DICOM files"):
        studies_of([*paths, str(folder / "5.png")], "header")


def test_no_identifier_is_in_any_output_cache_log_or_error_unless_asked(model, folder, tmp_path, caplog, capsys):
    """Marked names in every header, one of them in a file that cannot be decoded."""
    (folder / "6.dcm").write_bytes(radiograph(film(6), number=6, PatientName="Secret", Rows=9999))
    caplog.set_level(logging.DEBUG)
    out = tmp_path / "out"
    out.mkdir()
    said = []

    class Told(Silent):
        def message(self, text):
            said.append(text)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        write_findings(model, [folder], out / "a.csv", Told())
        write_study_findings(model, [folder / f"{n}.dcm" for n in (1, 2, 3)], out / "s.csv", Told(), source="auto")
        with DicomFolderPaths(model, folder, tmp_path / "dicom") as names:
            said += names
    texts = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file()
             and path.parent not in (folder, tmp_path / "dicom")]  # fmt: skip
    captured = capsys.readouterr()
    texts += [*said, *(str(one.message) for one in told), caplog.text, captured.out, captured.err]
    assert len(texts) > 6
    for text in texts:
        for mark in ("secret", "777001", "777002", "19700102"):
            assert mark not in text.lower()


class DicomFolderPaths:
    """Names of the files that `--dicom-out` writes; the objects themselves hold the patient, as they must."""

    def __init__(self, model, folder, out):
        write_dicom(model, [folder], out, Silent(), wanted=REPORT)
        self.names = [path.name for path in out.iterdir()]

    def __enter__(self):
        return self.names

    def __exit__(self, *_):
        return None


def test_features_are_named_as_asked(folder, tmp_path):
    pytest.importorskip("keras")
    from builders import tiny_release

    import zoo

    predictor = zoo.load(str(tiny_release(tmp_path / "tiny")))
    write_features(predictor, [folder / "1.dcm"], tmp_path / "f.csv", Silent(), ids="uid")
    assert pd.read_csv(tmp_path / "f.csv", dtype={"image": str})["image"].tolist() == [f"{STUDIES[0]}.2.1"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--out", "a.csv", "--heatmaps", "all"], "give --dicom-out DIR as well"),
        (["--dicom-out", "d", "--wide"], "give --out FILE as well"),
        (["--dicom-out", "d", "--ids", "uid"], "give --out FILE as well"),
    ],
)
def test_options_that_do_not_fit_are_told(folder, tmp_path, monkeypatch, capsys, options, reason):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(folder), "--model", "nih-lite", *options]) == 1
    assert reason in capsys.readouterr().err


def test_one_image_as_dicom_and_as_png_has_the_same_logits(model):
    values = film(7).astype(np.uint8)
    png = io.BytesIO()
    Image.fromarray(values).save(png, "PNG")
    both = next(batch.logits for batch in model.stream([radiograph(values), png.getvalue()]))
    np.testing.assert_allclose(both[0], both[1], atol=1e-3)
