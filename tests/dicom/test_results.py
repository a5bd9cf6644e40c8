"""Results as DICOM: read back by pydicom and highdicom, checked by dciodvfy, shown by dsrdump."""

import io
import re
import shutil
import subprocess
import warnings
from datetime import datetime
from typing import Any

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")

from builders import FINDINGS3, tiny_release  # noqa: E402
from dicoms import radiograph  # noqa: E402

import zoo  # noqa: E402
from zoo.core.errors import ImageError, MissingExtraError, StateError, UnknownNameError, UsageError  # noqa: E402
from zoo.dicom import (  # noqa: E402
    Algorithm,
    Finding,
    Heatmap,
    Wanted,
    building,
    capture,
    parametric_map,
    report,
    results,
    source_of,
)
from zoo.dicom.codes import CODES, PRIVATE, code_of, private_value  # noqa: E402
from zoo.evaluation.decision import probabilities  # noqa: E402
from zoo.evaluation.report import RESEARCH_ONLY  # noqa: E402
from zoo.labels.findings import FINDINGS, NIH_FINDINGS  # noqa: E402

WHEN = datetime(2026, 5, 4, 13, 2, 1)
MODEL = Algorithm("demo", "ab" * 32, ("a", "b"), "youden", "d")
SAID = [Finding("Pneumothorax", 0.8125, 0.5, True), Finding("Cardiomegaly", 0.25, 0.5, False), Finding("Edema", np.nan)]
needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy (Debian's dicom3tools)")
needs_dsrdump = pytest.mark.skipif(shutil.which("dsrdump") is None, reason="needs dsrdump (Debian's dcmtk)")

#: What dciodvfy says of conformant sources without being an error, with the reason.
KNOWN = {
    "Unrecognized defined term <99XRAYZOO>": "a private coding scheme, identified in (0008,0110)",
    "Retired Person Name form": "a name of one component, as the source has it",
}


def film(number=0, size=(40, 48)):
    return np.random.default_rng(number).integers(0, 256, size)


def source(number=1, **tags):
    return source_of(radiograph(film(), number=number, **tags))


def heatmap(finding="Edema", seed=0, shape=(40, 48)):
    rng = np.random.default_rng(seed)
    return Heatmap(finding, rng.random(shape), "gradcam", rng.integers(0, 256, (*shape, 3), dtype=np.uint8))


def written(dataset, path):
    """Saved and read again."""
    dataset.save_as(path)
    return pydicom.dcmread(path)


def groups(path):
    """Finding's name -> measurement group of a report, read by highdicom."""
    content = highdicom.sr.srread(path).content
    return {group.tracking_identifier: group for group in content.get_image_measurement_groups()}


def comments(made):
    """The sentences that stand in a report by themselves."""
    items = [item for item in made.ContentSequence if item.ValueType == "TEXT"]
    return [item.TextValue for item in items if item.RelationshipType == "CONTAINS"]


def messages(path):
    """What dciodvfy says of a file, without what `KNOWN` lists."""
    told = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False).stderr.splitlines()
    said = [line for line in told if line.startswith(("Error", "Warning"))]
    return [line for line in said if not any(known in line for known in KNOWN)]


def test_a_report_is_read_back_with_numbers_verdicts_codes_algorithm_and_references(tmp_path):
    one = source()
    report([one], SAID, MODEL, when=WHEN).save_as(tmp_path / "sr.dcm")
    found = groups(tmp_path / "sr.dcm")
    assert list(found) == ["Pneumothorax", "Cardiomegaly"]
    for finding in SAID[:2]:
        group = found[finding.name]
        (number,) = group.get_measurements()
        assert number.value == finding.probability
        assert number.name == pydicom.sr.codedict.codes.DCM.Probability
        assert number.unit == pydicom.sr.codedict.codes.UCUM.NoUnits
        (verdict,) = group.get_qualitative_evaluations()
        assert (verdict.value.value, verdict.value.meaning) == (
            ("10828004", "Positive") if finding.positive else ("260385009", "Negative")
        )
        (image,) = group.source_images
        assert image.referenced_sop_instance_uid == one.SOPInstanceUID
        assert image.referenced_sop_class_uid == one.SOPClassUID
    assert found["Pneumothorax"].finding_type == pydicom.sr.codedict.codes.SCT.Pneumothorax
    assert found["Cardiomegaly"].finding_type.scheme_designator == PRIVATE


def test_the_text_says_for_research_only_and_what_was_left_out(tmp_path):
    made = report([source()], SAID, MODEL, notes=["Quality checks: doubtful: turned."], when=WHEN)
    texts = comments(made)
    assert texts[0] == RESEARCH_ONLY
    assert "Left out, since the model was not trained on them: Edema." in texts
    assert texts[-1] == "Quality checks: doubtful: turned."
    assert made.PreliminaryFlag == "PRELIMINARY"
    assert made.VerificationFlag == "UNVERIFIED"


def test_the_algorithm_is_named_with_version_hash_point_and_threshold():
    file = io.BytesIO()
    report([source()], SAID, MODEL, when=WHEN).save_as(file)
    text = file.getvalue().decode("latin-1")
    for part in ("demo", "manifest abababababababab", "manifest sha256 " + "ab" * 32, "operating point youden"):
        assert part in text
    assert "threshold 0.5" in text


def test_patient_and_study_are_copied_and_stand_nowhere_else():
    one, made = source(), report([source()], SAID, MODEL, when=WHEN)
    for tag in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "AccessionNumber"):
        assert made[tag].value == one[tag].value
    own = ("PatientName", "PatientID", "AccessionNumber", "ReferringPhysicianName")
    for tag in own:
        del made[tag]
    assert "secret" not in str(made).lower()


def test_identifiers_follow_from_study_images_and_model_alone():
    first = report([source(1), source(2)], SAID, MODEL, when=WHEN)
    again = report([source(2), source(1)], SAID, MODEL)
    assert first.SOPInstanceUID == again.SOPInstanceUID
    assert first.SeriesInstanceUID == again.SeriesInstanceUID
    others = [
        report([source(1)], SAID, MODEL),
        report([source(1), source(2)], SAID, Algorithm("demo", "cd" * 32, ("a", "b"), "youden", "d")),
        report([source(1), source(2)], SAID, Algorithm("demo", "ab" * 32, ("a", "b"), "sensitive", "d")),
        parametric_map(source(1), [heatmap()], MODEL),
        parametric_map(source(1), [heatmap(), heatmap("Fracture")], MODEL),
        capture(source(1), heatmap(), 0.5, MODEL),
        capture(source(1), heatmap("Fracture"), 0.5, MODEL),
    ]
    uids = [first.SOPInstanceUID, *(other.SOPInstanceUID for other in others)]
    assert len(set(uids)) == len(uids)
    assert all(re.fullmatch(r"2\.25\.[1-9]\d*", uid) and len(uid) <= 64 for uid in uids)


def test_the_same_report_at_the_same_time_is_the_same_bytes():
    both = []
    for _ in range(2):
        file = io.BytesIO()
        made = report([source()], SAID, MODEL, when=WHEN)
        for tag in ("InstanceCreationDate", "InstanceCreationTime"):  # highdicom writes the clock
            del made[tag]
        for item in made.ContributingEquipmentSequence:
            item.pop("ContributionDateTime", None)
        made.save_as(file)
        both.append(file.getvalue())
    assert both[0] == both[1]


def test_a_map_has_a_frame_for_each_finding_whose_real_values_are_the_heatmap(tmp_path):
    maps = [heatmap("Edema", 1), heatmap("Pleural Effusion", 2)]
    one = source()
    made = written(parametric_map(one, maps, MODEL, when=WHEN), tmp_path / "map.dcm")
    assert made.NumberOfFrames == 2
    for index, wanted in enumerate(maps):
        mapping = made.PerFrameFunctionalGroupsSequence[index].RealWorldValueMappingSequence[0]
        assert mapping.LUTExplanation == f"Heatmap of {wanted.finding}"
        values = made.pixel_array[index] * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
        np.testing.assert_allclose(values, wanted.values, atol=1e-5)
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == one.SOPInstanceUID
    assert made.StudyInstanceUID == one.StudyInstanceUID
    assert made.ContentQualification == "RESEARCH"
    shared = made.SharedFunctionalGroupsSequence[0]
    assert list(shared.PixelMeasuresSequence[0].PixelSpacing) == [0.2, 0.2]
    assert list(shared.PlaneOrientationSequence[0].ImageOrientationPatient) == [1, 0, 0, 0, 0, -1]
    assert "nominal geometry" in made.ContentDescription


@pytest.mark.parametrize("values", [np.full((40, 48), 1.1), np.full((40, 48), np.nan), np.zeros((48, 40))])
def test_a_heatmap_of_another_size_or_range_is_refused(values):
    with pytest.raises(UsageError, match="'Edema'"):
        parametric_map(source(), [Heatmap("Edema", values)], MODEL)


def test_a_capture_shows_the_overlay_and_a_caption_under_it(tmp_path):
    one = heatmap()
    made = written(capture(source(), one, 0.73, MODEL, when=WHEN), tmp_path / "sc.dcm")
    np.testing.assert_array_equal(made.pixel_array[:40], one.overlay)
    assert made.pixel_array.shape[0] > 40
    assert "for diagnosis" in made.DerivationDescription
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source().SOPInstanceUID


@needs_dciodvfy
@pytest.mark.parametrize("tags", [{}, {"ImagerPixelSpacing": None, "PatientOrientation": None}, {"PatientAge": None}])
def test_dciodvfy_finds_no_error_and_no_unlisted_warning(tmp_path, tags):
    one = source_of(radiograph(film(), **tags))
    report([one, source(2)], SAID, MODEL).save_as(tmp_path / "sr.dcm")
    parametric_map(one, [heatmap("Edema", 1), heatmap("Pleural Effusion", 2)], MODEL).save_as(tmp_path / "map.dcm")
    capture(one, heatmap(), 0.5, MODEL).save_as(tmp_path / "sc.dcm")
    assert {name: messages(tmp_path / name) for name in ("sr.dcm", "map.dcm", "sc.dcm")} == {
        "sr.dcm": [],
        "map.dcm": [],
        "sc.dcm": [],
    }


@needs_dsrdump
def test_dsrdump_shows_the_numbers_and_the_verdicts(tmp_path):
    report([source()], SAID, MODEL).save_as(tmp_path / "sr.dcm")
    told = subprocess.run(
        ["dsrdump", "+Pl", str(tmp_path / "sr.dcm")], capture_output=True, text=True, check=True
    ).stdout
    assert '"Probability")="0.8125"' in told
    assert '"Probability")="0.25"' in told
    assert '(10828004,SCT,"Positive")' in told
    assert '(36118008,SCT,"Pneumothorax")' in told
    assert "not a medical device" in told


def test_each_finding_has_a_code_that_fits_its_field_and_no_two_share_a_private_one():
    for name in {*FINDINGS, *NIH_FINDINGS, "Ümläut finding of a local hospital", "A" * 99, ""}:
        found = code_of(name)
        assert 1 <= len(found.value) <= 16
        assert 1 <= len(found.meaning) <= 64
        assert found.source
    private = [private_value(name) for name in ("a b", "a_b", "A-B", "enlarged heart 1", "enlarged heart 2")]
    assert len(set(private)) == 5


def test_codes_of_the_standard_are_in_its_dictionary():
    from pydicom.sr._concepts_dict import concepts

    for found in CODES.values():
        if found.scheme in ("SCT", "DCM"):
            entries: Any = concepts[found.scheme].values()
            listed = {code: meaning for entry in entries for code, (meaning, _) in entry.items()}
            assert listed[found.value].split(" (")[0].lower() == found.meaning.lower()


def test_what_cannot_be_referenced_or_joined_is_an_error_without_identifiers(tmp_path):
    with pytest.raises(ImageError, match="not a DICOM file"):
        source_of(b"\x89PNG and more")
    with pytest.raises(ImageError, match="without StudyInstanceUID") as caught:
        source_of(radiograph(film(), StudyInstanceUID=None))
    assert "SECRET" not in str(caught.value).upper()
    with pytest.raises(UsageError, match="different DICOM studies"):
        report([source(), source(study="1.2.3")], SAID, MODEL)
    with pytest.raises(UsageError, match="different patients") as refused:
        report([source(1), source(2, PatientID="SECRET-2")], SAID, MODEL)
    assert "SECRET" not in str(refused.value)
    with pytest.raises(UsageError, match="trained on none"):
        report([source()], [Finding("Edema", np.nan)], MODEL)


@pytest.mark.parametrize(
    ("given", "name", "written"),
    [
        ("", "Yamada^Taro", None),
        (["", "ISO 2022 IR 87"], "Yamada^Taro=山田^太郎", ["", "ISO 2022 IR 87"]),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞", "ISO_IR 192"),
        ("GB18030", "Wang^XiaoDong=王^小东", "GB18030"),
        ("ISO-IR 100", "Müller^Jürgen", "ISO_IR 100"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_names_in_any_character_set_are_copied(tmp_path, given, name, written):
    made = report([source(SpecificCharacterSet=given, PatientName=name)], SAID, MODEL)
    made.save_as(tmp_path / "sr.dcm")
    back = pydicom.dcmread(tmp_path / "sr.dcm")
    assert (back.get("SpecificCharacterSet"), str(back.PatientName)) == (written, name)


@pytest.mark.filterwarnings("ignore")
def test_what_no_result_may_have_is_emptied_with_a_word_and_old_dates_are_rewritten():
    old = source(StudyDate="2026.01.02", StudyTime="10:11:12")
    assert (old.StudyDate, old.StudyTime) == ("20260102", "101112")
    for tags in ({"PatientSex": "X"}, {"PatientBirthDate": "19700230"}, {"StudyTime": "noon"}):
        with pytest.warns(UserWarning, match=f"{next(iter(tags))} has no valid form"):
            wrong = source(**tags)
        made = report([wrong], SAID, MODEL)
        assert [made.get(tag) for tag in tags] in ([""], [None])
    with pytest.warns(UserWarning, match="several values of ReferringPhysicianName"):
        assert source(ReferringPhysicianName="A^B\\C^D").ReferringPhysicianName == "A^B"


@pytest.mark.filterwarnings("ignore")
def test_a_header_that_cannot_be_copied_is_one_line_without_its_values(model, tmp_path):
    with pytest.raises(ImageError, match="character set that is not in the standard"):
        source(SpecificCharacterSet="SECRET")
    private = tmp_path / "private.dcm"
    private.write_bytes(radiograph(film(), SOPClassUID="1.2.3.4"))
    with pytest.raises(ImageError, match=r"no result can copy \(KeyError in highdicom/") as caught:
        results(model, [private], Wanted(heatmaps="none"))
    assert "1.2.3.4" not in str(caught.value)


def test_a_map_needs_no_spacing_of_two_values():
    made = parametric_map(source(ImagerPixelSpacing=0.2), [heatmap()], MODEL)
    assert made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing == [1, 1]


def test_no_warning_shows_a_name(tmp_path):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        report([source(PatientName="Secret")], SAID, MODEL)
    assert not [str(one.message) for one in told if "secret" in str(one.message).lower()]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return zoo.load(str(tiny_release(tmp_path_factory.mktemp("release") / "tiny")))


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "a.dcm", tmp_path / "b.dcm"]
    for number, path in enumerate(paths, 1):
        path.write_bytes(radiograph(film(number), number=number))
    return paths


def test_one_image_gives_the_probabilities_of_predict(model, files, tmp_path):
    made = results(model, files[:1], Wanted(heatmaps="none"), when=WHEN)
    assert [one.Modality for one in made] == ["SR"]
    made[0].save_as(tmp_path / "sr.dcm")
    chances = dict(zip(FINDINGS3, model.predict(files[0])[0], strict=True))
    found = {name: group.get_measurements()[0].value for name, group in groups(tmp_path / "sr.dcm").items()}
    assert found == pytest.approx(chances, abs=1e-6)


def test_a_study_is_one_report_by_its_rule_with_a_map_for_each_image(model, files, tmp_path):
    made = results(model, files, Wanted(heatmaps="all", captures=True), when=WHEN)
    assert [one.SOPClassUID.name.split()[0] for one in made] == [
        "Comprehensive",
        *2 * ["Parametric"],
        *6 * ["Secondary"],
    ]
    made[0].save_as(tmp_path / "sr.dcm")
    logits = np.concatenate([batch.logits for batch in model.stream([str(f) for f in files])])
    chances = dict(zip(FINDINGS3, probabilities(logits.mean(0)[None], model.decision)[0], strict=True))
    found = groups(tmp_path / "sr.dcm")
    assert {name: g.get_measurements()[0].value for name, g in found.items()} == pytest.approx(chances, abs=1e-6)
    assert all(len(group.source_images) == 2 for group in found.values())
    explained = model.explain(files[1], "Edema")
    values = made[2].pixel_array[1] / 65535
    np.testing.assert_allclose(values, explained.heatmap, atol=1e-5)


def test_positive_findings_alone_have_frames_by_default(model, files):
    wanted = int(np.sum(model.findings([files[0]])["positive"].fillna(False)))
    maps = [one for one in results(model, files[:1]) if one.Modality == "OT"]
    assert (maps[0].NumberOfFrames if maps else 0) == wanted


def test_unreadable_images_take_no_part_and_are_counted(model, files):
    broken = radiograph(film(3), number=3, BitsAllocated=32)
    made = results(model, [files[0], broken], Wanted(heatmaps="none"))
    assert "1 of 2 images could not be read and took no part." in comments(made[0])
    with pytest.raises(ImageError, match="32 bits allocated"):
        results(model, [broken], Wanted(heatmaps="none"))


def test_models_and_choices_that_do_not_do_are_named(model, files):
    with pytest.raises(UnknownNameError, match="choice of heatmaps"):
        Wanted(heatmaps="some")
    with pytest.raises(UnknownNameError, match="operating point"):
        results(model, files[:1], Wanted(point="nothing"))
    bare = model.with_decision(model.decision)
    bare.manifest_sha256 = ""
    with pytest.raises(StateError, match="manifest"):
        results(bare, files[:1])


def test_a_missing_library_is_named_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(building, "find_spec", lambda name: None if name == "highdicom" else True)
    with pytest.raises(MissingExtraError, match=r"highdicom.*pip install 'xrayslam-zoo\[dicom\]'"):
        report([source()], SAID, MODEL)
